/** The flags that describe a planned fleet, the same for `cost` and `plan`. */
import type { Command } from "commander";
import { nodeOptions } from "../../node/options.ts";

/** Defaults of the polls are those of a node. */
export function addFleetOptions(command: Command): Command {
  const { beatInterval, fleetPoll, headPoll } = nodeOptions;
  return command
    .option("--nodes <n>", "nodes of the cluster", "3")
    .option("--hosts <n>", "hosts of the fleet", "1000")
    .option("--partitions <n>", "P, a power of two (default: by the rule of docs/operations.md)")
    .option("--beat-interval <duration>", "as of the nodes", beatInterval.default)
    .option("--fleet-poll <duration>", "as of the nodes", fleetPoll.default)
    .option("--head-poll <duration>", "as of the nodes", headPoll.default)
    .option("--store-call <duration>", "mean time of one store call", "5ms");
}
