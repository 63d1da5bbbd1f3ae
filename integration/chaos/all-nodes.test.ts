/** Promise: when every node dies at once, hosts keep what they hold, and no acknowledged write is lost. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { nodeNames } from "./boxes.ts";
import type { ChaosCluster } from "./harness.ts";
import { chaosScenario } from "./scenario.ts";

chaosScenario("every node dies at once and no acknowledged release is lost", dieAtOnce, {
  // Who comes back first may find that the others are gone.
  evicts: nodeNames,
});

async function dieAtOnce(cluster: ChaosCluster): Promise<void> {
  const acknowledged = await cluster.publish();
  await cluster.kill(...cluster.nodes);
  const held = await cluster.held();
  assert.equal(held.size, cluster.hostsIn().length);
  await sleep(5_000);
  assert.deepEqual(await cluster.held(), held);

  await cluster.start(...cluster.nodes);
  await cluster.settled();
  await cluster.eventuallyHeld(acknowledged);
}
