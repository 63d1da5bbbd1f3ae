/**
 * Promise: a node that freezes for 20 s is replaced, and when it wakes it changes nothing; it gets its
 * share again and keeps it.
 */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { modeOf } from "./boxes.ts";
import type { Members } from "./cluster-api.ts";
import { chaosScenario } from "./scenario.ts";

const pauseMs = 20_000;
/** More than silence, marking and removal take. */
const watchMs = 8_000;

function incarnationIn({ members }: Members): number {
  return members.find(({ slot }) => slot === "node-2")?.incarnation ?? 0;
}

chaosScenario(
  "a node that freezes for 20 s is replaced and wakes without harm",
  async (cluster) => {
    const life = incarnationIn(await cluster.members());
    const hosts = await cluster.hostsOf("node-2");
    // The frozen node has pushes of this release in its queue and on the wire.
    await cluster.publish("node-1");
    const sinceMs = Date.now();
    await cluster.pause("node-2");
    const wake = sleep(pauseMs);
    const newest = await cluster.publish("node-1");
    // A poll that the frozen node has taken is given up after 10 s, and the next one may find it the owner.
    const found = cluster.hostsIn().filter((host) => modeOf(host) !== "poll");
    await cluster.eventuallyHeld(newest, { hosts: found, withinMs: pauseMs });
    const { view } = await cluster.settled(["node-1", "node-3"], pauseMs);
    await wake;
    await cluster.eventuallyHeld(newest);
    await cluster.noteTakeover("frozen", { hosts, release: newest, sinceMs });

    await cluster.unpause("node-2");
    await cluster.settled();
    assert.deepEqual(new Set((await cluster.held()).values()), new Set([newest]));
    await cluster.staysFor("node-2", watchMs);
    const after = await cluster.members();
    // It was told that it is marked, and did not just go on beating.
    assert.equal(incarnationIn(after), life + 1);
    assert.equal(
      after.view.version,
      view.version + 1,
      "one view lets it in, and no further follows",
    );
  },
  { evicts: ["node-2"] },
);
