/**
 * `node`: runs one orchestrator node in this process until it is told to stop.
 *
 * What only a node needs is loaded only here: other commands start in half the time without it.
 */
import type { Command } from "commander";
import { nodeOptions } from "../../node/options.ts";
import { examples, type CommandShell } from "../command-shell.ts";
import { print } from "../cli-context.ts";
import { argumentsOf, planProcesses, runProcesses } from "../node-processes.ts";
import { version } from "../version.ts";
import { addOptionTable, rawOptionsOf } from "./option-flags.ts";

export function registerNode(program: Command, shell: CommandShell): void {
  const command = program
    .command("node")
    .description("Runs a node. SIGTERM drains: its hosts have new owners before it goes.")
    .addHelpText(
      "after",
      examples(
        "coxswain node --slot node-1 --store-region eu-central-1",
        "coxswain node --slot node-1 --processes 4 --store-region eu-central-1   # one for each core",
        "coxswain node --slot node-2 --store-endpoint http://127.0.0.1:8000 --api-port 7410 --fleet-port 7411",
      ),
    );
  addOptionTable(command, nodeOptions);
  shell.onLocal<Record<string, unknown>>(command, async (context, { options }) => {
    const raw = rawOptionsOf(options, context.env);
    const { resolveNodeOptions, runNode } = await import("../../api/run-node.ts");
    const resolved = resolveNodeOptions(raw);
    if (resolved.processes === 1) return runNode(raw, version, context.signal);
    const ports = {
      clock: context.clock,
      entry: new URL("../main.ts", import.meta.url),
      onEnded: (line: string) => print(context.stderr, line),
    };
    const own = planProcesses(resolved);
    const processes = own.map((flags) => argumentsOf(raw.configFile, raw.flags, flags));
    return runProcesses(ports, processes, context.signal);
  });
}
