/** Promise: a node that freezes for 3 s is not evicted, and keeps its hosts. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { chaosScenario } from "./scenario.ts";

chaosScenario("a node that freezes for 3 s keeps its place in the view", async (cluster) => {
  const before = await cluster.members();
  await cluster.pause("node-2");
  await sleep(3_000);
  await cluster.unpause("node-2");
  // As long again as the default silence: a verdict would have come by now.
  await sleep(5_000);
  const after = await cluster.settled();
  assert.deepEqual(after.view, before.view);
});
