/**
 * Placement against a ring with virtual nodes: the npm package `hashring` 3.2.0 with its defaults
 * (ketama, MD5, 160 points a node).
 *
 * Balance and movement are counted over the same 100,000 host ids for both, so partition granularity
 * is in our figures; they are the same on every machine. Times are medians of interleaved
 * rounds. Movement is the mean over several joins and leaves, as a multiple of the ideal: 1/(N + 1)
 * of the hosts for a join, 1/N for a leave.
 */
import { parseArgs } from "node:util";
import HashRing from "hashring";

import { partitionOf } from "../src/ring/hash.ts";
import { place } from "../src/ring/placement.ts";
import type { View } from "../src/ring/view.ts";
import {
  interleave,
  machine,
  markdownTable,
  median,
  medianRatio,
  percentile,
  retainedBytes,
  timedMs,
  type TableRow,
} from "./measure.ts";

const nodeCounts = [3, 10, 50, 100];
const partitionCounts = [1_024, 16_384];
const hostCount = 100_000;
/** A ring's balance is luck of the names: it is reported for the least lucky of these sets. */
const prefixes = ["node-", "cp-", "orchestrator-", "n", "eu-west-1a."];
/** Builds in one measurement, so that it is well above the clock's resolution. */
const buildCount = 5;
const ringName = "hashring 3.2.0";

type OwnerOf = (host: string) => string | undefined;

/** One contender: how it builds from node names, and how it then finds a host's owner. */
interface Contender {
  readonly name: string;
  /** Also what is kept in memory. */
  readonly build: (nodes: readonly string[]) => { readonly ownerOf: OwnerOf };
  /** Partitions of the fullest node over the mean; a ring has none. */
  readonly partitionBalance?: (nodes: readonly string[]) => number;
}

interface Result {
  readonly nodes: number;
  readonly contender: string;
  readonly maxOverMeanPartitions: number | undefined;
  readonly maxOverMeanHosts: number;
  readonly joinOverIdeal: number;
  readonly leaveOverIdeal: number;
  readonly worstOverIdeal: number;
  readonly buildMs: number;
  readonly buildRatio: number;
  readonly lookupNs: number;
  readonly lookupRatio: number;
  readonly kilobytes: number;
}

/** `npm run bench -- placement [--json] [--rounds 9]` */
export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      json: { type: "boolean", default: false },
      rounds: { type: "string", default: "9" },
    },
  });
  const rounds = Math.max(7, Math.trunc(Number(values.rounds)) || 0);
  const hosts = Array.from({ length: hostCount }, (_, index) => `host-${index}.example`);
  const results: Result[] = [];
  for (const nodes of nodeCounts) results.push(...(await compare(nodes, hosts, rounds)));
  const text = values.json
    ? JSON.stringify({ machine: machine(), rounds, hosts: hostCount, results }, null, 2)
    : `${machine()}; ${rounds} interleaved rounds, ${hostCount} hosts\n\n${markdownTable(results.map(rowOf))}`;
  process.stdout.write(`${text}\n`);
}

const contenders: readonly Contender[] = [
  {
    name: ringName,
    build(nodes) {
      const ring = new HashRing(nodes);
      return { ownerOf: (host) => ring.get(host) };
    },
  },
  ...partitionCounts.map((partitions): Contender => ({
    name: `placement, P = ${partitions}`,
    build(nodes) {
      const placement = place(viewOf(nodes), partitions);
      return { ownerOf: (host) => placement.ownerOf(partitionOf(host, partitions)) };
    },
    partitionBalance(nodes) {
      const placement = place(viewOf(nodes), partitions);
      const counts = nodes.map((node) => placement.countOf(node));
      return (Math.max(...counts) * nodes.length) / partitions;
    },
  })),
];

