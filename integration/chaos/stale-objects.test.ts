/**
 * Promise: hosts that take their configs from an object store never go back to an older pointer and never
 * apply half a content, and take the next one as soon as the objects are whole again.
 */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "../test-cluster.ts";
import { modeOf, objectsFolder } from "./boxes.ts";
import type { ChaosCluster } from "./harness.ts";
import { chaosScenario } from "./scenario.ts";

/** Several looks at the store: hosts look each second. */
const watchMs = 4_000;
/** They double their pause, up to 8 s after three looks in vain. */
const recoveryMs = 20_000;
const pollMs = 200;
const folder = `${objectsFolder}/coxswain/v1`;
const saved = `${objectsFolder}/saved`;

chaosScenario("stale and truncated objects take no host back", async (cluster) => {
  const away = "hosts-1";
  const others = cluster.hostBoxes.filter((box) => box !== away);
  const before = await cluster.publish();
  await cluster.eventuallyHeld(before);
  const [cutOff, rolledBack] = [objectHosts(cluster, [away]), objectHosts(cluster, others)];
  await inStore(cluster, `rm -rf ${saved} && mkdir ${saved} && cp hosts/object-* ${saved}`);

  // Hosts of one container do not see the release before its content is cut off.
  await cluster.pause(away);
  const release = await cluster.publish();
  await cluster.eventuallyHeld(release, { in: others });
  await untilReplaced(cluster, cutOff);
  const content = `contents/${release.slice("sha256:".length)}`;
  await inStore(cluster, `cp ${content} ${saved}/content && truncate -s 4 ${content}`);
  await inStore(cluster, `for one in ${rolledBack.join(" ")}; do cp ${saved}/$one hosts/; done`);
  await cluster.unpause(away);
  await sleep(watchMs);
  const held = await cluster.held();
  for (const host of cutOff)
    assert.equal(held.get(host), before, `${host} has a truncated content`);
  for (const host of rolledBack) assert.equal(held.get(host), release, `${host} went back`);

  await inStore(cluster, `cp ${saved}/content ${content}`);
  await cluster.eventuallyHeld(release, { hosts: cutOff, withinMs: recoveryMs });
});

function objectHosts(cluster: ChaosCluster, boxes: readonly string[]): string[] {
  return boxes.flatMap((box) => cluster.hostsIn(box)).filter((host) => modeOf(host) === "object");
}

/** Any container with the store will do. */
async function inStore(cluster: ChaosCluster, script: string): Promise<string> {
  return cluster.shell("hosts-2", `cd ${folder} && ${script}`);
}

/** Waits until the pointer of each of `hosts` is another one than was saved. */
async function untilReplaced(cluster: ChaosCluster, hosts: readonly string[]): Promise<void> {
  const script = `for one in ${hosts.join(" ")}; do cmp -s hosts/$one ${saved}/$one && echo $one; done; true`;
  await eventually(`new pointers of ${hosts.join(", ")}`, recoveryMs, async () => {
    if ((await inStore(cluster, script)).trim() === "") return true;
    await sleep(pollMs);
    return undefined;
  });
}
