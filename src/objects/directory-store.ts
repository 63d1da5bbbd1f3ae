/**
 * Objects as files below a folder, for one machine or a shared file system, for tests and demos.
 *
 * A write goes to a file beside the target and is renamed over it, so no reader sees half an object.
 * A condition is checked under a lock file. Limits: nothing is flushed to the disk (whoever reads
 * checks digests, and nodes look again within an hour); a lock older than ten seconds counts as left
 * behind by a crash, so a writer that sleeps longer than that between check and rename may overwrite
 * a newer object, which the fence at the host makes harmless; a crash may leave a `.new-…` file. The
 * file system must distinguish `A` from `a` where host ids do, and have atomic renames.
 */
import { createHash, randomUUID } from "node:crypto";
import { mkdir, open, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Clock } from "../kernel/clock.ts";
import { CoxswainError, messageOf } from "../kernel/errors.ts";
import {
  assertKey,
  type ObjectRead,
  type ObjectStore,
  type PutOutcome,
  type ReadOptions,
  type WriteOptions,
} from "./object-store.ts";

const lockTriesMax = 40;
const lockRetryMs = 25;
const lockStaleMs = 10_000;

export class DirectoryStore implements ObjectStore {
  readonly #folder: string;
  readonly #clock: Clock;

  constructor(folder: string, clock: Clock) {
    this.#folder = folder;
    this.#clock = clock;
  }

  get(key: string, { bytesMax, ifNoneMatch, signal }: ReadOptions): Promise<ObjectRead> {
    assertKey(key);
    return this.#translated("read", key, async () => {
      signal?.throwIfAborted();
      const file = await open(join(this.#folder, key), "r");
      try {
        const { size } = await file.stat();
        if (size > bytesMax) return { kind: "tooLarge" };
        const bytes = await file.readFile();
        const etag = etagOf(bytes);
        if (etag === ifNoneMatch) return { kind: "notModified" };
        return { kind: "value", bytes, etag };
      } finally {
        await file.close();
      }
    });
  }

  put(
    key: string,
    bytes: Uint8Array,
    { condition, signal }: WriteOptions = {},
  ): Promise<PutOutcome> {
    assertKey(key);
    return this.#translated("write", key, async () => {
      const path = join(this.#folder, key);
      await mkdir(dirname(path), { recursive: true });
      if (condition === undefined) return this.#replace(path, bytes);
      const lock = await this.#lock(path, signal);
      try {
        const found = await this.get(key, { bytesMax: Infinity });
        const etag = found.kind === "value" ? found.etag : undefined;
        const expected = condition.kind === "ifMatch" ? condition.etag : undefined;
        if (etag !== expected) return { kind: "conditionFailed" };
        return await this.#replace(path, bytes);
      } finally {
        await rm(lock, { force: true });
      }
    });
  }

  close(): void {}

  async #replace(path: string, bytes: Uint8Array): Promise<PutOutcome> {
    const made = join(dirname(path), `.new-${randomUUID()}`);
    try {
      await writeFile(made, bytes, { flag: "wx" });
      await rename(made, path);
      return { kind: "written" };
    } catch (error) {
      await rm(made, { force: true });
      throw error;
    }
  }

  /** Makes the lock file of `path`; returns its path. */
  async #lock(path: string, signal: AbortSignal | undefined): Promise<string> {
    const lock = `${path}.lock~`;
    for (let attempt = 1; ; attempt++) {
      try {
        await writeFile(lock, "", { flag: "wx" });
        return lock;
      } catch (error) {
        if (codeOf(error) !== "EEXIST" || attempt === lockTriesMax) throw error;
      }
      await this.#breakStale(lock);
      await this.#clock.sleep(lockRetryMs, signal);
    }
  }

  async #breakStale(lock: string): Promise<void> {
    try {
      const { mtimeMs } = await stat(lock);
      if (this.#clock.wallMs() - mtimeMs > lockStaleMs) await rm(lock, { force: true });
    } catch (error) {
      // Its holder was faster: the next attempt takes it.
      if (codeOf(error) !== "ENOENT") throw error;
    }
  }

  async #translated<Value extends ObjectRead | PutOutcome>(
    verb: string,
    key: string,
    work: () => Promise<Value>,
  ): Promise<Value> {
    try {
      return await work();
    } catch (error) {
      const code = codeOf(error);
      if (verb === "read" && code === "ENOENT") return { kind: "missing" } as Value;
      if (code === undefined) throw error;
      const isDenied = code === "EACCES" || code === "EPERM" || code === "EROFS";
      throw new CoxswainError(
        isDenied ? "OBJECTS_DENIED" : "OBJECTS_UNAVAILABLE",
        `Cannot ${verb} object ${key} below ${this.#folder}: ${messageOf(error)}`,
        { cause: error },
      );
    }
  }
}

const etagOf = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** The code of an error of the file system; undefined for anything else. */
function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error) || !("syscall" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}
