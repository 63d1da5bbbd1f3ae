/**
 * Hosts that open their connections: `--what kill` SIGKILLs a node that holds a third of them, with a new
 * release at the same moment; `--what push` measures one change from the commit to the last host's
 * acknowledgement. The hosts are one process that speaks the protocol (sink.ts).
 */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import type { TestNode } from "../integration/test-cluster.ts";
import { rollOut, untilHeld } from "./fleet-cluster.ts";
import { machine, markdownTable, median } from "./measure.ts";
import { metricOf, startReverseCluster, type ReverseCluster } from "./reverse-cluster.ts";
import type { FleetLinks } from "./reverse-fleet.ts";

const waitMs = 120_000;
const sampleMs = 250;
const contentBytes = 1_024;

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      what: { type: "string", default: "kill" },
      hosts: { type: "string", default: "6000" },
      nodes: { type: "string", default: "3" },
      rounds: { type: "string", default: "3" },
      /** Hosts stay where they landed, as behind a load balancer. */
      balanced: { type: "boolean", default: false },
      attaches: { type: "string", default: "500" },
      "pushes-per-second": { type: "string", default: "2000" },
    },
  });
  const pace = values["pushes-per-second"];
  const flags = ["--attaches-per-second", values.attaches, "--pushes-per-second", pace];
  const plan = { isDirect: !values.balanced, flags };
  const fleet = await startReverseCluster(Number(values.nodes), Number(values.hosts), plan);
  const what = `${values.hosts} hosts, ${values.nodes} nodes, ${values.balanced ? "wherever they landed" : "at their owners"}`;
  try {
    const apiUrl = fleet.cluster.nodes[0]?.apiUrl ?? "";
    const first = await rollOut(apiUrl, "first");
    await untilHeld(fleet.sink, first.manifest, fleet.ids.length, waitMs);
    const rows =
      values.what === "push"
        ? [await measurePush(fleet, apiUrl, Number(values.rounds))]
        : [await measureKill(fleet, Number(values.attaches))];
    process.stdout.write(`${what}\n${machine()}\n\n${markdownTable(rows)}\n`);
  } finally {
    await fleet.stop();
  }
}

/** From the answer to the rollout to the last host's acknowledgement. */
async function measurePush(
  { sink, ids }: ReverseCluster,
  apiUrl: string,
  rounds: number,
): Promise<Record<string, string>> {
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const content = randomBytes(contentBytes / 2).toString("hex");
    const { startMs, manifest } = await rollOut(apiUrl, content);
    const endMs = await untilHeld(sink, manifest, ids.length, waitMs);
    times.push(endMs - startMs);
    await sleep(1_000);
  }
  return {
    "commit to last ack ms": median(times).toFixed(0),
    "hosts/s": (ids.length / (median(times) / 1_000)).toFixed(0),
    rounds: times.map((ms) => ms.toFixed(0)).join(" "),
  };
}

async function measureKill(
  { cluster, sink, ids }: ReverseCluster,
  attachesPerSecond: number,
): Promise<Record<string, string>> {
  const [asked, victim, ...rest] = cluster.nodes;
  if (asked === undefined || victim === undefined) throw new Error("needs two nodes");
  const living = [asked, ...rest];
  const counts = await sink.ask<Record<string, number>>({ ask: "mark" });
  const ownCount = ids.length - (counts[victim.slot] ?? 0);
  const calm = await rollOut(asked.apiUrl, "calm");
  const calmOwn = await untilHeld(sink, calm.manifest, ownCount, waitMs, victim.slot);
  await untilHeld(sink, calm.manifest, ids.length, waitMs);
  await sleep(1_000);
  const held = await metricOf(victim, "coxswain_reverse_links ");
  const before = await sink.ask<FleetLinks>({ ask: "links" });
  await sink.ask({ ask: "mark" });
  const sampling = new AbortController();
  const rates = living.map((node) => peakAttachRate(node, sampling.signal));
  victim.signal("SIGKILL");
  const killedMs = performance.now();
  const { startMs, manifest } = await rollOut(asked.apiUrl, "killed");
  const attached = untilAttached(ids.length, killedMs, () =>
    sink.ask<FleetLinks>({ ask: "links" }),
  );
  // Hosts of the others that were attached to it have lost as much as its own.
  const struck = await sink.ask<Record<string, number>>({ ask: "strike", node: victim.slot });
  const unharmedCount = ids.length - (struck[victim.slot] ?? 0);
  const own = await untilHeld(sink, manifest, unharmedCount, waitMs, victim.slot);
  const all = await untilHeld(sink, manifest, ids.length, waitMs);
  const attachedMs = await attached;
  sampling.abort();
  const peak = Math.max(...(await Promise.all(rates)));
  const { refusals } = await sink.ask<FleetLinks>({ ask: "links" });
  return {
    "connections lost": held.toFixed(0),
    "all attached s": (attachedMs / 1_000).toFixed(2),
    "all current s": ((all - startMs) / 1_000).toFixed(2),
    "survivors' hosts, rate / calm": ((calmOwn - calm.startMs) / (own - startMs)).toFixed(2),
    "peak attaches/s a node": `${peak.toFixed(0)} of ${attachesPerSecond}`,
    refusals: (refusals - before.refusals).toFixed(0),
  };
}

async function untilAttached(
  count: number,
  sinceMs: number,
  ask: () => Promise<FleetLinks>,
): Promise<number> {
  // The sink learns of the death a moment later.
  await sleep(100);
  while ((await ask()).attached < count) {
    if (performance.now() - sinceMs > waitMs) throw new Error("not all attached");
    await sleep(50);
  }
  return performance.now() - sinceMs;
}

/** The most attaches that a node let in within any second, until `signal` aborts. */
async function peakAttachRate(node: TestNode, signal: AbortSignal): Promise<number> {
  const samples: { readonly atMs: number; readonly count: number }[] = [];
  while (!signal.aborted) {
    const count = await metricOf(node, 'coxswain_attaches_total{outcome="admitted"}');
    if (!Number.isNaN(count)) samples.push({ atMs: performance.now(), count });
    await sleep(sampleMs);
  }
  let peak = 0;
  for (const [index, { atMs, count }] of samples.entries()) {
    const later = samples.slice(index + 1).find((sample) => sample.atMs - atMs >= 1_000);
    if (later === undefined) continue;
    peak = Math.max(peak, ((later.count - count) / (later.atMs - atMs)) * 1_000);
  }
  return peak;
}
