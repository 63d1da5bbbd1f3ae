/** Promise: two versions serve one cluster together, and each takes over from the other. */
import assert from "node:assert/strict";
import type { ChaosCluster } from "./harness.ts";
import { chaosScenario } from "./scenario.ts";

chaosScenario("two versions of the image serve one cluster together", serveTogether, {
  evicts: ["node-1"],
});

async function serveTogether(cluster: ChaosCluster): Promise<void> {
  await cluster.replaceNode("node-3", "next");
  await cluster.settled();
  const [one, other] = await Promise.all(
    ["node-1", "node-3"].map((name) => cluster.shell(name, "coxswain --version")),
  );
  assert.notEqual(one, other);
  await cluster.eventuallyHeld(await cluster.publish("node-3"));

  const hosts = await cluster.hostsOf("node-1");
  const sinceMs = Date.now();
  await cluster.kill("node-1");
  const release = await cluster.publish("node-2");
  await cluster.eventuallyHeld(release);
  await cluster.noteTakeover("killed", { hosts, release, sinceMs });
  await cluster.settled(["node-2", "node-3"]);
  await cluster.start("node-1");
  await cluster.replaceNode("node-3", "current");
}
