/**
 * Keeps two agents from sharing one folder: two fences in one file would each undo the other.
 *
 * The lock is a file that names the process: its id and, where /proc tells, when it started, because
 * ids are used again (in a container the same few all the time). A lock whose process is gone is
 * taken over: it is moved aside first, and only what was judged is moved, so that of two agents that
 * start at once one wins.
 */
import { link, mkdir, readFile, realpath, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { kill, pid as ownPid } from "node:process";
import { CoxswainError, messageOf } from "../kernel/errors.ts";

export interface FolderLock {
  release(): Promise<void>;
}

/** Folders locked by this process: its own id in a lock file means nothing by itself. */
const lockedHere = new Set<string>();

/** Rejects with AGENT_LOCKED where a living process holds the folder. */
export async function lockFolder(folder: string): Promise<FolderLock> {
  const real = await existing(folder);
  const path = join(real, "agent.lock");
  if (lockedHere.has(real)) throw locked(folder, "this process");
  lockedHere.add(real);
  try {
    await claim(path, folder);
  } catch (error) {
    lockedHere.delete(real);
    throw error;
  }
  return {
    release: async () => {
      if (lockedHere.delete(real)) await rm(path, { force: true });
    },
  };
}

async function existing(folder: string): Promise<string> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o755 });
    return await realpath(folder);
  } catch (cause) {
    throw new CoxswainError(
      "AGENT_CONFIG_INVALID",
      `Expected \`dir\` to be a folder that can be written, got ${folder} (${messageOf(cause)})`,
      { cause },
    );
  }
}

async function claim(path: string, folder: string): Promise<void> {
  const mine = JSON.stringify({ pid: ownPid, started: await startedAt(ownPid) });
  // Each round either wins, finds a living holder, or removes one dead holder.
  for (let round = 0; round < 3; round++) {
    try {
      await writeFile(path, mine, { flag: "wx", mode: 0o600 });
      return;
    } catch (error) {
      if (!hasCode(error, "EEXIST")) throw error;
    }
    const found = await readLock(path);
    if (found === undefined) continue;
    const holder = await livingHolder(found);
    if (holder !== undefined) throw locked(folder, `process ${holder}`);
    await moveAside(path, found);
  }
  throw locked(folder, "an agent that started at the same moment");
}

/** The holder's id while it lives; text that is no lock has no holder. */
async function livingHolder(text: string): Promise<number | undefined> {
  const match = /^\{"pid":(\d{1,10}),"started":"(\d*)"\}$/.exec(text);
  if (match === null) return undefined;
  const pid = Number(match[1]);
  // This process holds only what `lockedHere` says: the file is from an earlier life of this id.
  if (pid === ownPid || !isAlive(pid)) return undefined;
  const started = await startedAt(pid);
  return started === "" || match[2] === "" || started === match[2] ? pid : undefined;
}

async function moveAside(path: string, judged: string): Promise<void> {
  const aside = `${path}.stale-${ownPid}`;
  try {
    await rename(path, aside);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return;
    throw error;
  }
  // Between reading and moving, another agent may have put its own lock there: give it back.
  if ((await readLock(aside)) !== judged) await link(aside, path);
  await rm(aside, { force: true });
}

async function readLock(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** Clock ticks from boot to the start of process `pid`; empty where there is no /proc. */
async function startedAt(pid: number): Promise<string> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    // Fields are counted after the program's name, which may hold spaces and parentheses.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
  } catch {
    // Not Linux, or the process has just ended; the caller then goes by the id alone.
    return "";
  }
}

function isAlive(pid: number): boolean {
  try {
    kill(pid, 0);
    return true;
  } catch (error) {
    return hasCode(error, "EPERM");
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

function locked(folder: string, holder: string): CoxswainError {
  return new CoxswainError(
    "AGENT_LOCKED",
    `Expected folder ${folder} to be used by one agent, got ${holder} using it already`,
  );
}
