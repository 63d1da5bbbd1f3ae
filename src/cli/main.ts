/**
 * The command line: makes the real context of this process and runs one command in it.
 *
 * The first Ctrl-C or SIGTERM aborts the command's signal, so that it ends cleanly; the second ends
 * the process at once. A reader that goes away (`coxswain hosts ls | head`) is no error. A process
 * that was started with a channel to its parent ends with its parent.
 */
import { userInfo } from "node:os";
import { createInterface } from "node:readline/promises";
import { systemClock } from "../kernel/clock.ts";
import { messageOf } from "../kernel/errors.ts";
import type { CliContext, TextOutput } from "./cli-context.ts";
import { printError } from "./print-error.ts";
import { runCli } from "./program.ts";

/** After its parent has gone, a process gets this long to end cleanly. */
const orphanGraceMs = 3_000;

function outputOf(stream: NodeJS.WriteStream): TextOutput {
  return {
    stream,
    isTerminal: stream.isTTY,
    hasColours: stream.isTTY && stream.hasColors(),
    size: () => ({ columns: stream.columns || 80, rows: stream.rows || 24 }),
  };
}

function onInterrupt(interrupt: AbortController, exitCode: number): void {
  if (interrupt.signal.aborted) process.exit(exitCode);
  interrupt.abort(new Error("interrupted"));
}

function onOutputError(error: NodeJS.ErrnoException): void {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
}

function endWithParent(): void {
  process.kill(process.pid, "SIGTERM");
  setTimeout(() => process.exit(1), orphanGraceMs).unref();
}

async function confirm(question: string, signal: AbortSignal): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    // On a terminal readline takes Ctrl-C for itself: pass it on.
    terminal.on("SIGINT", () => process.kill(process.pid, "SIGINT"));
    return /^y(es)?$/i.test((await terminal.question(`${question} [y/N] `, { signal })).trim());
  } finally {
    terminal.close();
  }
}

function readKeys(onKey: (key: string) => void): () => void {
  const onData = (bytes: Buffer) => {
    for (const key of bytes.toString("utf8")) onKey(key);
  };
  process.stdin.setRawMode(true).resume().on("data", onData);
  return () => {
    process.stdin.off("data", onData).pause().setRawMode(false);
  };
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return "unknown"; // The account has no entry, as in some containers.
  }
}

function createContext(): CliContext {
  const interrupt = new AbortController();
  process.on("SIGINT", () => onInterrupt(interrupt, 130));
  process.on("SIGTERM", () => onInterrupt(interrupt, 143));
  process.stdout.on("error", onOutputError);
  process.stderr.on("error", onOutputError);
  if (process.connected) process.once("disconnect", endWithParent);
  const canAsk = process.stdin.isTTY && process.stderr.isTTY;
  return {
    stdout: outputOf(process.stdout),
    stderr: outputOf(process.stderr),
    stdin: process.stdin,
    env: process.env,
    userName: userName(),
    clock: systemClock,
    signal: interrupt.signal,
    readKeys: process.stdin.isTTY ? readKeys : undefined,
    confirm: canAsk ? (question) => confirm(question, interrupt.signal) : undefined,
  };
}

const context = createContext();
process.once("uncaughtException", (error) => {
  printError(context, new Error(`unexpected: ${messageOf(error)}`, { cause: error }), false);
  process.exit(70);
});
process.exitCode = await runCli(process.argv.slice(2), context);
process.off("disconnect", endWithParent);
if (process.connected) process.disconnect();
