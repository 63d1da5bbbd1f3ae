/** Promise: a node that freezes for 20 s is replaced, and when it wakes it changes nothing. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { chaosScenario } from "./scenario.ts";

const pauseMs = 20_000;

chaosScenario(
  "a node that freezes for 20 s is replaced and wakes without harm",
  async (cluster) => {
    // The frozen node has pushes of this release in its queue and on the wire.
    await cluster.publish("node-1");
    await cluster.pause("node-2");
    const wake = sleep(pauseMs);
    await cluster.settled(["node-1", "node-3"], pauseMs);
    const newest = await cluster.publish("node-1");
    await cluster.eventuallyHeld(newest, { withinMs: 20_000 });
    await wake;

    await cluster.unpause("node-2");
    await cluster.settled();
    assert.deepEqual(new Set((await cluster.held()).values()), new Set([newest]));
  },
);
