/**
 * Promise: a table that was emptied takes nothing from any host and is put right by the nodes; a table
 * that is gone for good takes nothing from any host either.
 */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "../test-cluster.ts";
import { chaosScenario } from "./scenario.ts";

const recoveryTimeoutMs = 60_000;
/** Every host is swept under the new generation: with the rules that its node has now. */
const sweptMs = 8_000;
const watchMs = 20_000;

chaosScenario(
  "a store that is emptied, and then loses its table, takes nothing from any host",
  async (cluster) => {
    const first = await cluster.publish();
    await cluster.eventuallyHeld(first);
    const before = await cluster.members();
    await cluster.emptyStore();
    await eventually("the view has a higher generation", recoveryTimeoutMs, async () => {
      const { view } = await cluster.members();
      return view.generation > before.view.generation ? true : undefined;
    });
    await sleep(sweptMs);
    assert.deepEqual(await cluster.held(), allWith(first));
    const second = await cluster.publishInTheEnd();
    await cluster.eventuallyHeld(second);

    await cluster.wipeStore();
    await sleep(watchMs);
    assert.deepEqual(await cluster.held(), allWith(second));

    function allWith(digest: typeof first) {
      return new Map(cluster.hostsIn().map((host) => [host, digest]));
    }
  },
  { isDestructive: true },
);
