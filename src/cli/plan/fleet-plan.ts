/**
 * What a fleet of a size asks of its nodes: memory, sockets, time of a full push, sweeps, network,
 * takeover, and where it runs into a limit. Pure arithmetic on measured constants; no guess is hidden in
 * it, and where a figure depends on an option of the node the option is named.
 */
import { limits } from "../../protocol/limits.ts";
import { defaultPushOptions } from "../../push/push-options.ts";
import { measured } from "./measured.ts";
import { suggestedPartitions, type FleetShape } from "./plan-arguments.ts";

export interface PlanInput extends FleetShape {
  /** Content of one release as it travels (compressed). */
  readonly contentBytes: number;
  /** `--pushes-per-second` of each node. */
  readonly pushesPerSecond: number;
  readonly sweepIntervalMs: number;
  /** `--sockets` of each node. */
  readonly sockets: number;
  /** The `fleet` item, compressed. */
  readonly rulesBytes: number;
}

export interface FleetPlan {
  readonly hostsPerNode: number;
  readonly hostsPerNodeAfterLoss: number;
  readonly hostsPerPartition: number;
  readonly memoryBytes: number;
  readonly sockets: number;
  readonly fullPushSeconds: number;
  readonly fullPushBitsPerSecond: number;
  readonly fullPushCores: number;
  readonly sweepsPerSecond: number;
  readonly sweepSeconds: number;
  readonly sweepBitsPerSecond: number;
  readonly takeoverSeconds: number;
  readonly takeoverHosts: number;
  readonly takeoverPartitions: number;
  readonly warnings: readonly string[];
}

/** Fullest node over the mean (docs/placement.md), with P >= 150 x nodes. */
const imbalanceRatio = 1.06;
const loadsAtOnce = 24;
/** Head, hosts and checkpoint of a partition. */
const callsPerLoad = 3;
/** One core sends; beats, api and garbage collection need the rest of it. */
const coreShareMax = 0.7;
/** Node.js's own heap limit on machines with 4 GB and more is about this. */
const heapBytesMax = 4e9;

export function planFleet(input: PlanInput): FleetPlan {
  const { nodes, hosts, partitions, contentBytes, pushesPerSecond } = input;
  const hostsPerNode = Math.ceil((hosts / nodes) * (nodes > 1 ? imbalanceRatio : 1));
  const survivors = Math.max(1, nodes - 1);
  const takeoverHosts = nodes > 1 ? Math.ceil(hosts / nodes / survivors) : hosts;
  const takeoverPartitions = Math.ceil(partitions / nodes / survivors);
  const hostsPerNodeAfterLoss = nodes > 1 ? hostsPerNode + takeoverHosts : hosts;
  const sockets = Math.min(input.sockets, hostsPerNodeAfterLoss);
  const exchangeBytes = measured.requestBytes.value + measured.replyBytes.value;
  const sweepsPerSecond = Math.min(
    (hostsPerNode * 1_000) / input.sweepIntervalMs,
    defaultPushOptions.sweepShareRatio * pushesPerSecond,
  );
  const loadRounds = Math.ceil(takeoverPartitions / loadsAtOnce);
  const plan = {
    hostsPerNode,
    hostsPerNodeAfterLoss,
    hostsPerPartition: hosts / partitions,
    memoryBytes:
      measured.processBytes.value +
      hostsPerNodeAfterLoss * measured.idleHostBytes.value +
      sockets * measured.connectionBytes.value +
      defaultPushOptions.cacheBytesMax,
    sockets,
    fullPushSeconds: hostsPerNode / pushesPerSecond,
    fullPushBitsPerSecond: 8 * pushesPerSecond * (contentBytes + exchangeBytes),
    fullPushCores: pushesPerSecond * pushCpuSeconds(input, hostsPerNode),
    sweepsPerSecond,
    sweepSeconds: sweepsPerSecond === 0 ? 0 : hostsPerNode / sweepsPerSecond,
    sweepBitsPerSecond: 8 * sweepsPerSecond * exchangeBytes,
    takeoverSeconds:
      measured.detectSeconds.value +
      (loadRounds * callsPerLoad * input.storeCallMs) / 1_000 +
      takeoverHosts * measured.loadHostSeconds.value,
    takeoverHosts,
    takeoverPartitions,
  };
  return { ...plan, warnings: warningsOf(input, plan) };
}

/** A host without a kept connection is connected to first. */
function pushCpuSeconds({ sockets }: PlanInput, hostsPerNode: number): number {
  const keptRatio = Math.min(1, sockets / Math.max(1, hostsPerNode));
  return (
    keptRatio * measured.pushCpuSeconds.value + (1 - keptRatio) * measured.firstPushCpuSeconds.value
  );
}

function warningsOf(input: PlanInput, plan: Omit<FleetPlan, "warnings">): string[] {
  const warnings: string[] = [];
  const { nodes, hosts, partitions, pushesPerSecond, sweepIntervalMs } = input;
  const suggested = suggestedPartitions(nodes, hosts);
  const mean = plan.hostsPerPartition;
  // Hosts fall into partitions by chance: five deviations cover the fullest of 65,536.
  const fullest = Math.ceil(mean + 5 * Math.sqrt(mean));
  if (fullest > limits.hostsPerPartitionMax) {
    warnings.push(
      `the fullest partition gets about ${fullest} hosts, the limit is ${limits.hostsPerPartitionMax}: ` +
        (suggested > partitions
          ? `init with --partitions ${suggested}`
          : `one cluster holds at most ${limits.partitionsMax} partitions: split the fleet`),
    );
  }
  if (partitions < 150 * nodes && suggested > partitions) {
    warnings.push(
      `${partitions} partitions are few for ${nodes} nodes: hosts are spread unevenly and more of them move; init with --partitions ${suggested}`,
    );
  }
  if (input.rulesBytes > limits.rulesBytesMax) {
    warnings.push(
      `rules of ${input.rulesBytes} bytes exceed the limit of ${limits.rulesBytesMax}: use fewer, wider selectors`,
    );
  }
  const paceForSweep = Math.ceil(
    (plan.hostsPerNode * 1_000) / sweepIntervalMs / defaultPushOptions.sweepShareRatio,
  );
  if (paceForSweep > pushesPerSecond) {
    warnings.push(
      `a sweep takes ${Math.round(plan.sweepSeconds)} s instead of ${Math.round(sweepIntervalMs / 1_000)} s: sweeps get a tenth of the pace; set --sweep-interval ${Math.ceil(plan.sweepSeconds)}s or take more nodes (--pace ${paceForSweep} would do it)`,
    );
  }
  if (plan.fullPushCores > coreShareMax) {
    const pace = Math.floor((pushesPerSecond * coreShareMax) / plan.fullPushCores);
    warnings.push(
      `${pushesPerSecond} pushes/s take ${plan.fullPushCores.toFixed(2)} of a core, a node has one: use --pace ${pace}, or more nodes`,
    );
  }
  if (plan.memoryBytes > heapBytesMax) {
    const wanted = Math.ceil((plan.memoryBytes / heapBytesMax) * nodes);
    warnings.push(
      `a node needs ${(plan.memoryBytes / 1e9).toFixed(1)} GB: take ${wanted} nodes or raise Node.js's heap limit`,
    );
  }
  return warnings;
}
