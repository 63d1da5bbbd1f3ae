/**
 * The Disk port on a real file system.
 *
 * A step is done when the file's data and the folder that names it have both been synced: a rename
 * alone can be lost by a power cut, and a new file without its folder's fsync can vanish.
 * Source: the fsync rules of Linux rename(2) and fsync(2); ext4 and xfs both need the folder's.
 */
import { randomBytes } from "node:crypto";
import { constants, type Stats } from "node:fs";
import { link, mkdir, open, readdir, rename, rm, type FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import { messageOf } from "../kernel/errors.ts";
import { DiskError, type Disk, type FileAttributes } from "./disk.ts";

export const fileDisk: Disk = {
  read: (path, bytesMax) => translated(() => readBounded(path, bytesMax)),
  write: (path, bytes, attributes) => translated(() => writeSynced(path, bytes, attributes)),
  rename: (from, to) =>
    translated(async () => {
      await rename(from, to);
      await syncFolder(dirname(to));
    }),
  link: (existing, name) => translated(() => linkOver(existing, name)),
  remove: (path) =>
    translated(async () => {
      if (await isRemoved(path)) await syncFolder(dirname(path));
    }),
  discard: (path) => translated(() => rm(path, { force: true })),
  list: (folder) => translated(() => listFiles(folder)),
};

async function translated<Value>(step: () => Promise<Value>): Promise<Value> {
  try {
    return await step();
  } catch (error) {
    if (error instanceof DiskError) throw error;
    throw new DiskError(messageOf(error), error);
  }
}

async function readBounded(path: string, bytesMax: number): Promise<Uint8Array | undefined> {
  let file: FileHandle;
  try {
    // O_NONBLOCK: opening a named pipe must not hang the agent.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") return undefined;
    throw error;
  }
  try {
    requireSmallFile(path, await file.stat(), bytesMax);
    // One byte more than allowed, so that a file that grows meanwhile is noticed.
    const buffer = Buffer.allocUnsafe(Math.min(bytesMax, (await file.stat()).size) + 1);
    let length = 0;
    for (;;) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length, length);
      length += bytesRead;
      if (bytesRead === 0 || length === buffer.length) break;
    }
    if (length === buffer.length) throw new DiskError(`${path} grew while it was read`);
    return buffer.subarray(0, length);
  } finally {
    await file.close();
  }
}

function requireSmallFile(path: string, stats: Stats, bytesMax: number): void {
  if (!stats.isFile()) throw new DiskError(`Expected ${path} to be a regular file`);
  if (stats.size > bytesMax) {
    throw new DiskError(`Expected ${path} to have at most ${bytesMax} bytes, got ${stats.size}`);
  }
}

async function writeSynced(
  path: string,
  bytes: Uint8Array,
  attributes: FileAttributes,
): Promise<void> {
  await makeFolder(dirname(path));
  // A fresh inode every time: an old file may be linked elsewhere or have another owner.
  await rm(path, { force: true });
  const file = await open(path, "wx", attributes.mode);
  try {
    await file.writeFile(bytes);
    await file.chmod(attributes.mode);
    if (attributes.owner !== undefined) {
      await file.chown(attributes.owner.uid, attributes.owner.gid);
    }
    await file.sync();
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}

/** Makes `folder` and what is missing above it, each name durable in its own parent. */
async function makeFolder(folder: string): Promise<void> {
  const topmostMade = await mkdir(folder, { recursive: true, mode: 0o755 });
  if (topmostMade === undefined) return;
  for (let made = folder; ; made = dirname(made)) {
    await syncFolder(dirname(made));
    if (made === topmostMade || made === dirname(made)) return;
  }
}

/** link(2) refuses an existing name, so the link is made under a fresh one and renamed. */
async function linkOver(existing: string, name: string): Promise<void> {
  const fresh = `${name}.${randomBytes(4).toString("hex")}`;
  await link(existing, fresh);
  await rename(fresh, name);
  // Where both names already were one file, rename(2) does nothing and leaves the fresh name.
  await rm(fresh, { force: true });
  await syncFolder(dirname(name));
}

/** False where there was nothing to remove. */
async function isRemoved(path: string): Promise<boolean> {
  try {
    await rm(path);
    return true;
  } catch (error) {
    if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") return false;
    throw error;
  }
}

async function listFiles(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => entry.name)
      .toSorted();
  } catch (error) {
    if (codeOf(error) === "ENOENT") return [];
    throw error;
  }
}

async function syncFolder(folder: string): Promise<void> {
  let handle: FileHandle;
  try {
    handle = await open(folder, "r");
  } catch (error) {
    // The folder was removed as a whole: there is no name left to make durable.
    if (codeOf(error) === "ENOENT") return;
    throw error;
  }
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function codeOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : "";
}
