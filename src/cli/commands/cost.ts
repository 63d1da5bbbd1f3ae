/**
 * `cost`: what the table of a cluster costs, from the formulas for a planned one or from the counters of
 * a running one.
 */
import type { Command } from "commander";
import { CoxswainError } from "../../kernel/errors.ts";
import { limits } from "../../protocol/limits.ts";
import { createApiClient, type ApiClient } from "../api-client.ts";
import { createApiTransport, parseApiAddresses } from "../api-transport.ts";
import { print, type CliContext } from "../cli-context.ts";
import {
  examples,
  type CommandDeps,
  type CommandInput,
  type CommandShell,
} from "../command-shell.ts";
import { countOf, formatTable } from "../format.ts";
import { parseDuration, parseInteger } from "../parse-arguments.ts";
import {
  parseBytes,
  parseFleetShape,
  parseNumber,
  type FleetArguments,
} from "../plan/plan-arguments.ts";
import { billOf, daysPerMonth, defaultPrices, type Bill, type Prices } from "../plan/prices.ts";
import {
  hostChangeUnits,
  idleUnits,
  rolloutUnits,
  sumUnits,
  type UnitRow,
} from "../plan/store-cost.ts";
import { addUnits, parseUnits, unitsBetween } from "../plan/unit-metrics.ts";
import { addFleetOptions } from "./fleet-flags.ts";

const requestDeadlineMs = 10_000;
const perDayMax = 100_000_000;
const secondsPerDay = 86_400;

interface CostOptions extends FleetArguments {
  readonly rolloutsPerDay: string;
  readonly changesPerDay: string;
  readonly size: string;
  readonly priceRead: string;
  readonly priceWrite: string;
  readonly priceReadHour: string;
  readonly priceWriteHour: string;
  readonly utilization: string;
  readonly fromApi?: string;
  readonly measure: string;
}

interface Costs {
  readonly title: string;
  /** Units a second. */
  readonly rows: readonly UnitRow[];
}

export function registerCost(program: Command, shell: CommandShell): void {
  const command = program
    .command("cost")
    .description(
      "What the table costs: capacity units a second and a month, and money, of a planned cluster or (--from-api) as a running one has counted them.",
    );
  addFleetOptions(command)
    .option("--rollouts-per-day <n>", "releases put on the whole fleet", "10")
    .option("--changes-per-day <n>", "changes of single hosts: addresses, labels, pins", "100")
    .option("--size <bytes>", "content of one release, compressed", "4KB")
    .option("--price-read <usd>", "a million read units, on-demand", price("perMillionReads"))
    .option("--price-write <usd>", "a million write units, on-demand", price("perMillionWrites"))
    .option("--price-read-hour <usd>", "a provisioned read unit, hour", price("perReadUnitHour"))
    .option("--price-write-hour <usd>", "a provisioned write unit, hour", price("perWriteUnitHour"))
    .option("--utilization <percent>", "how much of provisioned capacity the mean may use", "70")
    .option("--from-api <url>", "measure a running cluster instead: the api of any of its nodes")
    .option("--measure <duration>", "with --from-api: how long to measure", "60s")
    .addHelpText(
      "after",
      `
Prices are AWS's for us-east-1 as looked up on 2026-11-23; they change: check yours. Storage is not included.
${examples(
  "coxswain cost --nodes 10 --hosts 20000",
  "coxswain cost --nodes 100 --hosts 1000000 --partitions 16384 --beat-interval 2s",
  "coxswain cost --from-api http://10.0.1.11:7400 --measure 5m --output json",
)}`,
    );
  shell.onApi<CostOptions>(command, showCost);
}

const price = (name: keyof Prices): string => String(defaultPrices[name]);

async function showCost(
  { context, isJson }: CommandDeps,
  { options }: CommandInput<CostOptions>,
): Promise<number> {
  const prices = parsePrices(options);
  const utilizationRatio = parseInteger("--utilization", options.utilization, 1, 100) / 100;
  const costs = await (options.fromApi === undefined
    ? plannedCosts(options)
    : measuredCosts(context, options.fromApi, parseDuration("--measure", options.measure)));
  const perSecond = {
    reads: sumUnits(costs.rows, "read"),
    writes: sumUnits(costs.rows, "write"),
  };
  const bill = billOf(perSecond, prices, utilizationRatio);
  const value = { ...costs, perSecond, bill, prices, utilizationRatio };
  print(
    context.stdout,
    isJson ? JSON.stringify(value, null, 2) : formatCosts(costs, bill, prices, utilizationRatio),
  );
  return 0;
}

function daily(rows: readonly UnitRow[], count: number, what: string): UnitRow[] {
  return (["read", "write"] as const).map((access) => ({
    what,
    kind: what,
    access,
    units: (sumUnits(rows, access) * count) / secondsPerDay,
  }));
}

