/** `init`: makes the table and its parameters, once for a cluster; loads the store only then. */
import type { Command } from "commander";
import { initOptions } from "../../node/options.ts";
import { print } from "../cli-context.ts";
import { examples, type CommandShell } from "../command-shell.ts";
import { addOptionTable, rawOptionsOf } from "./option-flags.ts";

export function registerInit(program: Command, shell: CommandShell): void {
  const command = program
    .command("init")
    .description("Creates the table of a new cluster. P and the cluster id are fixed from then on.")
    .addHelpText(
      "after",
      examples(
        "coxswain init --cluster prod --partitions 4096 --store-region eu-central-1",
        "coxswain init --store-endpoint http://127.0.0.1:8000",
        "coxswain init --cluster prod --partitions 4096 --generation 2   # after a restore",
      ),
    );
  addOptionTable(command, initOptions);
  shell.onLocal<Record<string, unknown>>(command, async (context, { options }) => {
    const { runInit } = await import("../../api/run-init.ts");
    const { meta, isNew, place } = await runInit(rawOptionsOf(options, context.env));
    const what = isNew ? "created" : "already there, with the same parameters";
    print(
      context.stdout,
      `cluster ${meta.clusterId}: ${meta.partitions} partitions in ${place}, ${what}`,
    );
    return 0;
  });
}
