/**
 * Everything starts at once: all agents say hello within a second, and then the node itself dies
 * (SIGKILL) and comes back under its slot with a release waiting. In both cases the hosts should see
 * no more than the pace, never nothing, and be done after N / pace.
 */
import { parseArgs } from "node:util";
import { rollOut, startFleetCluster, untilHeld, type FleetCluster } from "./fleet-cluster.ts";
import { machine, markdownTable } from "./measure.ts";
import { tickMs, wallMs, type Timeline } from "./sink-watch.ts";
import { startSink } from "./start-sink.ts";

const waitMs = 90_000;
const helloWithinMs = 1_000;
/** Pushes that a rest has saved up (50 ms of the pace) may come on top in a window of a second. */
const burstRatio = 1.05;
const ticksPerSecond = 1_000 / tickMs;

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      hosts: { type: "string", default: "5000" },
      pace: { type: "string", default: "1000" },
      json: { type: "boolean", default: false },
    },
  });
  const [hosts, pace] = [Number(values.hosts), Number(values.pace)];
  // Sweeps would come on top of what is counted here.
  const flags = ["--pushes-per-second", values.pace, "--sweep-interval", "10m"];
  const fleet = await startFleetCluster(1, hosts, flags);
  try {
    const rows = [await herdOfHellos(fleet, pace), await nodeRestart(fleet, pace)];
    const text = values.json
      ? JSON.stringify(rows)
      : `${hosts} hosts, pace ${pace}/s\n${machine()}\n\n${markdownTable(rows)}`;
    process.stdout.write(`${text}\n`);
  } finally {
    await fleet.stop();
  }
}

async function herdOfHellos(fleet: FleetCluster, pace: number) {
  const { cluster, sink, ids } = fleet;
  const node = cluster.node("node-1");
  const { manifest } = await rollOut(node.apiUrl, "before the herd");
  await untilHeld(sink, manifest, ids.length, waitMs);
  const startMs = wallMs();
  const accepted = await sayHello(node.fleetUrl, ids);
  // Each accepted hello is one sync; a host that says it twice would be synced once.
  const ticks = await untilQuiet(fleet, startMs, accepted);
  return rowOf(`hellos of all hosts in 1 s (${accepted} taken)`, ticks, accepted, pace);
}

/** From a process of its own: one that is busy calling would read late what reaches it meanwhile. */
async function sayHello(url: string, ids: readonly string[]): Promise<number> {
  const callers = await startSink();
  try {
    const question = { ask: "hello", urls: [url], ids, withinMs: helloWithinMs } as const;
    return (await callers.ask<{ accepted: number }>(question)).accepted;
  } finally {
    callers.stop();
  }
}

async function nodeRestart(fleet: FleetCluster, pace: number) {
  const { cluster, sink, ids } = fleet;
  cluster.node("node-1").signal("SIGKILL");
  const node = await cluster.startNode("node-1");
  await cluster.settled(1, node);
  const { startMs, manifest } = await rollOut(node.apiUrl, "after the restart");
  await untilHeld(sink, manifest, ids.length, waitMs);
  const ticks = await ticksSince(fleet, startMs);
  return rowOf("node killed and back, a release for all", ticks, ids.length, pace);
}

/** Syncs by tick from `startMs` until there were `count` of them, or none for two seconds. */
async function untilQuiet(fleet: FleetCluster, startMs: number, count: number): Promise<number[]> {
  const endMs = wallMs() + waitMs;
  for (;;) {
    const ticks = await ticksSince(fleet, startMs);
    const isQuiet = (wallMs() - startMs) / tickMs - ticks.length > 2 * ticksPerSecond;
    if (sumOf(ticks) >= count || isQuiet || wallMs() > endMs) return ticks;
    await new Promise((resolve) => {
      setTimeout(resolve, 250);
    });
  }
}

async function ticksSince({ sink }: FleetCluster, fromMs: number): Promise<number[]> {
  const { startMs, perTick } = await sink.ask<Timeline>({ ask: "timeline" });
  return perTick.slice(Math.max(0, Math.floor((fromMs - startMs) / tickMs)));
}

function rowOf(what: string, ticks: readonly number[], count: number, pace: number) {
  const first = ticks.findIndex((each) => each > 0);
  const busy = ticks.slice(first);
  const seconds = busy.length / ticksPerSecond;
  const windows = busy
    .slice(0, -ticksPerSecond)
    .map((_, start) => sumOf(busy.slice(start, start + ticksPerSecond)));
  const most = Math.max(0, ...windows);
  return {
    what,
    syncs: sumOf(busy),
    "most in a second": most,
    "within pace": most <= pace * burstRatio ? "yes" : "no",
    "least in a second": windows.length === 0 ? 0 : Math.min(...windows),
    "time to calm, s": seconds.toFixed(1),
    "N / pace, s": (count / pace).toFixed(1),
  };
}

function sumOf(counts: readonly number[]): number {
  return counts.reduce((sum, count) => sum + count, 0);
}
