/** Promise: with a fifth of all packets lost, releases still reach every host. */
import { chaosScenario } from "./scenario.ts";

const ratio = 0.2;

chaosScenario("a release reaches every host while 20 % of packets are lost", async (cluster) => {
  for (const name of cluster.nodes) {
    const peers = cluster.nodes.filter((other) => other !== name);
    await cluster.filter(name, { from: ["store", ...peers, ...cluster.hostBoxes], ratio });
  }
  for (let round = 1; round <= 3; round++) {
    await cluster.eventuallyHeld(await cluster.publish());
  }
});
