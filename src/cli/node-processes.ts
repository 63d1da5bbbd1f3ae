/**
 * Several node processes on one machine: `coxswain node --processes N`.
 *
 * A node process uses one core; the others are used by more members, not by threads: each has a slot,
 * listeners and a slice of its own, and dies alone. This process only starts them, passes signals on, and
 * starts one again that ended although nobody asked, later each time. Two exits end all: a
 * configuration that is wrong for every one of them, and a slot that somebody else has taken.
 */
import { fork, type ChildProcess } from "node:child_process";
import { CoxswainError, errorRegistry } from "../kernel/errors.ts";
import type { Clock } from "../kernel/clock.ts";
import { flagName } from "../kernel/options.ts";
import type { NodeOptions } from "../node/options.ts";

/** Far enough apart for the usual three ports. */
const portsApart = 10;
const restartMinMs = 1_000;
const restartMaxMs = 30_000;
/** A process that lived for this long starts its delays anew. */
const livedMs = 60_000;
const finalCodes: ReadonlySet<number> = new Set([
  errorRegistry.OPTION_INVALID.exitCode,
  errorRegistry.MEMBER_REPLACED.exitCode,
]);

type Shared = Pick<
  NodeOptions,
  "processes" | "slot" | "apiPort" | "fleetPort" | "knockPort" | "apiUrl" | "fleetUrl" | "store"
>;

/** Flags of each process beyond those given; throws OPTION_INVALID for what cannot be shared. */
export function planProcesses(options: Shared): readonly Readonly<Record<string, string>>[] {
  const { processes, slot, apiPort, fleetPort, knockPort, apiUrl, fleetUrl, store } = options;
  if (store === "embedded") throw invalid("a store that several processes reach", "`embedded`");
  if (apiUrl !== "" || fleetUrl !== "") {
    throw invalid("no `apiUrl` or `fleetUrl`, which would be the same for all", "one");
  }
  return Array.from({ length: processes }, (_, index) => ({
    // The first keeps the name, so that a machine that gets more processes keeps most of its hosts.
    slot: index === 0 ? slot : `${slot}.${index + 1}`,
    apiPort: portOf("apiPort", apiPort, index),
    fleetPort: portOf("fleetPort", fleetPort, index),
    knockPort: portOf("knockPort", knockPort, index),
    processes: "1",
  }));
}

/** 0 stays 0: any free port, or none. */
function portOf(name: string, base: number, index: number): string {
  const port = base === 0 ? 0 : base + index * portsApart;
  if (port > 65_535) throw invalid(`a \`${name}\` of at most 65535 for every process`, `${port}`);
  return String(port);
}

function invalid(rule: string, got: string): CoxswainError {
  return new CoxswainError("OPTION_INVALID", `Expected with \`processes\` ${rule}, got ${got}`);
}

/** Arguments of one process: what was given, with its own values on top. */
export function argumentsOf(
  configFile: string | undefined,
  given: Readonly<Record<string, unknown>>,
  own: Readonly<Record<string, string>>,
): string[] {
  const flags = Object.entries({ ...given, ...own }).flatMap(([name, value]) =>
    value === true ? [flagName(name)] : [flagName(name), String(value)],
  );
  return ["node", ...(configFile === undefined ? [] : ["--config", configFile]), ...flags];
}

/** Delay before a process that has lived for `aliveMs` is started again; `restarts` in a row so far. */
export function restartDelayMs(restarts: number): number {
  return Math.min(restartMaxMs, restartMinMs * 2 ** Math.min(restarts, 10));
}

export interface ProcessPorts {
  readonly clock: Clock;
  /** TypeScript file that runs the command line. */
  readonly entry: URL;
  /** Called with one line when a process has ended unasked. */
  readonly onEnded: (line: string) => void;
}

/** Runs a process for each list of arguments until `stopping` aborts; resolves with the exit code. */
export async function runProcesses(
  ports: ProcessPorts,
  processes: readonly (readonly string[])[],
  stopping: AbortSignal,
): Promise<number> {
  const ending = new AbortController();
  const signal = AbortSignal.any([stopping, ending.signal]);
  const codes = await Promise.all(
    processes.map(async (args) => {
      const code = await keepRunning(ports, args, signal);
      // One that must not be started again takes the others along: a half-started machine hides the error.
      ending.abort(new Error("a process of this machine has ended for good"));
      return code;
    }),
  );
  return codes.find((code) => code !== 0) ?? 0;
}

async function keepRunning(
  { clock, entry, onEnded }: ProcessPorts,
  args: readonly string[],
  signal: AbortSignal,
): Promise<number> {
  for (let restarts = 0; ; restarts++) {
    const startedMs = clock.monotonicMs();
    const code = await runOnce(entry, args, signal);
    if (signal.aborted || finalCodes.has(code)) return code;
    if (clock.monotonicMs() - startedMs >= livedMs) restarts = 0;
    const delayMs = restartDelayMs(restarts);
    onEnded(`a node process ended with ${code}; starting it again in ${delayMs} ms`);
    try {
      await clock.sleep(delayMs, signal);
    } catch {
      return 0; // Told to stop while nothing ran.
    }
  }
}

async function runOnce(entry: URL, args: readonly string[], signal: AbortSignal): Promise<number> {
  const child: ChildProcess = fork(entry, [...args], {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
    execArgv: [],
  });
  const stop = () => child.kill("SIGTERM");
  if (signal.aborted) stop();
  signal.addEventListener("abort", stop, { once: true });
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (code) => resolve(code ?? 1));
    });
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
