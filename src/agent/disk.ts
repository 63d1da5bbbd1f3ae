/**
 * The disk as the agent's core sees it: a port of durable single steps.
 *
 * Unless its comment says otherwise, a step is on stable storage when its promise resolves, and a
 * crash inside it leaves its effect done or not done; only a file under `write` may be torn. Content
 * therefore reaches a path that someone reads only by `rename` of a finished file.
 *
 * Adapters translate every foreign error to a DiskError; anything else that is thrown is a crash or
 * a defect and passes through the core untouched.
 */
import { join, parse } from "node:path";

/** Who may read a file; absent parts are left to the adapter's default. */
export interface FileAttributes {
  /** Permission bits, for example 0o644. */
  readonly mode: number;
  readonly owner?: { readonly uid: number; readonly gid: number };
}

/** Paths are absolute; folders come into being when something is written into them. */
export interface Disk {
  /** Undefined where there is no file; DiskError above `bytesMax`. */
  read(path: string, bytesMax: number): Promise<Uint8Array | undefined>;
  /** Creates or overwrites. The bytes are durable, the name only once `rename` has moved it. */
  write(path: string, bytes: Uint8Array, attributes: FileAttributes): Promise<void>;
  /** Atomically replaces `to`; both must be in one folder. */
  rename(from: string, to: string): Promise<void>;
  /** Gives an existing file a second name in the same folder, replacing a file of that name. */
  link(existing: string, name: string): Promise<void>;
  /** Removes a file; nothing happens where there is none. */
  remove(path: string): Promise<void>;
  /** Like `remove`, for files that nobody needs: it may be back after a crash. */
  discard(path: string): Promise<void>;
  /** Names of the files directly in `folder`, sorted; empty where there is no folder. */
  list(folder: string): Promise<string[]>;
}

/** A step that the disk refused; the file's old content is still there. */
export class DiskError extends Error {
  override readonly name = "DiskError";

  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
  }
}

/** Files of the agent's own that stand next to `path` during an apply, in the same folder. */
export function besidePaths(path: string): { candidate: string; previous: string } {
  const { dir, base } = parse(path);
  return {
    candidate: join(dir, `.${base}.coxswain-candidate`),
    previous: join(dir, `.${base}.coxswain-previous`),
  };
}

/** Replaces `path` whole: a reader sees the old bytes or the new ones. */
export async function writeDurable(
  disk: Disk,
  path: string,
  bytes: Uint8Array,
  attributes: FileAttributes,
): Promise<void> {
  const { candidate } = besidePaths(path);
  await disk.write(candidate, bytes, attributes);
  await disk.rename(candidate, path);
}
