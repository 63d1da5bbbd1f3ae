/** Promise: a node that loses the store, but not its hosts, is replaced and takes nothing back. */
import { chaosScenario } from "./scenario.ts";

chaosScenario("a node that is cut from the store is replaced", async (cluster) => {
  await cluster.unplug("node-1", "store");
  await cluster.settled(["node-2", "node-3"], 30_000);
  await cluster.eventuallyHeld(await cluster.publish("node-2"), { withinMs: 20_000 });
  await cluster.plug("node-1", "store");
});
