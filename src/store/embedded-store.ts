/**
 * DynamoDB's wire protocol in this process, on LevelDB in a folder: the store without AWS or Java.
 *
 * One process at a time holds a folder (LevelDB's own lock); other processes use its endpoint. A
 * write survives the death of the process; the last ones may be lost with the machine. Around
 * dynalite stands a guard, because dynalite throws from callbacks (which ends the process) when a
 * client goes away in the middle of a request, or when its database is locked or already closed.
 */
import { mkdir, realpath } from "node:fs/promises";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import dynalite from "dynalite";
import { systemClock } from "../kernel/clock.ts";
import { CoxswainError, messageOf } from "../kernel/errors.ts";

/** Requests under way at `stop` get this long to be answered. */
const stopGraceMs = 2_000;

export interface EmbeddedStoreOptions {
  /** Folder of the data; made if missing. In memory without one. */
  readonly dir?: string | undefined;
  /** 0, the default, takes a free port. */
  readonly port?: number | undefined;
  readonly host?: "127.0.0.1";
}

export interface EmbeddedStore {
  /** URL for the SDK. */
  readonly endpoint: string;
  /** Answers what is under way, closes sockets and data. Idempotent. */
  stop(): Promise<void>;
}

/** Starts the store. Throws OPTION_INVALID when the folder is in use or the port is taken. */
export async function startEmbeddedStore(
  options: EmbeddedStoreOptions = {},
): Promise<EmbeddedStore> {
  const { dir, port = 0, host = "127.0.0.1" } = options;
  const release = dir === undefined ? () => {} : await claimFolder(dir);
  closeIteratorsOfQueries();
  const server = dynalite({
    createTableMs: 0,
    deleteTableMs: 0,
    ...(dir !== undefined && { path: dir }),
  });
  guard(server);
  // A connection that rests is the client's to close: closed here, a request may already be on its way.
  server.keepAliveTimeout = 0;
  try {
    await listen(server, port, host);
  } catch (error) {
    // dynalite closes its database only behind a server that listened.
    await listen(server, 0, host);
    await close(server).finally(release);
    throw portError(port, error);
  }
  const { port: boundPort } = server.address() as AddressInfo;
  let stopped: Promise<void> | undefined;
  return {
    endpoint: `http://${host}:${boundPort}`,
    stop: () => (stopped ??= close(server).finally(release)),
  };
}

/**
 * Folders this process uses. LevelDB must not be asked twice in one process: closing the second
 * attempt's file gives up the process's lock (POSIX record locks), and another process could get in.
 */
const claimedFolders = new Set<string>();

/** Throws OPTION_INVALID for a folder that is in use or is none; returns how to give it up. */
async function claimFolder(dir: string): Promise<() => void> {
  try {
    await mkdir(dir, { recursive: true });
    const folder = await realpath(dir);
    if (claimedFolders.has(folder)) throw folderInUse(dir);
    claimedFolders.add(folder);
    const release = () => void claimedFolders.delete(folder);
    await tryDatabase(folder).catch((error: unknown) => {
      release();
      throw error;
    });
    return release;
  } catch (error) {
    if (error instanceof CoxswainError) throw error;
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    if ((cause as NodeJS.ErrnoException).code === "LEVEL_LOCKED") throw folderInUse(dir, error);
    throw new CoxswainError(
      "OPTION_INVALID",
      `Expected \`dir\` to be a folder for the store's data, got ${dir}: ${messageOf(cause)}`,
      { details: { dir }, cause: error },
    );
  }
}

/** Opens and closes the database once: dynalite would report a lock only by ending the process. */
async function tryDatabase(folder: string): Promise<void> {
  const database = new Level(folder);
  try {
    await database.open();
  } finally {
    await database.close();
  }
}

function folderInUse(dir: string, cause?: unknown): CoxswainError {
  return new CoxswainError(
    "OPTION_INVALID",
    `Expected \`dir\` to be a folder that no other store uses, got ${dir}`,
    { details: { dir }, cause },
  );
}

interface LevelDatabase {
  open(): Promise<void>;
  close(): Promise<void>;
}

/** The very LevelDB that dynalite opens: its dependency, not ours. */
const requireOfDynalite = createRequire(createRequire(import.meta.url).resolve("dynalite"));
const { Level } = requireOfDynalite("level") as { Level: new (dir: string) => LevelDatabase };

/**
 * dynalite ends each query's iterator by `return`, which LevelDB's iterators have not: unclosed, each
 * would keep 5 KB and a snapshot of the database until the process ends. Gives them one.
 */
function closeIteratorsOfQueries(): void {
  const requireOfLevel = createRequire(requireOfDynalite.resolve("level"));
  const { AbstractValueIterator } = requireOfLevel("abstract-level") as {
    AbstractValueIterator: { prototype: { return?: typeof closeThis } };
  };
  AbstractValueIterator.prototype.return = closeThis;
}

function closeThis(this: Pick<LevelDatabase, "close">): Promise<void> {
  return this.close();
}

function guard(server: Server): void {
  const [handle] = server.listeners("request") as [
    (request: IncomingMessage, response: ServerResponse) => void,
  ];
  server.removeAllListeners("request");
  server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    handle(request, response);
    // dynalite rethrows the error of a client that went away; there is nobody left to tell.
    request.removeAllListeners("error");
    request.on("error", () => {});
    response.once("close", () => {
      if (!server.listening) server.closeIdleConnections();
    });
  });
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

/** Closes the server, then the database: a request that finds it closed would end the process. */
function close(server: Server): Promise<void> {
  const cancel = systemClock.after(stopGraceMs, () => server.closeAllConnections());
  return new Promise((resolve, reject) => {
    server.close((error) => {
      cancel();
      // dynalite says null where Node says undefined.
      if (error === undefined || error === null) resolve();
      else reject(error);
    });
  });
}

function portError(port: number, error: unknown): CoxswainError {
  const isTaken = (error as NodeJS.ErrnoException).code === "EADDRINUSE";
  return new CoxswainError(
    "OPTION_INVALID",
    `Expected \`port\` to be ${isTaken ? "a free port" : "a port to listen on"}, got ${port}: ${messageOf(error)}`,
    { details: { port }, cause: error },
  );
}
