/**
 * Runs a config's own check and reload commands: an argument vector, never a shell.
 *
 * A command gets its own process group, so that a timeout ends its children too; its output is
 * kept up to a bound and the rest is read and dropped; it sees a minimal environment.
 */
import { spawn } from "node:child_process";
import { kill } from "node:process";
import type { Clock } from "../kernel/clock.ts";
import { messageOf } from "../kernel/errors.ts";

export interface Command {
  /** Program and arguments; the program is looked up on a fixed PATH. */
  readonly argv: readonly string[];
  readonly timeoutMs: number;
}

/** `exited` alone is the program's own verdict; the others say nothing about the content. */
export type CommandOutcome =
  | { readonly kind: "exited"; readonly code: number; readonly output: string }
  | { readonly kind: "killed"; readonly signal: string; readonly output: string }
  | { readonly kind: "timedOut"; readonly output: string }
  | { readonly kind: "notStarted"; readonly message: string };

export interface CommandRunner {
  run(command: Command): Promise<CommandOutcome>;
}

/** Bytes of standard output and standard error kept together. */
const outputBytesMax = 64 * 1024;
/** After the program has ended, how long its pipes may stay open in the hands of a child. */
const pipesGraceMs = 200;

const environment = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  LANG: "C.UTF-8",
};

/** Runs programs of this machine in `workingFolder`. */
export function createCommandRunner(options: {
  workingFolder: string;
  clock: Clock;
}): CommandRunner {
  return { run: (command) => runProcess(command, options.workingFolder, options.clock) };
}

function runProcess(
  { argv, timeoutMs }: Command,
  workingFolder: string,
  clock: Clock,
): Promise<CommandOutcome> {
  const [program = "", ...rest] = argv;
  return new Promise((resolve) => {
    const child = spawn(program, rest, {
      cwd: workingFolder,
      env: environment,
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const chunks: Buffer[] = [];
    let keptBytes = 0;
    let hasTimedOut = false;
    let cancelGrace: (() => void) | undefined;
    const keep = (chunk: Buffer) => {
      const kept = chunk.subarray(0, outputBytesMax - keptBytes);
      keptBytes += kept.length;
      if (kept.length > 0) chunks.push(kept);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    const cancelTimeout = clock.after(timeoutMs, () => {
      hasTimedOut = true;
      killGroup(child.pid);
    });
    const settle = (outcome: (output: string) => CommandOutcome) => {
      cancelTimeout();
      cancelGrace?.();
      child.stdout.destroy();
      child.stderr.destroy();
      resolve(outcome(Buffer.concat(chunks).toString("utf8")));
    };
    child.once("error", (error) => {
      if (child.pid === undefined) {
        settle(() => ({ kind: "notStarted", message: messageOf(error) }));
      }
    });
    const onEnd = (code: number | null, signal: string | null) => {
      if (hasTimedOut) settle((output) => ({ kind: "timedOut", output }));
      else if (code === null) {
        settle((output) => ({ kind: "killed", signal: signal ?? "", output }));
      } else settle((output) => ({ kind: "exited", code, output }));
    };
    // `close` waits for the pipes, which a daemon started by the command may keep open for ever.
    child.once("exit", (code, signal) => {
      cancelGrace = clock.after(pipesGraceMs, () => onEnd(code, signal));
    });
    child.once("close", onEnd);
  });
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    kill(-pid, "SIGKILL");
  } catch (error) {
    // ESRCH: the group ended by itself a moment ago, which is what was wanted.
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}
