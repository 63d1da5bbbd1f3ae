/** Runs a program to its end with a time limit; tests look at its exit code and what it printed. */
import { spawn } from "node:child_process";
import { once } from "node:events";

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Ends the program with SIGKILL when it takes longer than `timeoutMs` (`code` is null then). */
export async function runCommand(
  program: string,
  args: readonly string[],
  timeoutMs: number,
): Promise<Ended> {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
  const [code] = (await once(child, "close")) as [number | null];
  clearTimeout(timer);
  return { code, stdout, stderr };
}

const entry = new URL("../src/cli/main.ts", import.meta.url).pathname;

/** Runs one `coxswain` command. */
export function runCoxswain(args: readonly string[], timeoutMs = 30_000): Promise<Ended> {
  return runCommand(process.execPath, [entry, ...args], timeoutMs);
}
