/** Promise: a node that loses the store, but not its hosts, is replaced and takes nothing back. */
import { modeOf } from "./boxes.ts";
import { chaosScenario } from "./scenario.ts";

/** Hosts that are attached to the node believe it for a minute (docs/safety.md); then they have to catch up. */
function isFound(host: string): boolean {
  return modeOf(host) !== "reverse";
}

chaosScenario(
  "a node that is cut from the store is replaced",
  async (cluster) => {
    const own = await cluster.hostsOf("node-1");
    const sinceMs = Date.now();
    await cluster.unplug("node-1", "store");
    const release = await cluster.publish("node-2");
    const hosts = cluster.hostsIn().filter((host) => isFound(host));
    await cluster.eventuallyHeld(release, { hosts, withinMs: 30_000 });
    await cluster.noteTakeover("cut off", {
      hosts: own.filter((host) => isFound(host)),
      release,
      sinceMs,
    });
    await cluster.settled(["node-2", "node-3"], 30_000);
    await cluster.plug("node-1", "store");
    await cluster.eventuallyHeld(release);
  },
  { evicts: ["node-1"] },
);
