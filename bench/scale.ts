/**
 * A million hosts on ten nodes: what each node computes, and how late its event loop is meanwhile.
 *
 * The slices of the ten nodes run one after the other in this process, each with the product's slice,
 * placement, rules and pusher; nothing is sent. The fleet is on paper (paper-store.ts): reading a
 * partition takes a turn of the loop, as over a network, and making up its items is counted as if it
 * were the client's work. Phases: take up the view of ten members and load the slice; new rules, so that every
 * host gets another manifest; one member gone, so that each survivor loads a ninth more.
 */
import { parseArgs } from "node:util";
import { FleetStore } from "../src/inventory/fleet.ts";
import { HostStore } from "../src/inventory/hosts.ts";
import { systemClock } from "../src/kernel/clock.ts";
import { silentLogger } from "../src/kernel/log.ts";
import { createMetrics } from "../src/kernel/metrics.ts";
import { createRandom } from "../src/kernel/random.ts";
import type { MembershipSnapshot } from "../src/membership/snapshot.ts";
import { Slice } from "../src/node/slice.ts";
import { defaultPushOptions } from "../src/push/push-options.ts";
import { createPusher } from "../src/push/pusher.ts";
import type { Transport } from "../src/push/transport.ts";
import { partitionOf } from "../src/ring/hash.ts";
import type { View } from "../src/ring/view.ts";
import { LoopWatch, type Delays } from "./loop-watch.ts";
import { machine, markdownTable } from "./measure.ts";
import { rollOutToAll } from "./paper-node.ts";
import { PaperStore } from "./paper-store.ts";

const overlapMaxMs = 10_000;
const loadsMaxMs = 90_000;

interface Phase {
  readonly name: string;
  readonly hosts: number;
  readonly ms: number;
  readonly lag: Delays;
  readonly busy: Delays;
}

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      hosts: { type: "string", default: "1000000" },
      nodes: { type: "string", default: "10" },
      partitions: { type: "string", default: "16384" },
      json: { type: "boolean", default: false },
    },
  });
  const [hosts, nodes] = [Number(values.hosts), Number(values.nodes)];
  const partitions = Number(values.partitions);
  const store = new PaperStore({ partitions, hosts, port: 9_000 });
  const startMs = performance.now();
  const phases: Phase[] = [];
  let round = 0;
  await rollOutToAll(store, partitions, round);
  for (let node = 0; node < nodes && performance.now() - startMs < loadsMaxMs; node++) {
    phases.push(...(await runSlice(store, partitions, nodes, node, ++round)));
  }
  const slices = phases.filter(({ name }) => name === phases[0]?.name).length;
  const rows = [...Map.groupBy(phases, ({ name }) => name)].map(([phase, all]) => ({
    phase,
    "hosts / node": Math.round(all.reduce((sum, each) => sum + each.hosts, 0) / all.length),
    "ms, slowest": Math.max(...all.map(({ ms }) => ms)).toFixed(0),
    "lag p99 ms": Math.max(...all.map(({ lag }) => lag.p99)).toFixed(1),
    "lag max ms": Math.max(...all.map(({ lag }) => lag.max)).toFixed(1),
    "turn p99, CPU ms": Math.max(...all.map(({ busy }) => busy.p99)).toFixed(1),
    "turn max, CPU ms": Math.max(...all.map(({ busy }) => busy.max)).toFixed(1),
  }));
  if (values.json) process.stdout.write(`${JSON.stringify({ hosts, nodes, slices, rows })}\n`);
  else {
    process.stdout.write(
      `${hosts} hosts, ${slices} of ${nodes} nodes one after the other, P = ${partitions}\n` +
        `${machine()}\n\n${markdownTable(rows)}\n`,
    );
  }
}

async function runSlice(
  store: PaperStore,
  partitions: number,
  nodes: number,
  node: number,
  round: number,
): Promise<Phase[]> {
  const slice = sliceOver(store, partitions, node);
  const slots = Array.from({ length: nodes }, (_, index) => slotOf(index));
  const { signal } = new AbortController();
  const adopt = (version: number, members: readonly string[]) =>
    slice.adopt(snapshotOf(version, members, slotOf(node)), () => false, signal);
  const phases = [await watched("view and load", slice, () => adopt(1, slots))];
  await rollOutToAll(store, partitions, round);
  phases.push(await watched("new rules", slice, () => slice.refreshFleet()));
  const victim = slotOf((node + 1) % nodes);
  const rest = slots.filter((slot) => slot !== victim);
  phases.push(await watched("a member gone", slice, () => adopt(2, rest)));
  return phases;
}

async function watched(name: string, slice: Slice, work: () => Promise<void>): Promise<Phase> {
  const watch = new LoopWatch();
  const startMs = performance.now();
  watch.start();
  await work();
  const ms = performance.now() - startMs;
  // The last delay shows only once the loop is free again.
  await systemClock.sleep(20);
  return { name, hosts: slice.hostsCount(), ms, ...watch.stop() };
}

function sliceOver(store: PaperStore, partitions: number, node: number): Slice {
  const transport: Transport = {
    socketCount: 0,
    exchange: () => Promise.reject(new Error("nothing is sent here")),
    drop: () => {},
  };
  const nothing = {
    onStatus() {},
    onStale() {},
    onNewerView() {},
    onReachability() {},
    onDrift() {},
  };
  const pusher = createPusher(
    {
      clock: systemClock,
      random: createRandom("scale"),
      transport,
      contents: () => Promise.reject(new Error("nothing is rendered here")),
      log: silentLogger,
      metrics: createMetrics(),
      mayPush: () => false,
    },
    { cluster: "bench", node: slotOf(node), view: () => slice.view },
    defaultPushOptions,
    nothing,
  );
  const slice: Slice = new Slice(
    {
      clock: systemClock,
      log: silentLogger,
      hosts: new HostStore({ store, partitionOf: (id) => partitionOf(id, partitions) }),
      fleets: new FleetStore(store, createRandom("scale")),
      pusher,
      checkpoints: { read: async () => new Map(), write: async () => {} },
      storedView: async () => slice.view,
      report: () => {},
    },
    { partitionsCount: partitions, overlapMaxMs },
  );
  return slice;
}

function slotOf(index: number): string {
  return `node-${index + 1}`;
}

function snapshotOf(version: number, slots: readonly string[], self: string): MembershipSnapshot {
  const members = slots.map((slot) => ({
    slot,
    incarnation: 1,
    state: "active" as const,
    weight: 1,
    zone: "",
    url: `http://${slot}:7400`,
    fleetUrl: `http://${slot}:7401`,
  }));
  const view: View = { generation: 1, version, members };
  return {
    view,
    members: new Map(),
    silentSlots: new Set(),
    self: { slot: self, incarnation: 1, status: "active" },
    isStoreReachable: true,
    isStoreBehind: false,
  };
}
