/** `lab`: the shapes side by side on this machine, under load and through the triggers that break systems. */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Option, type Command } from "commander";
import { CoxswainError, messageOf } from "../../kernel/errors.ts";
import { paint, print, type CliContext } from "../cli-context.ts";
import {
  examples,
  type CommandDeps,
  type CommandInput,
  type CommandShell,
} from "../command-shell.ts";
import { fullLoads, quickLoads } from "../lab/lab-plan.ts";
import { formatLab, sceneText } from "../lab/lab-report.ts";
import type { LabOptions, LabResults } from "../lab/lab-results.ts";
import { shapes, triggerKinds } from "../lab/lab-scene.ts";
import { renderKinds, type RenderKind } from "../lab/renderer.ts";
import { advise } from "../lab/advise.ts";
import { parseDuration, parseInteger } from "../parse-arguments.ts";
import { startProgress } from "../progress.ts";

/** Each host is a listener and a connection of one process. */
const hostsMax = 5_000;
const renderMsMax = 100;
const loadMax = 5;
const columnsMax = 110;
const defaultTimeout = { full: "1s", quick: "300ms" };

/** Files in memory, where there are some: a disk under other load would decide about the object shape. */
const memoryDir = "/dev/shm";

interface LabFlags {
  readonly quick?: boolean;
  readonly hosts: string;
  readonly renderMs: string;
  readonly render: RenderKind;
  readonly timeout?: string;
  readonly interval: string;
  readonly shapes?: string;
  readonly loads?: string;
  readonly triggers?: string;
  readonly json?: string;
  readonly svg?: string;
}

export function registerLab(program: Command, shell: CommandShell): void {
  const command = program
    .command("lab")
    .description(
      "Compares the shapes (who calls whom) on this machine: goodput under load, and through an outage, a call-frequency bug and failures.",
    )
    .option("--quick", "less than a minute instead of about six; rougher figures")
    .option("--hosts <n>", `hosts in the fleet, 10 to ${hostsMax}`, "2000")
    .option("--render-ms <ms>", "processor time of one render, 0.5 to 100", "3")
    .addOption(
      new Option(
        "--render <kind>",
        "what a render occupies: the processor (cpu), or the renderer alone (wait: exact on a busy machine)",
      )
        .choices(renderKinds)
        .default("cpu"),
    )
    .option("--timeout <duration>", "after this a caller gives up (default 1s, 300ms with --quick)")
    .option("--interval <duration>", "each host wants a fresh config once in this time", "9s")
    .option("--shapes <names>", `which ones, joined by commas: ${shapes.join(",")} (default all)`)
    .option("--loads <multiples>", "offered loads as multiples of the capacity, such as 0.5,1,2")
    .option(
      "--triggers <names>",
      `${triggerKinds.join(",")}, or none (default all; outage with --quick)`,
    )
    .option("--json <file>", "also write everything that was measured")
    .option("--svg <file>", "also draw it")
    .addHelpText(
      "after",
      `
Two processes on 127.0.0.1, each on a core of its own where taskset is there. A busy machine makes figures rough.
${examples(
  "coxswain lab --quick",
  "coxswain lab --svg lab.svg",
  "coxswain lab --hosts 5000 --render-ms 10 --timeout 2s --interval 60s",
)}`,
    );
  shell.onApi<LabFlags>(command, runCommand);
}

async function runCommand(
  { context, isJson }: CommandDeps,
  { options: flags }: CommandInput<LabFlags>,
): Promise<number> {
  const options = parseFlags(flags);
  const results = await play(options, context);
  const text = JSON.stringify({ ...results, advice: advise(results) }, null, 2);
  if (flags.json !== undefined) await write(flags.json, `${text}\n`);
  if (flags.svg !== undefined) {
    const { labSvg } = await import("../lab/lab-svg.ts");
    await write(flags.svg, labSvg(results));
  }
  const { stdout } = context;
  const columns = Math.min(columnsMax, stdout.size().columns);
  const shown = isJson
    ? text
    : formatLab(results, (colour, part) => paint(stdout, colour, part), columns);
  print(stdout, shown);
  return 0;
}

async function play(options: LabOptions, context: CliContext): Promise<LabResults> {
  const { clock, env, signal, stderr } = context;
  const dir = await mkdtemp(join(existsSync(memoryDir) ? memoryDir : tmpdir(), "coxswain-lab-"));
  const progress = startProgress(context, "lab");
  try {
    const { runLab } = await import("../lab/run-lab.ts");
    return await runLab(options, {
      clock,
      env,
      signal,
      dir,
      onCalibrated: (capacityPerSecond) =>
        print(stderr, `lab: one core makes ${capacityPerSecond.toFixed(0)} renders a second`),
      onScene: ({ shape, load, trigger }, index, count) =>
        progress.update(index, count, sceneText(shape, load, trigger?.kind)),
    });
  } finally {
    progress.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

async function write(path: string, text: string): Promise<void> {
  try {
    await mkdir(resolve(path, ".."), { recursive: true });
    await writeFile(path, text);
  } catch (error) {
    throw new CoxswainError("LAB_FAILED", `Cannot write ${path}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

function parseFlags(flags: LabFlags): LabOptions {
  const isQuick = flags.quick === true;
  const timeout = flags.timeout ?? (isQuick ? defaultTimeout.quick : defaultTimeout.full);
  return {
    isQuick,
    hosts: parseInteger("--hosts", flags.hosts, 10, hostsMax),
    render: flags.render,
    renderMs: parseNumber("--render-ms", flags.renderMs, 0.5, renderMsMax),
    timeoutMs: parseDuration("--timeout", timeout),
    intervalMs: parseDuration("--interval", flags.interval),
    shapes: parseNames("--shapes", flags.shapes, shapes),
    loads: flags.loads === undefined ? (isQuick ? quickLoads : fullLoads) : parseLoads(flags.loads),
    triggers:
      flags.triggers === "none"
        ? []
        : parseNames(
            "--triggers",
            flags.triggers ?? (isQuick ? "outage" : undefined),
            triggerKinds,
          ),
  };
}

function parseLoads(text: string): number[] {
  const loads = text.split(",").map((part) => parseNumber("--loads", part, 0.1, loadMax));
  return [...new Set(loads)].toSorted((one, other) => one - other);
}

function parseNumber(name: string, value: string, min: number, max: number): number {
  const number = /^\d{1,6}(\.\d{1,3})?$/.test(value) ? Number(value) : Number.NaN;
  if (number >= min && number <= max) return number;
  throw usage(`Expected ${name} to be from ${min} to ${max}, got ${JSON.stringify(value)}`);
}

/** Those of `known` that `text` names, in the order of `known`; all where it is left out. */
function parseNames<T extends string>(
  name: string,
  text: string | undefined,
  known: readonly T[],
): readonly T[] {
  if (text === undefined) return known;
  const asked = text.split(",");
  const strange = asked.find((one) => !(known as readonly string[]).includes(one));
  if (strange === undefined) return known.filter((one) => asked.includes(one));
  throw usage(
    `Expected ${name} to name some of ${known.join(", ")}, got ${JSON.stringify(strange)}`,
  );
}

function usage(message: string): CoxswainError {
  return new CoxswainError("USAGE_INVALID", message);
}
