/** Promise: a node that loses its hosts holds up nobody else, and makes up for it afterwards. */
import assert from "node:assert/strict";
import { chaosScenario } from "./scenario.ts";

/** A host that polls this node gives up a poll after 10 s, then asks another. */
const othersMs = 20_000;

chaosScenario("a node that is cut from its hosts holds up no other node's", async (cluster) => {
  const owners = await cluster.owners();
  const others = cluster.hostsIn().filter((host) => owners.get(host) !== "node-2");
  assert(others.length < cluster.hostsIn().length, "node-2 serves no host");
  await cluster.filter("node-2", { from: cluster.hostBoxes, to: cluster.hostBoxes });
  const release = await cluster.publish("node-1");
  await cluster.eventuallyHeld(release, { hosts: others, withinMs: othersMs });
  await cluster.unfilter("node-2");
  await cluster.eventuallyHeld(release);
});
