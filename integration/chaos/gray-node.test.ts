/** Promise: a node that beats and reaches none of its hosts is demoted, and they get a new owner. */
import { chaosScenario } from "./scenario.ts";

/** 45 beats without progress, and what it takes to notice that nobody answers. */
const demotedMs = 90_000;

chaosScenario(
  "a node that beats but reaches no host is demoted",
  async (cluster) => {
    const hosts = await cluster.hostsOf("node-3");
    const sinceMs = Date.now();
    await cluster.unplug("node-3", "hosts");
    const release = await cluster.publish("node-1");
    await cluster.eventuallyHeld(release, { withinMs: demotedMs });
    await cluster.noteTakeover("cut off", { hosts, release, sinceMs });
    await cluster.plug("node-3", "hosts");
  },
  { evicts: ["node-3"], timeoutMs: 300_000, usualMs: 85_000 },
);
