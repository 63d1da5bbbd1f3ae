/**
 * All commands under one program, and one run of it: arguments in, exit code out.
 */
import { Command, CommanderError, Option } from "commander";
import { CoxswainError } from "../kernel/errors.ts";
import { print, type CliContext } from "./cli-context.ts";
import { createCommandShell, examples, type CommandShell } from "./command-shell.ts";
import { registerAgent } from "./commands/agent.ts";
import { registerCost } from "./commands/cost.ts";
import { registerConfig } from "./commands/config.ts";
import { registerDemo } from "./commands/demo.ts";
import { registerDoctor } from "./commands/doctor.ts";
import { registerEvents } from "./commands/events.ts";
import { registerHostKey } from "./commands/host-key.ts";
import { registerHosts } from "./commands/hosts.ts";
import { registerInit } from "./commands/init.ts";
import { registerLab } from "./commands/lab.ts";
import { registerNode } from "./commands/node.ts";
import { registerPlan } from "./commands/plan.ts";
import { registerRollout } from "./commands/rollout.ts";
import { registerStatus } from "./commands/status.ts";
import { exitCodeHelp } from "./exit-codes.ts";
import { printError } from "./print-error.ts";
import { version } from "./version.ts";

/** Runs the command that `args` (without the program's own name) ask for; never throws. */
export async function runCli(args: readonly string[], context: CliContext): Promise<number> {
  const shell = createCommandShell(context);
  const program = createProgram(shell);
  try {
    await program.parseAsync(args, { from: "user" });
    return shell.exitCode();
  } catch (error) {
    const isJson = program.opts<{ output?: string }>().output === "json";
    if (!(error instanceof CommanderError)) return printError(context, error, isJson);
    return endOfParsing(context, error, isJson);
  }
}

/** Help and version end parsing well; everything else is wrong usage. */
function endOfParsing(context: CliContext, error: CommanderError, isJson: boolean): number {
  if (error.exitCode === 0) return 0;
  const isHelpShown = error.code === "commander.help";
  const message = isHelpShown
    ? "Expected a command, got none"
    : error.message.replace(/^error: /, "").replaceAll("\n", " ");
  return printError(context, new CoxswainError("USAGE_INVALID", message), isJson);
}

function createProgram(shell: CommandShell): Command {
  const { stdout, stderr } = shell.context;
  const program = new Command("coxswain")
    .description(
      "A push control plane: a small fleet of nodes keeps a large fleet of hosts in its desired state.",
    )
    .version(version)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => print(stdout, text.trimEnd()),
      writeErr: (text) => print(stderr, text.trimEnd()),
      outputError: () => {}, // printError says it, in the form that was asked for.
      getOutHelpWidth: () => stdout.size().columns,
      getErrHelpWidth: () => stderr.size().columns,
      getOutHasColors: () => stdout.hasColours,
      getErrHasColors: () => stderr.hasColours,
    })
    .option(
      "--api <urls>",
      "nodes to ask, joined by commas, tried in turn (env COXSWAIN_API, default http://127.0.0.1:7400)",
    )
    .addOption(
      new Option("--output <form>", "table for people, json for programs")
        .choices(["table", "json"])
        .default("table"),
    )
    .option(
      "--actor <name>",
      "who does it, for the audit (env COXSWAIN_ACTOR, default your user name)",
    )
    .addHelpText(
      "after",
      examples(
        "coxswain demo",
        "coxswain hosts import fleet.csv --api http://10.0.0.1:7400,http://10.0.0.2:7400",
        "coxswain rollout start routes.json --file routes.json -l role=edge",
      ) + `\n${exitCodeHelp()}`,
    );
  for (const register of [
    registerDemo,
    registerInit,
    registerNode,
    registerAgent,
    registerHosts,
    registerHostKey,
    registerConfig,
    registerRollout,
    registerStatus,
    registerDoctor,
    registerCost,
    registerPlan,
    registerEvents,
    registerLab,
  ]) {
    register(program, shell);
  }
  return program;
}
