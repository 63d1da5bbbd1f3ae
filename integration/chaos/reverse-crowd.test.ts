/**
 * Promise: when the node that holds many connections of hosts dies, they attach elsewhere, past a load
 * balancer that lies, at the pace that nodes admit, and get the next release.
 */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { attachesPerSecond, hostFolders } from "./boxes.ts";
import { readMetric } from "./cluster-api.ts";
import type { ChaosCluster } from "./harness.ts";
import { chaosScenario } from "./scenario.ts";

const hostsCount = 30;
/** A host waits for 5 s at a balancer that never answers, and for some at the address of a dead node. */
const currentMs = 30_000;
const lookMs = 250;
/** Part of a second's attaches that a node lets in at one instant, at least one. */
const burst = 1;
const survivors = ["node-2", "node-3"];

chaosScenario("hosts of a dead node attach elsewhere as fast as nodes admit", attachElsewhere, {
  evicts: ["node-1"],
});

async function attachElsewhere(cluster: ChaosCluster): Promise<void> {
  const box = await cluster.addHosts(hostsCount, { mode: "reverse", isLiedTo: true });
  await cluster.eventuallyHeld(await cluster.publish());
  const lost = await readMetric("node-1", "coxswain_reverse_links");
  assert(lost > hostsCount / 4, `node-1 holds ${lost} connections`);
  const busyBefore = await busyCount();

  const ended = new AbortController();
  const pace = Promise.all(survivors.map((name) => highestPace(name, ended.signal)));
  const hosts = cluster.hostsIn(box);
  const sinceMs = Date.now();
  try {
    await cluster.kill("node-1");
    const release = await cluster.publish("node-2");
    await cluster.eventuallyHeld(release, { withinMs: currentMs });
    await cluster.noteTakeover("killed", { hosts, release, sinceMs });
  } finally {
    ended.abort();
  }
  for (const excess of await pace) {
    assert(excess <= 0, `a node let ${excess.toFixed(1)} more hosts attach than it admits`);
  }
  assert((await busyCount()) > busyBefore, "no node had to refuse anybody");
  const lies = await cluster.shell(box, `sort -u ${hostFolders.log}/lies`);
  assert.equal(lies.trim().split("\n").length, 3, `the balancer told ${lies}`);
  await cluster.start("node-1");
}

async function busyCount(): Promise<number> {
  const counts = await Promise.all(
    survivors.map((name) => readMetric(name, "coxswain_attaches_total", 'outcome="busy"')),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

/** Attaches beyond what `name` may let in between any two looks, at most; negative where it kept to it. */
async function highestPace(name: string, signal: AbortSignal): Promise<number> {
  const looks: { readonly askedMs: number; readonly answeredMs: number; readonly count: number }[] =
    [];
  while (!signal.aborted) {
    const askedMs = performance.now();
    const count = await readMetric(name, "coxswain_attaches_total", 'outcome="admitted"');
    looks.push({ askedMs, answeredMs: performance.now(), count });
    await sleep(lookMs);
  }
  const excesses = looks.flatMap((from, index) =>
    looks.slice(index + 1).map((to) => {
      const seconds = (to.answeredMs - from.askedMs) / 1_000;
      return to.count - from.count - burst - seconds * attachesPerSecond;
    }),
  );
  return Math.max(...excesses);
}