async function plannedCosts(options: CostOptions): Promise<Costs> {
  const shape = parseFleetShape(options);
  const rollouts = parseNumber("--rollouts-per-day", options.rolloutsPerDay, perDayMax);
  const changes = parseNumber("--changes-per-day", options.changesPerDay, perDayMax);
  const contentBytes = parseBytes("--size", options.size, limits.contentBytesMax);
  return {
    title: `${countOf(shape.nodes, "node")}, ${countOf(shape.hosts, "host")}, ${countOf(shape.partitions, "partition")}`,
    rows: [
      ...idleUnits(shape),
      ...daily(rolloutUnits(shape, contentBytes), rollouts, "rollouts"),
      ...daily(hostChangeUnits(shape), changes, "changes of hosts"),
    ].filter(({ units }) => units > 0),
  };
}

/** Throws API_UNREACHABLE where a node of the cluster does not answer: its share would be missing. */
async function measuredCosts(
  context: CliContext,
  address: string,
  durationMs: number,
): Promise<Costs> {
  const [first] = parseApiAddresses(address);
  const asked = clientOf(context, first ?? "");
  let nodes: { slot: string; api: ApiClient }[];
  try {
    const { members } = await asked.members();
    nodes = members.map(({ url, slot }) => ({ slot, api: clientOf(context, url) }));
  } finally {
    await asked.close();
  }
  try {
    const read = async () =>
      Promise.all(
        nodes.map(async ({ api }) => ({
          units: parseUnits(await api.metrics()),
          atMs: context.clock.monotonicMs(),
        })),
      );
    const before = await read();
    await context.clock.sleep(durationMs, context.signal);
    const after = await read();
    const rows = after.map((now, index) => {
      const then = before[index] ?? now;
      const between = unitsBetween(then.units, now.units, now.atMs - then.atMs);
      if (between !== undefined) return between;
      throw new CoxswainError(
        "API_UNREACHABLE",
        `${nodes[index]?.slot} was restarted while it was measured: measure again`,
      );
    });
    return {
      title: `${countOf(nodes.length, "node")}, measured for ${Math.round(durationMs / 1000)} s`,
      rows: addUnits(rows),
    };
  } finally {
    await Promise.all(nodes.map(({ api }) => api.close()));
  }
}

function clientOf(context: CliContext, address: string): ApiClient {
  return createApiClient(
    createApiTransport({
      addresses: [address],
      actor: context.userName,
      deadlineMs: requestDeadlineMs,
      now: () => context.clock.monotonicMs(),
      signal: context.signal,
    }),
  );
}

function parsePrices(options: CostOptions): Prices {
  const max = 1_000_000;
  return {
    perMillionReads: parseNumber("--price-read", options.priceRead, max),
    perMillionWrites: parseNumber("--price-write", options.priceWrite, max),
    perReadUnitHour: parseNumber("--price-read-hour", options.priceReadHour, max),
    perWriteUnitHour: parseNumber("--price-write-hour", options.priceWriteHour, max),
  };
}

const million = (count: number) => (count / 1e6).toFixed(1);

function formatCosts(
  { title, rows }: Costs,
  bill: Bill,
  prices: Prices,
  utilizationRatio: number,
): string {
  const sum = (access: UnitRow["access"]) => sumUnits(rows, access);
  const money = (access: UnitRow["access"], units: number) => {
    const each = billOf(
      { reads: access === "read" ? units : 0, writes: access === "write" ? units : 0 },
      prices,
      utilizationRatio,
    );
    return each.onDemand.toFixed(2);
  };
  const units = formatTable(
    ["what", "units", "per second", "usd a month, on-demand"],
    [
      ...rows.map((row) => [
        row.what,
        row.access,
        row.units.toFixed(2),
        money(row.access, row.units),
      ]),
      ["all reads", "read", sum("read").toFixed(2), money("read", sum("read"))],
      ["all writes", "write", sum("write").toFixed(2), money("write", sum("write"))],
    ],
  );
  return [
    title,
    units,
    `A month of ${daysPerMonth.toFixed(1)} days: ${million(bill.readsPerMonth)} million read and ${million(bill.writesPerMonth)} million write units`,
    `on-demand    ${bill.onDemand.toFixed(2)} USD (${prices.perMillionReads} and ${prices.perMillionWrites} a million)`,
    `provisioned  ${bill.provisioned.toFixed(2)} USD (${bill.readCapacity} read and ${bill.writeCapacity} write units at ${Math.round(utilizationRatio * 100)} %; ${prices.perReadUnitHour} and ${prices.perWriteUnitHour} an hour)`,
  ].join("\n");
}
