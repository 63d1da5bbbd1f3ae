/** Promise: a table that was emptied takes nothing from any host, and is put right by the nodes. */
import assert from "node:assert/strict";
import { eventually } from "../test-cluster.ts";
import { chaosScenario } from "./scenario.ts";

chaosScenario("a table that was emptied is put right without a manual step", async (cluster) => {
  const release = await cluster.publish();
  await cluster.eventuallyHeld(release);
  const before = await cluster.members();

  await cluster.emptyStore();
  await eventually("the view has a higher generation", 60_000, async () => {
    const { view } = await cluster.members();
    return view.generation > before.view.generation ? true : undefined;
  });
  const held = await cluster.held();
  assert.equal(held.size, cluster.hostsIn().length);
  assert.deepEqual(new Set(held.values()), new Set([release]));
});
