/** Promise: a node that loses the store, but not its hosts, is replaced and takes nothing back. */
import { chaosScenario } from "./scenario.ts";

chaosScenario(
  "a node that is cut from the store is replaced",
  async (cluster) => {
    const hosts = await cluster.hostsOf("node-1");
    const sinceMs = Date.now();
    await cluster.unplug("node-1", "store");
    const release = await cluster.publish("node-2");
    await cluster.eventuallyHeld(release, { withinMs: 30_000 });
    await cluster.noteTakeover("cut off", { hosts, release, sinceMs });
    await cluster.settled(["node-2", "node-3"], 30_000);
    await cluster.plug("node-1", "store");
  },
  { evicts: ["node-1"] },
);
