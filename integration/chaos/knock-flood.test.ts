/**
 * Promise: a flood of forged knocks wakes nobody and is answered by nothing, and a release arrives
 * meanwhile as usual.
 */
import assert from "node:assert/strict";
import { knockAddressOf } from "./boxes.ts";
import { readMetric } from "./cluster-api.ts";
import type { ChaosCluster } from "./harness.ts";
import { chaosScenario } from "./scenario.ts";

const floodMs = 4_000;
/** By one container at each node, as far as its machine can. */
const perSecond = 10_000;
const turnMs = 10;
const withinMs = 15_000;

chaosScenario("a release goes out under a flood of forged knocks", sendFlood);

async function sendFlood(cluster: ChaosCluster): Promise<void> {
  const wokenBefore = await knocks(cluster, "woken");
  const victims = cluster.hostsIn("hosts-2").filter((host) => host.startsWith("knock-"));
  const flood = cluster.shell("hosts-1", `node -e '${floodScript(cluster.nodes, victims)}'`);
  const release = await cluster.publish();
  await cluster.eventuallyHeld(release, { withinMs });
  const { sent, answered } = JSON.parse(await flood) as { sent: number; answered: number };
  assert(sent > perSecond, `only ${sent} knocks were sent`);
  assert.equal(answered, 0);
  assert.equal(await knocks(cluster, "woken"), wokenBefore);
  assert((await knocks(cluster, "forged")) > 0, "no node has looked at a forged knock");
}

async function knocks({ nodes }: ChaosCluster, outcome: string): Promise<number> {
  const counts = await Promise.all(
    nodes.map((name) => readMetric(name, "coxswain_knocks_total", `outcome="${outcome}"`)),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

/** Knocks in the right form (src/protocol/knock.ts), in the name of real hosts, with any signature. */
function floodScript(nodes: readonly string[], hosts: readonly string[]): string {
  const plan = JSON.stringify({ targets: nodes.map((name) => knockAddressOf(name)), hosts });
  return `
    const { targets, hosts } = ${plan};
    const socket = require("node:dgram").createSocket("udp4");
    let sent = 0, answered = 0;
    socket.on("message", () => answered++);
    const knocks = hosts.map((host) => Buffer.concat([
      Buffer.from([1, host.length]), Buffer.from(host), Buffer.alloc(72, 255)]));
    const turn = setInterval(() => {
      for (let count = 0; count < ${(perSecond * turnMs) / 1_000}; count++) for (const target of targets) {
        const [address, port] = target.split(":");
        socket.send(knocks[sent++ % knocks.length], Number(port), address, () => {});
      }
    }, ${turnMs});
    setTimeout(() => {
      clearInterval(turn);
      setTimeout(() => { socket.close(); console.log(JSON.stringify({ sent, answered })); }, 200);
    }, ${floodMs});`;
}
