/** Promise: when the store loses its table, no host loses its config and nothing goes back. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { chaosScenario } from "./scenario.ts";

const watchMs = 20_000;

chaosScenario(
  "a store that lost its table takes nothing from any host",
  async (cluster) => {
    const release = await cluster.publish();
    await cluster.eventuallyHeld(release);
    await cluster.wipeStore();
    await sleep(watchMs);

    const held = await cluster.held();
    assert.equal(held.size, cluster.hostsIn().length);
    assert.deepEqual(new Set(held.values()), new Set([release]));
  },
  { isDestructive: true },
);
