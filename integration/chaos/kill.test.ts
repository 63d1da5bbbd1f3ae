/** Promise: when a node is killed in the middle of a rollout, its hosts get it from the others. */
import { chaosScenario } from "./scenario.ts";

chaosScenario(
  "a killed node's hosts get their release from the others",
  async (cluster) => {
    const hosts = await cluster.hostsOf("node-3");
    await cluster.publish("node-1");
    const sinceMs = Date.now();
    await cluster.kill("node-3");
    const release = await cluster.publish("node-1");
    await cluster.eventuallyHeld(release, { withinMs: 30_000 });
    await cluster.noteTakeover("killed", { hosts, release, sinceMs });
    await cluster.settled(["node-1", "node-2"]);
    await cluster.start("node-3");
  },
  { evicts: ["node-3"] },
);
