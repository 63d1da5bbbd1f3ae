/**
 * Objects in memory, for tests and the simulator: the same contract, and a hook before each call that
 * may wait or throw as a store does.
 */
import { createHash } from "node:crypto";
import {
  assertKey,
  type ObjectRead,
  type ObjectStore,
  type PutOutcome,
  type ReadOptions,
  type WriteOptions,
} from "./object-store.ts";

export class MemoryObjectStore implements ObjectStore {
  readonly objects: Map<string, Uint8Array>;
  /** Before each call takes effect. */
  before: (call: "get" | "put", key: string, signal?: AbortSignal) => Promise<void> | void =
    () => {};
  areConditionsIgnored = false;

  /** Several stores may share one map. */
  constructor(objects = new Map<string, Uint8Array>()) {
    this.objects = objects;
  }

  async get(key: string, { bytesMax, ifNoneMatch, signal }: ReadOptions): Promise<ObjectRead> {
    assertKey(key);
    signal?.throwIfAborted();
    await this.before("get", key, signal);
    const bytes = this.objects.get(key);
    if (bytes === undefined) return { kind: "missing" };
    if (bytes.length > bytesMax) return { kind: "tooLarge" };
    const etag = etagOf(bytes);
    return etag === ifNoneMatch ? { kind: "notModified" } : { kind: "value", bytes, etag };
  }

  async put(
    key: string,
    bytes: Uint8Array,
    { condition, signal }: WriteOptions = {},
  ): Promise<PutOutcome> {
    assertKey(key);
    signal?.throwIfAborted();
    await this.before("put", key, signal);
    const found = this.objects.get(key);
    const etag = found && etagOf(found);
    const expected = condition?.kind === "ifMatch" ? condition.etag : undefined;
    if (condition !== undefined && etag !== expected && !this.areConditionsIgnored) {
      return { kind: "conditionFailed" };
    }
    this.objects.set(key, Uint8Array.from(bytes));
    return { kind: "written" };
  }

  close(): void {}
}

const etagOf = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
