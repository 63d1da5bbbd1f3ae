/** `plan`: what a fleet asks of its nodes, and which limits it would meet, before there is one. */
import type { Command } from "commander";
import { nodeOptions } from "../../node/options.ts";
import { limits } from "../../protocol/limits.ts";
import { paint, print } from "../cli-context.ts";
import {
  examples,
  type CommandDeps,
  type CommandInput,
  type CommandShell,
} from "../command-shell.ts";
import { countOf, formatBytes, formatFields } from "../format.ts";
import { parseDuration, parseInteger } from "../parse-arguments.ts";
import { planFleet, type FleetPlan, type PlanInput } from "../plan/fleet-plan.ts";
import { measured } from "../plan/measured.ts";
import { parseBytes, parseFleetShape, type FleetArguments } from "../plan/plan-arguments.ts";
import { billOf, defaultPrices, type Bill } from "../plan/prices.ts";
import { idleUnits, sumUnits } from "../plan/store-cost.ts";
import { addFleetOptions } from "./fleet-flags.ts";

const utilizationRatio = 0.7;
const rulesBytesMax = 100 * 1024 * 1024;

interface PlanOptions extends FleetArguments {
  readonly size: string;
  readonly pace: string;
  readonly sweepInterval: string;
  readonly sockets: string;
  readonly rules: string;
}

export function registerPlan(program: Command, shell: CommandShell): void {
  const command = program
    .command("plan")
    .description(
      "What a fleet of this size asks of its nodes: memory, sockets, time of a full push, sweeps, network, takeover, store; warns where a limit is met.",
    );
  const { pushesPerSecond, sweepInterval, sockets } = nodeOptions;
  addFleetOptions(command)
    .option("--size <bytes>", "content of one release as it travels, compressed", "20KB")
    .option("--pace <n>", "pushes a second of each node", String(pushesPerSecond.default))
    .option("--sweep-interval <duration>", "as of the nodes", sweepInterval.default)
    .option("--sockets <n>", "host connections a node keeps open", String(sockets.default))
    .option("--rules <bytes>", "size of all rules, compressed", "2KB")
    .addHelpText(
      "after",
      `
Figures are reckoned from constants, measured on one small machine or assumed; --output json names the source of each.
${examples(
  "coxswain plan --hosts 1000000 --nodes 20 --size 20KB",
  "coxswain plan --hosts 20000 --nodes 3 --pace 4000 --output json",
)}`,
    );
  shell.onApi<PlanOptions>(command, showPlan);
}

async function showPlan(
  { context, isJson }: CommandDeps,
  { options }: CommandInput<PlanOptions>,
): Promise<number> {
  const { pushesPerSecond, sockets } = nodeOptions;
  const input: PlanInput = {
    ...parseFleetShape(options),
    contentBytes: parseBytes("--size", options.size, limits.contentBytesMax),
    pushesPerSecond: parseInteger("--pace", options.pace, pushesPerSecond.min, pushesPerSecond.max),
    sweepIntervalMs: parseDuration("--sweep-interval", options.sweepInterval),
    sockets: parseInteger("--sockets", options.sockets, sockets.min, sockets.max),
    rulesBytes: parseBytes("--rules", options.rules, rulesBytesMax),
  };
  const plan = planFleet(input);
  const units = idleUnits(input);
  const perSecond = { reads: sumUnits(units, "read"), writes: sumUnits(units, "write") };
  const bill = billOf(perSecond, defaultPrices, utilizationRatio);
  if (isJson) {
    const store = { perSecond, bill, prices: defaultPrices };
    print(context.stdout, JSON.stringify({ input, plan, store, measured }, null, 2));
    return 0;
  }
  const warnings = plan.warnings.map((text) => paint(context.stdout, "yellow", `! ${text}`));
  print(context.stdout, [planTable(input, plan, bill, perSecond), ...warnings].join("\n"));
  return 0;
}

const rate = (bits: number) => `${(bits / 1e6).toFixed(1)} Mbit/s`;
const share = (cores: number) => `${(100 * cores).toFixed(0)} % of a core`;

function planTable(
  input: PlanInput,
  plan: FleetPlan,
  bill: Bill,
  perSecond: { readonly reads: number; readonly writes: number },
): string {
  const { nodes, hosts, partitions } = input;
  return formatFields([
    [
      "fleet",
      `${countOf(nodes, "node")}, ${countOf(hosts, "host")}, ${countOf(partitions, "partition")} of ${plan.hostsPerPartition.toFixed(1)} hosts`,
    ],
    ["hosts a node", `${plan.hostsPerNode} at most, ${plan.hostsPerNodeAfterLoss} after a loss`],
    ["memory a node", `${formatBytes(plan.memoryBytes)} after a loss`],
    ["sockets a node", `${plan.sockets}; limit of open files above ${plan.sockets + 1_000}`],
    [
      "full push",
      `${plan.fullPushSeconds.toFixed(1)} s, ${share(plan.fullPushCores)} and ${rate(plan.fullPushBitsPerSecond)} a node`,
    ],
    [
      "sweep",
      `every ${plan.sweepSeconds.toFixed(0)} s, ${plan.sweepsPerSecond.toFixed(0)} pushes/s and ${rate(plan.sweepBitsPerSecond)} a node`,
    ],
    [
      "takeover",
      `about ${plan.takeoverSeconds.toFixed(1)} s; each survivor loads ${countOf(plan.takeoverPartitions, "partition")} with ${countOf(plan.takeoverHosts, "host")}`,
    ],
    [
      "store, idle",
      `${perSecond.reads.toFixed(0)} read and ${perSecond.writes.toFixed(0)} write units/s, ${bill.onDemand.toFixed(0)} USD a month on demand (coxswain cost)`,
    ],
  ]);
}
