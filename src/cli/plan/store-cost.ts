/**
 * What a cluster asks of its table, in DynamoDB's capacity units, as closed formulas.
 *
 * Idle, a cluster repeats a few requests for ever: beats, the view and the members (N nodes read N rows:
 * the one term that grows with the square of N), the rules, the partitions' heads, and a slow re-read of
 * every partition. A rollout adds its own items, one read of rules and content a node, and one checkpoint
 * a partition with hosts. `npm run bench -- cost` holds these formulas against the shipped nodes.
 *
 * The loops for rules and heads wait after their work, so a slow store is asked less often: `storeCallMs`.
 */
import { packsPerPartition } from "../../inventory/host-pack.ts";
import { filledRatio, meanOverPartitions, readUnits, writeUnits } from "./capacity-units.ts";

export interface StoreLoad {
  readonly nodes: number;
  readonly hosts: number;
  readonly partitions: number;
  readonly beatIntervalMs: number;
  readonly fleetPollMs: number;
  readonly headPollMs: number;
  /** Mean time of one store call. */
  readonly storeCallMs: number;
  /** The `fleet` item, compressed; a handful of rules unless given. */
  readonly rulesBytes?: number;
}

/** One line of the bill: units a second, or units an event. */
export interface UnitRow {
  readonly what: string;
  readonly kind: string;
  readonly access: "read" | "write";
  readonly units: number;
}

/**
 * Sizes of items in bytes, keys and names included, as `npm run bench -- cost` finds them with slots
 * and URLs of usual length (node-17, http://10.20.0.17:7400) and two labels a host.
 */
const sizes = {
  member: 393,
  viewBase: 90,
  viewMember: 146,
  /** A handful of rules, compressed. */
  rules: 400,
  /** One with an item of its own. An import's hosts are in packs, at about a tenth. */
  host: 150,
  packBase: 90,
  packHost: 12,
  /** Compressed: a checkpoint repeats manifest and fence in every entry. */
  checkpointBase: 260,
  checkpointHost: 21,
} as const;

const headsPerBatch = 100;
/** Every served partition is read whole once in this time, a few at each poll of the heads. */
const rereadAllMs = 600_000;

/** Units a second of a cluster in which nothing changes; hosts are swept without touching the table. */
export function idleUnits(load: StoreLoad): UnitRow[] {
  const { nodes, partitions, beatIntervalMs, fleetPollMs, headPollMs, storeCallMs } = load;
  const { rulesBytes = sizes.rules } = load;
  const rounds = (nodes * 1_000) / beatIntervalMs;
  const served = partitions / nodes;
  const rereads = Math.ceil(served / Math.max(1, rereadAllMs / headPollMs));
  // Batches follow one another; the re-reads after them (head, then hosts) run side by side.
  const headPollCalls = Math.ceil(served / headsPerBatch) + 2;
  const headPolls = (nodes * 1_000) / (headPollMs + headPollCalls * storeCallMs);
  const fleetPolls = (nodes * 1_000) / (fleetPollMs + storeCallMs);
  return [
    row("beats", "member", "write", rounds * writeUnits(sizes.member)),
    row("reads of all members' rows", "member", "read", rounds * readUnits(nodes * sizes.member)),
    row(
      "reads of the view",
      "view",
      "read",
      rounds * readUnits(sizes.viewBase + nodes * sizes.viewMember),
    ),
    row("polls of the rules", "fleet", "read", fleetPolls * readUnits(rulesBytes)),
    // Eventually consistent, at half a unit a head; then each re-read takes a head for sure.
    row("polls of the partitions' heads", "head", "read", headPolls * (served / 2 + rereads)),
    row("slow re-read of all hosts", "host", "read", headPolls * rereads * hostsRead(load)),
  ];
}

/** Units of one new release of `contentBytes` (compressed) on all hosts. */
export function rolloutUnits(load: StoreLoad, contentBytes: number): UnitRow[] {
  const { nodes, hosts, partitions } = load;
  const mean = hosts / partitions;
  const checkpoint = meanOverPartitions(mean, (count) =>
    writeUnits(sizes.checkpointBase + count * sizes.checkpointHost),
  );
  const content = contentBytes + sizes.rules;
  return [
    row("release and its content", "release", "write", 2 + writeUnits(content)),
    row("content, read once a node", "release", "read", 2 + nodes * readUnits(content)),
    row("rules", "fleet", "write", writeUnits(sizes.rules)),
    row("rules, read at the hint", "fleet", "read", (nodes + 1) * readUnits(sizes.rules)),
    row("rollout", "rollout", "write", 2),
    row("audit", "audit", "write", 2),
    row("checkpoints", "checkpoint", "write", partitions * filledRatio(mean) * checkpoint),
  ];
}

/** Units of one change of one host: its address, a label, a pin. */
export function hostChangeUnits(load: StoreLoad): UnitRow[] {
  const pack = sizes.packBase + (load.hosts / load.partitions / packsPerPartition) * sizes.packHost;
  return [
    row("head, before and after", "head", "write", 2),
    row("the host's record, or its pack", "host", "write", writeUnits(pack)),
    row("audit", "audit", "write", 1),
    row("checkpoint", "checkpoint", "write", 1),
    row("head, read at the hint", "head", "read", 1),
    // Both places where a record may be, one of them empty.
    row(
      "record, and the partition at the hint",
      "host",
      "read",
      1 + readUnits(pack) + hostsRead(load),
    ),
  ];
}

export function sumUnits(rows: readonly UnitRow[], access: UnitRow["access"]): number {
  return rows.filter((each) => each.access === access).reduce((sum, { units }) => sum + units, 0);
}

/** Units to read the hosts of a partition, 0 where it has none: an untouched head says so. */
function hostsRead({ hosts, partitions }: StoreLoad): number {
  const mean = hosts / partitions;
  return filledRatio(mean) * meanOverPartitions(mean, (count) => readUnits(count * sizes.host));
}

function row(what: string, kind: string, access: UnitRow["access"], units: number): UnitRow {
  return { what, kind, access, units };
}
