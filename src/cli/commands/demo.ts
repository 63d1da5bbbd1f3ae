/**
 * `demo`: a whole cluster on this machine, to watch and to break.
 */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import { isCoxswainError } from "../../kernel/errors.ts";
import { print, type CliContext } from "../cli-context.ts";
import { examples, type CommandInput, type CommandShell } from "../command-shell.ts";
import { basePortMax, hostsMax, nodesMax, type DemoSize } from "../demo/demo-plan.ts";
import { parseInteger } from "../parse-arguments.ts";

interface DemoOptions {
  readonly once?: boolean;
  readonly nodes: string;
  readonly hosts: string;
  readonly port?: string;
  readonly dir?: string;
  readonly keep?: boolean;
}

export function registerDemo(program: Command, shell: CommandShell): void {
  shell.onLocal<DemoOptions>(
    program
      .command("demo")
      .description(
        "Runs nodes, hosts and a store on 127.0.0.1, rolls out a config, and shows what happens.",
      )
      .option(
        "--once",
        "no terminal: roll out, kill a node, roll out again, check, exit 0 if all held",
      )
      .option("--nodes <n>", `nodes, each a process, 1 to ${nodesMax}`, "3")
      .option("--hosts <n>", `hosts with real agents, 1 to ${hostsMax}`, "200")
      .option("--port <port>", "first port (default 7400, or another one that is free)")
      .option("--dir <dir>", "folder for store, hosts and logs (default: a temporary one)")
      .option("--keep", "keep the temporary folder")
      .addHelpText(
        "after",
        `\nNode i has its api at PORT + 10(i-1) and its fleet listener one above, the store is at PORT + 9, hosts are from PORT + 1000 on.\n${examples(
          "coxswain demo",
          "coxswain demo --once",
          "coxswain demo --nodes 5 --hosts 1000 --dir ./demo",
        )}`,
      ),
    startDemo,
  );
}

async function startDemo(
  context: CliContext,
  { options }: CommandInput<DemoOptions>,
): Promise<number> {
  const size: DemoSize = {
    nodesCount: parseInteger("--nodes", options.nodes, 1, nodesMax),
    hostsCount: parseInteger("--hosts", options.hosts, 1, hostsMax),
  };
  const port =
    options.port === undefined ? undefined : parseInteger("--port", options.port, 1, basePortMax);
  const isTemporary = options.dir === undefined;
  const dir = isTemporary
    ? await mkdtemp(join(tmpdir(), "coxswain-demo-"))
    : resolve(options.dir ?? "");
  await mkdir(dir, { recursive: true });
  let isKept = !isTemporary || options.keep === true;
  try {
    const { runDemo } = await import("../demo/run-demo.ts");
    await runDemo(dir, port, size, options.once === true, context);
    return 0;
  } catch (error) {
    // Logs explain a failure; neither Ctrl-C nor a taken port needs them.
    isKept ||= !context.signal.aborted && !isCoxswainError(error, "OPTION_INVALID");
    throw error;
  } finally {
    if (isKept) print(context.stderr, `kept: ${dir}`);
    else await rm(dir, { recursive: true, force: true });
  }
}
