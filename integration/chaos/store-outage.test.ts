/** Promise: a minute without the store evicts nobody and changes nothing on hosts. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import type { ChaosCluster } from "./harness.ts";
import { chaosScenario } from "./scenario.ts";

const outageMs = 60_000;

chaosScenario("a minute without the store evicts nobody", endure, { usualMs: 90_000 });

async function endure(cluster: ChaosCluster): Promise<void> {
  const release = await cluster.publish();
  await cluster.eventuallyHeld(release);
  const before = await cluster.members();

  await cluster.stop("store");
  await sleep(outageMs / 2);
  await assert.rejects(cluster.publish(), /STORE_UNAVAILABLE/);
  await sleep(outageMs / 2);
  assert.deepEqual(new Set((await cluster.held()).values()), new Set([release]));
  await cluster.start("store");

  await cluster.publishInTheEnd();
  const after = await cluster.settled();
  assert.deepEqual(after.view, before.view);
}
