/** Promise: a node that loses the store, but not its hosts, is replaced and takes nothing back. */
import { chaosScenario } from "./scenario.ts";

chaosScenario("a node that is cut from the store is replaced", async (cluster) => {
  await cluster.unplug("node-2", "store");
  await cluster.settled(["node-1", "node-3"], 30_000);
  await cluster.eventuallyHeld(await cluster.publish("node-1"), { withinMs: 20_000 });
  await cluster.plug("node-2", "store");
});
