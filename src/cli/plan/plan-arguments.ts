/** Arguments that describe a fleet which does not exist yet, shared by `cost` and `plan`. */
import { CoxswainError } from "../../kernel/errors.ts";
import { limits } from "../../protocol/limits.ts";
import { parseDuration, parseInteger } from "../parse-arguments.ts";

const hostsMax = 100_000_000;

export interface FleetArguments {
  readonly nodes: string;
  readonly hosts: string;
  readonly partitions?: string;
  readonly beatInterval: string;
  readonly fleetPoll: string;
  readonly headPoll: string;
  readonly storeCall: string;
}

export interface FleetShape {
  readonly nodes: number;
  readonly hosts: number;
  readonly partitions: number;
  readonly beatIntervalMs: number;
  readonly fleetPollMs: number;
  readonly headPollMs: number;
  readonly storeCallMs: number;
}

/** Throws USAGE_INVALID. Without `--partitions` the rule of docs/operations.md decides. */
export function parseFleetShape(options: FleetArguments): FleetShape {
  const nodes = parseInteger("--nodes", options.nodes, 1, limits.nodesMax);
  const hosts = parseInteger("--hosts", options.hosts, 0, hostsMax);
  const { partitions = String(suggestedPartitions(nodes, hosts)) } = options;
  return {
    nodes,
    hosts,
    partitions: parsePartitions(partitions),
    beatIntervalMs: parseDuration("--beat-interval", options.beatInterval),
    fleetPollMs: parseDuration("--fleet-poll", options.fleetPoll),
    headPollMs: parseDuration("--head-poll", options.headPoll),
    storeCallMs: parseDuration("--store-call", options.storeCall),
  };
}

/** 150 partitions a node, and half of the most hosts that a partition takes; a power of two. */
export function suggestedPartitions(nodes: number, hosts: number): number {
  const wanted = Math.max(150 * nodes, hosts / (limits.hostsPerPartitionMax / 2), 1_024);
  return Math.min(limits.partitionsMax, 2 ** Math.ceil(Math.log2(wanted)));
}

function parsePartitions(text: string): number {
  const { partitionsMin, partitionsMax } = limits;
  const partitions = parseInteger("--partitions", text, partitionsMin, partitionsMax);
  if (Number.isInteger(Math.log2(partitions))) return partitions;
  throw new CoxswainError(
    "USAGE_INVALID",
    `Expected --partitions to be a power of two from ${partitionsMin} to ${partitionsMax}, got ${partitions}`,
  );
}

/** A decimal number, not negative. */
export function parseNumber(name: string, text: string, max: number): number {
  const number = /^\d{1,9}(?:\.\d{1,12})?$/.test(text) ? Number(text) : Number.NaN;
  if (number <= max) return number;
  throw new CoxswainError(
    "USAGE_INVALID",
    `Expected ${name} to be a number from 0 to ${max}, got ${JSON.stringify(text)}`,
  );
}

const unitBytes: Readonly<Record<string, number>> = { "": 1, B: 1, KB: 1_024, MB: 1_048_576 };

/** Bytes of `20KB`, `1.5MB`, `512`; from 1 to `bytesMax`. */
export function parseBytes(name: string, text: string, bytesMax: number): number {
  const [, number, unit = ""] = /^(\d{1,9}(?:\.\d{1,3})?)\s*(B|KB|MB)?$/i.exec(text.trim()) ?? [];
  const bytes = Math.round(Number(number) * (unitBytes[unit.toUpperCase()] ?? Number.NaN));
  if (bytes >= 1 && bytes <= bytesMax) return bytes;
  throw new CoxswainError(
    "USAGE_INVALID",
    `Expected ${name} to be a size such as 20KB, at most ${bytesMax} bytes, got ${JSON.stringify(text)}`,
  );
}
