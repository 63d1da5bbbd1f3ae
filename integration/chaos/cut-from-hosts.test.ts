/** Promise: a node that loses its hosts holds up nobody else, and makes up for it afterwards. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "../test-cluster.ts";
import { chaosScenario } from "./scenario.ts";

const pauseMs = 250;

chaosScenario("a node that is cut from its hosts holds up no other node's", async (cluster) => {
  const owners = await cluster.owners();
  const others = cluster.hostsIn().filter((host) => owners.get(host) !== "node-2");
  assert(others.length < cluster.hostsIn().length, "node-2 serves no host");
  await cluster.filter("node-2", { from: cluster.hostBoxes, to: cluster.hostBoxes });

  const release = await cluster.publish("node-1");
  await eventually("the other nodes' hosts hold the release", 15_000, async () => {
    const held = await cluster.held();
    if (others.every((host) => held.get(host) === release)) return true;
    await sleep(pauseMs);
    return undefined;
  });
  await cluster.unfilter("node-2");
  await cluster.eventuallyHeld(release);
});
