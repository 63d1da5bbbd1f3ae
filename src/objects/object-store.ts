/**
 * The port of an object store: whole objects by key, read conditionally and written conditionally.
 *
 * Adapters: a directory, S3, and a plain web server for reading only. One contract suite runs over
 * them (object-store-contract.ts). Nothing is listed and nothing deleted, so that the rights which
 * an agent and a node need stay few. No adapter tries again: the caller knows what is urgent.
 */
import assert from "node:assert/strict";

/** One read. */
export type ObjectRead =
  /** `etag` names these bytes; empty where the store gives none. */
  | { readonly kind: "value"; readonly bytes: Uint8Array; readonly etag: string }
  /** It still has the etag that the caller knows. */
  | { readonly kind: "notModified" }
  | { readonly kind: "missing" }
  /** More than the caller takes; nothing of it is kept. */
  | { readonly kind: "tooLarge" };

export type PutCondition =
  | { readonly kind: "ifAbsent" }
  | { readonly kind: "ifMatch"; readonly etag: string };

export type PutOutcome = { readonly kind: "written" } | { readonly kind: "conditionFailed" };

export interface ReadOptions {
  readonly bytesMax: number;
  readonly ifNoneMatch?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ObjectReader {
  /** Rejects with OBJECTS_UNAVAILABLE or OBJECTS_DENIED, or with the reason of `signal`. */
  get(key: string, options: ReadOptions): Promise<ObjectRead>;
  close(): void;
}

export interface ObjectStore extends ObjectReader {
  /**
   * Replaces the whole object: a reader sees the old bytes or the new ones. After a rejection
   * (OBJECTS_UNAVAILABLE, OBJECTS_DENIED) it may have been written all the same.
   */
  put(key: string, bytes: Uint8Array, options?: WriteOptions): Promise<PutOutcome>;
}

/** True for a store that can be written, as far as one can tell without trying. */
export function isWritable(reader: ObjectReader): reader is ObjectStore {
  return "put" in reader;
}

export interface WriteOptions {
  readonly condition?: PutCondition | undefined;
  readonly signal?: AbortSignal | undefined;
}

const keyPattern = /^[A-Za-z0-9][A-Za-z0-9._-]*(?:\/[A-Za-z0-9][A-Za-z0-9._-]*)*$/;

/** Keys are built from checked parts, so another one is a defect: no key leaves the prefix. */
export function assertKey(key: string): void {
  assert(keyPattern.test(key) && key.length <= 512, `Expected an object key, got ${key}`);
}
