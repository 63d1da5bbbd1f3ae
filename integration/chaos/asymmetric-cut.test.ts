/** Promise: where requests arrive but no answer comes back, no host goes back and nothing is lost. */
import { setTimeout as sleep } from "node:timers/promises";
import { chaosScenario } from "./scenario.ts";

chaosScenario(
  "a node whose requests arrive but are never answered does no harm",
  async (cluster) => {
    // On connections that are open already, writes to the store and pushes still take effect.
    await cluster.publish("node-2");
    await cluster.filter("node-2", { from: ["store", ...cluster.hostBoxes] });
    await cluster.eventuallyHeld(await cluster.publish("node-1"));
    await sleep(5_000);
    await cluster.unfilter("node-2");
  },
  { evicts: ["node-2"] },
);
