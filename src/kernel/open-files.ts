/**
 * How many files and sockets this process may have open: Linux says it in /proc, others do not say.
 *
 * Node.js raises its soft limit to the hard one when it starts, so what is read here is what a node
 * that is started from the same place would have.
 */
import { readFile } from "node:fs/promises";

const limitsFile = "/proc/self/limits";

/** The soft limit of this process; undefined where the system does not tell. */
export async function readOpenFilesMax(): Promise<number | undefined> {
  try {
    return parseOpenFilesMax(await readFile(limitsFile, "utf8"));
  } catch {
    return undefined; // No /proc: not Linux, or hidden from this process.
  }
}

/** The soft limit in the text of a `limits` file; the largest safe integer stands for unlimited. */
export function parseOpenFilesMax(text: string): number | undefined {
  const soft = /^Max open files\s+(\S+)/m.exec(text)?.[1];
  if (soft === "unlimited") return Number.MAX_SAFE_INTEGER;
  return soft !== undefined && /^\d{1,15}$/.test(soft) ? Number(soft) : undefined;
}