async function compare(
  nodeCount: number,
  hosts: readonly string[],
  rounds: number,
): Promise<Result[]> {
  const nameSets = prefixes.map((prefix) =>
    Array.from({ length: nodeCount }, (_, index) => `${prefix}${index + 1}`),
  );
  const nodes = nameSets[0] ?? [];
  const worst = (balanceOf: (names: readonly string[]) => number): number =>
    Math.max(...nameSets.map(balanceOf));
  const built = contenders.map(({ name, build }) => ({ name, ownerOf: build(nodes).ownerOf }));
  const builds = await interleave(
    contenders.map(({ name, build }) => ({
      name,
      run: () => perPiece(buildCount, () => build(nodes)),
    })),
    rounds,
    { warmupRounds: 3 },
  );
  const lookups = await interleave(
    built.map(({ name, ownerOf }) => ({ name, run: () => lookupAll(hosts, ownerOf) })),
    rounds,
    { warmupRounds: 1 },
  );
  return contenders.map((contender) => {
    const { name, build, partitionBalance } = contender;
    const buildsMs = builds.get(name) ?? [];
    const lookupsMs = lookups.get(name) ?? [];
    return {
      nodes: nodeCount,
      contender: name,
      maxOverMeanPartitions: partitionBalance && worst(partitionBalance),
      maxOverMeanHosts: worst((names) => hostBalance(names, hosts, build(names).ownerOf)),
      ...movement(nodes, hosts, contender),
      buildMs: median(buildsMs),
      buildRatio: medianRatio(buildsMs, builds.get(ringName) ?? []),
      lookupNs: (median(lookupsMs) * 1e6) / hosts.length,
      lookupRatio: medianRatio(lookupsMs, lookups.get(ringName) ?? []),
      kilobytes: retainedBytes(() => build(nodes), 20) / 1_000,
    };
  });
}

function hostBalance(nodes: readonly string[], hosts: readonly string[], ownerOf: OwnerOf): number {
  const counts = new Map<string | undefined, number>();
  for (const host of hosts) {
    const owner = ownerOf(host);
    counts.set(owner, (counts.get(owner) ?? 0) + 1);
  }
  return (Math.max(...counts.values()) * nodes.length) / hosts.length;
}

/** Means and the worst of seven joins and up to seven leaves. */
function movement(
  nodes: readonly string[],
  hosts: readonly string[],
  { build }: Contender,
): Pick<Result, "joinOverIdeal" | "leaveOverIdeal" | "worstOverIdeal"> {
  const before = hosts.map(build(nodes).ownerOf);
  const movedShare = (after: readonly string[]): number => {
    const { ownerOf } = build(after);
    return hosts.filter((host, index) => ownerOf(host) !== before[index]).length / hosts.length;
  };
  const count = nodes.length;
  const joins = Array.from(
    { length: 7 },
    (_, index) => movedShare([...nodes, `new-${index}`]) * (count + 1),
  );
  const leaves = Array.from(
    { length: Math.min(7, count) },
    (_, index) => movedShare(nodes.toSpliced(Math.floor((index * count) / 7) % count, 1)) * count,
  );
  return {
    joinOverIdeal: mean(joins),
    leaveOverIdeal: mean(leaves),
    worstOverIdeal: percentile([...joins, ...leaves], 1),
  };
}

async function perPiece(count: number, work: () => unknown): Promise<number> {
  const elapsedMs = await timedMs(() => {
    for (let index = 0; index < count; index++) work();
  });
  return elapsedMs / count;
}

async function lookupAll(hosts: readonly string[], ownerOf: OwnerOf): Promise<number> {
  return await timedMs(() => {
    for (const host of hosts) ownerOf(host);
  });
}

function viewOf(nodes: readonly string[]): View {
  return {
    generation: 1,
    version: 1,
    members: nodes.map((slot) => ({
      slot,
      incarnation: 1,
      state: "active",
      weight: 1,
      zone: "",
      url: "",
      fleetUrl: "",
    })),
  };
}

function rowOf(result: Result): TableRow {
  return {
    nodes: result.nodes,
    "": result.contender,
    "max/mean partitions": result.maxOverMeanPartitions?.toFixed(3) ?? "",
    "max/mean hosts": result.maxOverMeanHosts.toFixed(3),
    "join x ideal": result.joinOverIdeal.toFixed(2),
    "leave x ideal": result.leaveOverIdeal.toFixed(2),
    "worst x ideal": result.worstOverIdeal.toFixed(2),
    "build ms": result.buildMs.toFixed(2),
    "build ratio": result.buildRatio.toFixed(2),
    "lookup ns": result.lookupNs.toFixed(0),
    "lookup ratio": result.lookupRatio.toFixed(2),
    "memory KB": result.kilobytes.toFixed(0),
  };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
