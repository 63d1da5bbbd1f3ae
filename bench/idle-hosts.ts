/**
 * What a known host costs that is in sync and has no socket: a real node, real replies from a sink, a
 * budget of few sockets, and a fleet that is registered in the store only on paper (paper-store.ts).
 *
 * The growth from a smaller fleet to a larger one, each in a process of its own, is what counts:
 * what a node costs without hosts drops out.
 */
import { execFile } from "node:child_process";
import { writeHeapSnapshot } from "node:v8";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { systemClock } from "../src/kernel/clock.ts";
import { machine, markdownTable, median } from "./measure.ts";
import { rollOutToAll, startPaperNode } from "./paper-node.ts";
import { PaperStore } from "./paper-store.ts";
import { startSink } from "./start-sink.ts";

const partitions = 1_024;
const socketsMax = 256;
const readyMaxMs = 120_000;
const pollMs = 250;
const settleMs = 400;

interface Footprint {
  readonly residentBytes: number;
  readonly heapBytes: number;
}

/** The table: growth per host from `smallCount` to `largeCount` hosts, `rounds` times. */
export async function reportIdleHosts(
  smallCount: number,
  largeCount: number,
  rounds: number,
): Promise<void> {
  const [resident, heap]: [number[], number[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    const small = await measureAside(smallCount);
    const large = await measureAside(largeCount);
    const perHost = (field: keyof Footprint) =>
      (large[field] - small[field]) / (largeCount - smallCount);
    resident.push(perHost("residentBytes"));
    heap.push(perHost("heapBytes"));
  }
  const rows = [
    { what: "resident memory", ...cells(resident) },
    { what: "heap", ...cells(heap) },
  ];
  process.stdout.write(
    `${largeCount} idle hosts against ${smallCount}, ${socketsMax} sockets, ${rounds} rounds, medians\n` +
      `${machine()}\n\n${markdownTable(rows)}\n`,
  );
}

function cells(bytes: readonly number[]) {
  return {
    "bytes / host": median(bytes).toFixed(0),
    rounds: bytes.map((each) => each.toFixed(0)).join(" "),
  };
}

async function measureAside(hosts: number): Promise<Footprint> {
  const main = fileURLToPath(new URL("main.ts", import.meta.url));
  const args = ["--expose-gc", main, "memory", "--idle-here", String(hosts)];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout) as Footprint;
}

/** Measures in this process; prints one line of JSON. `snapshotFile`: keeps a heap snapshot as well. */
export async function measureIdleHosts(hosts: number, snapshotFile?: string): Promise<void> {
  const { port, stop } = await startSink();
  const store = new PaperStore({ partitions, hosts, port });
  await rollOutToAll(store, partitions);
  const node = await startPaperNode(store, partitions, {
    slot: "node-1",
    sockets: String(socketsMax),
    inFlight: "128",
    pushesPerSecond: "20000",
    sweepInterval: "10m",
  });
  try {
    await untilInSync(node.metrics, hosts);
    if (snapshotFile !== undefined) writeHeapSnapshot(snapshotFile);
    process.stdout.write(`${JSON.stringify(await footprint())}\n`);
  } finally {
    await node.stop();
    stop();
  }
}

async function untilInSync(
  metrics: Awaited<ReturnType<typeof startPaperNode>>["metrics"],
  hosts: number,
): Promise<void> {
  const endMs = performance.now() + readyMaxMs;
  for (;;) {
    const [owned, out] = [await valueOf(metrics.hostsOwned), await valueOf(metrics.hostsOutOfSync)];
    if (owned === hosts && out === 0) return;
    if (performance.now() > endMs) throw new Error(`${owned} hosts owned, ${out} out of sync`);
    await systemClock.sleep(pollMs);
  }
}

interface Readable {
  get(): Promise<{ values: readonly { value: number }[] }>;
}

async function valueOf(gauge: Readable): Promise<number> {
  return (await gauge.get()).values[0]?.value ?? Number.NaN;
}

async function footprint(): Promise<Footprint> {
  // The reply path's own leftovers go with the collections.
  for (let turn = 0; turn < 5; turn++) {
    await globalThis.gc?.({ type: "major", execution: "async", flavor: "last-resort" });
    await systemClock.sleep(settleMs);
  }
  const { rss, heapUsed, external } = process.memoryUsage();
  return { residentBytes: rss, heapBytes: heapUsed + external };
}
