/**
 * What a cluster costs its table: capacity units a second while nothing changes, and of one rollout,
 * for 3 to 100 nodes, beside the formula that `coxswain cost` prints.
 *
 * `real` asks DynamoDB Local, which answers what each call consumed; `virtual` runs the same nodes on
 * simulated time and computes units by DynamoDB's published rules. Where both run they are compared.
 */
import { randomBytes } from "node:crypto";
import { parseArgs } from "node:util";
import { startDynamodbLocal } from "../integration/dynamodb-local.ts";
import { filledRatio } from "../src/cli/plan/capacity-units.ts";
import { idleUnits, rolloutUnits, sumUnits, type UnitRow } from "../src/cli/plan/store-cost.ts";
import { CostCluster, realGround, storeLatencyMs, virtualGround } from "./cost-cluster.ts";
import type { CostPlan, Ground } from "./cost-cluster.ts";
import { difference, total } from "./counted-store.ts";
import { machine, markdownTable, type TableRow } from "./measure.ts";

/** Checkpoints of the hosts' first contact are over, and polls have found their rhythm. */
const calmMs = 20_000;
const contentBytes = 1_024;
const rolloutMs = 30_000;
const defaultPartitions = new Map([
  [3, 1_024],
  [10, 2_048],
  [30, 8_192],
  [100, 16_384],
]);

type Units = ReadonlyMap<string, number>;

interface Measured {
  readonly plan: CostPlan;
  readonly ground: "real" | "virtual";
  readonly storeCallMs: number;
  readonly idle: Units;
  readonly rollout: Units;
}

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      nodes: { type: "string", default: "3,10,30,100" },
      real: { type: "string", default: "3,10" },
      hosts: { type: "string", default: "3000" },
      seconds: { type: "string", default: "60" },
      detail: { type: "boolean", default: false },
    },
  });
  const measured: Measured[] = [];
  for (const ground of ["real", "virtual"] as const) {
    const counts = ground === "real" ? values.real : values.nodes;
    for (const nodes of counts.split(",").filter((text) => text !== "")) {
      const partitions = defaultPartitions.get(Number(nodes)) ?? 1_024;
      const plan = { nodes: Number(nodes), partitions, hosts: Number(values.hosts) };
      const result = await measure(plan, ground, Number(values.seconds) * 1_000);
      if (result === undefined) continue;
      measured.push(result);
      console.error(Object.values(rowOf(result)).join(" | "));
      if (values.detail) console.error(result);
    }
  }
  console.log(`${machine()}; ${values.hosts} hosts, ${values.seconds} s idle`);
  console.log(markdownTable(measured.map(rowOf)));
}

async function measure(
  plan: CostPlan,
  ground: Measured["ground"],
  idleMs: number,
): Promise<Measured | undefined> {
  if (ground === "virtual") return measureOn(virtualGround(), plan, ground, idleMs);
  const engine = await startDynamodbLocal();
  if ("unavailable" in engine) {
    console.error(`skipped: ${engine.unavailable}`);
    return undefined;
  }
  try {
    return await measureOn(await realGround(engine.endpoint, "cost"), plan, ground, idleMs);
  } finally {
    await engine.stop();
  }
}

async function measureOn(
  ground: Ground,
  plan: CostPlan,
  name: Measured["ground"],
  idleMs: number,
): Promise<Measured> {
  const cluster = await CostCluster.start(ground, plan);
  try {
    const { counts } = cluster;
    await cluster.advance(calmMs);
    const start = counts.copy();
    const calls = counts.calls();
    await cluster.advance(idleMs);
    const idle = difference(counts.copy(), start, idleMs / 1_000);
    const storeCallMs = name === "real" ? counts.meanMsSince(calls) : storeLatencyMs;
    const before = counts.copy();
    const content = randomBytes(contentBytes / 2).toString("hex");
    const { operations } = cluster.node;
    const release = operations.putRelease("routes.json", Buffer.from(content), "bench");
    const { digest } = await cluster.during(release);
    await cluster.during(operations.startRollout({ config: "routes.json", digest }, "bench"));
    await cluster.advance(rolloutMs);
    const rollout = difference(counts.copy(), before);
    return { plan, ground: name, storeCallMs, idle, rollout: less(rollout, idle, rolloutMs) };
  } finally {
    await cluster.stop();
  }
}

/** What a rollout added to `rolloutMs` of idling. */
function less(rollout: Units, idle: Units, durationMs: number): Units {
  const steady = new Set(idleUnits(loadOf({ nodes: 3, partitions: 64, hosts: 1 }, 1)).map(nameOf));
  const perRollout = [...rollout].map(([name, units]) => {
    const isSteady = steady.has(name);
    const idled = ((idle.get(name) ?? 0) * durationMs) / 1_000;
    return [name, isSteady ? units - idled : units] as const;
  });
  return new Map(perRollout);
}

const nameOf = ({ kind, access }: UnitRow): string => `${kind} ${access}`;

function loadOf(plan: CostPlan, storeCallMs: number) {
  const polls = { beatIntervalMs: 1_000, fleetPollMs: 1_000, headPollMs: 10_000 };
  return { ...plan, ...polls, storeCallMs };
}

const compared = (found: number, formula: number) =>
  `${found.toFixed(1)} / ${formula.toFixed(1)} = ${(found / formula).toFixed(3)}`;

function rowOf({ plan, ground, storeCallMs, idle, rollout }: Measured): TableRow {
  const load = loadOf(plan, storeCallMs);
  const idleRows = ground === "real" ? idleUnits(load).map(asLocal(plan)) : idleUnits(load);
  const rolloutRows = rolloutUnits(load, contentBytes);
  return {
    nodes: plan.nodes,
    P: plan.partitions,
    store: ground === "real" ? `DynamoDB Local, ${storeCallMs.toFixed(1)} ms` : "virtual",
    "idle read units/s": compared(total(idle, "read"), sumUnits(idleRows, "read")),
    "idle write units/s": compared(total(idle, "write"), sumUnits(idleRows, "write")),
    // Reads of a rollout drown in those of idling; its writes are what it costs.
    "rollout write units": compared(writesOf(rollout), sumUnits(rolloutRows, "write")),
  };
}

/**
 * DynamoDB Local takes nothing for keys of a batch that have no item; DynamoDB takes the least of a read for
 * each, as the formula has it. Partitions that never had a host have no head.
 */
function asLocal({ hosts, partitions }: CostPlan): (row: UnitRow) => UnitRow {
  const ratio = filledRatio(hosts / partitions);
  return (row) => (row.kind === "head" ? { ...row, units: row.units * ratio } : row);
}

/** Beats go on while a rollout runs and are no part of it. */
function writesOf(rollout: Units): number {
  return total(new Map([...rollout].filter(([name]) => name !== "member write")), "write");
}
