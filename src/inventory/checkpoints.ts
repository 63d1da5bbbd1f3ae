/**
 * Checkpoints: what the hosts of a partition had acknowledged, as their owner last wrote it.
 *
 * A hint, not truth: a new owner pushes only where checkpoint and desired state differ, and the sweep
 * finds what the checkpoint got wrong. So damage is an ordinary answer here. Each chunk is written
 * only where no newer view's owner has written, and carries the digest of the whole, so that a
 * mixture of two writes is recognised. Chunks beyond the count in chunk 0 are left over and ignored.
 */
import { CoxswainError, messageOf } from "../kernel/errors.ts";
import { digestOf } from "../protocol/digest.ts";
import type { View } from "../ring/view.ts";
import { keys, type Item, type Store, type WriteOutcome } from "../store/store.ts";
import { pack, unpack } from "./packed-json.ts";

const chunkBytesMax = 300_000;
const chunksMax = 32;
const unpackedBytesMax = 64 * 1024 * 1024;

export type CheckpointRead<T> =
  | { readonly kind: "found"; readonly entries: readonly T[] }
  | { readonly kind: "none" }
  | { readonly kind: "damaged"; readonly reason: string };

/** A view as one ordered number: generation x 2^32 + version, both within 21 and 32 bits. */
export function viewNumber(view: Pick<View, "generation" | "version">): number {
  const number = view.generation * 2 ** 32 + view.version;
  if (view.version < 2 ** 32 && Number.isSafeInteger(number)) return number;
  throw new RangeError(
    `Expected a generation below 2^21 and a version below 2^32, got ${view.generation}.${view.version}`,
  );
}

/**
 * Replaces the partition's checkpoint. `refused`: the owner of a newer view has written; `unknown`:
 * write again. Entries must be JSON values. Throws REQUEST_TOO_LARGE and the store's errors.
 */
export async function writeCheckpoint(
  store: Store,
  partition: number,
  view: Pick<View, "generation" | "version">,
  entries: readonly unknown[],
): Promise<WriteOutcome> {
  const writerView = viewNumber(view);
  const packed = pack(entries);
  const count = Math.ceil(packed.length / chunkBytesMax);
  if (count > chunksMax) {
    throw new CoxswainError(
      "REQUEST_TOO_LARGE",
      `Expected a checkpoint of at most ${chunksMax * chunkBytesMax} bytes, got ${packed.length}`,
    );
  }
  const digest = digestOf(packed);
  // Chunk 0 last: until then readers find the old one, whole unless it had several chunks.
  for (let chunk = count - 1; chunk >= 0; chunk--) {
    const bytes = packed.slice(chunk * chunkBytesMax, (chunk + 1) * chunkBytesMax);
    const outcome = await store.put(
      { ...keys.status(partition, chunk), attributes: { writerView, count, digest, bytes } },
      [{ kind: "atMost", attribute: "writerView", value: writerView }],
    );
    if (outcome.kind !== "written") return outcome;
  }
  return { kind: "written" };
}

/**
 * Reads the checkpoints of some partitions, most of them with one call; `parseEntry` throws on what it does not know.
 * Throws the store's errors.
 */
export async function readCheckpoints<T>(
  store: Store,
  partitions: readonly number[],
  parseEntry: (value: unknown) => T,
): Promise<Map<number, CheckpointRead<T>>> {
  const asked = partitions.map((partition) => ({ partition, key: keys.status(partition, 0) }));
  const items = asked.length === 0 ? [] : await store.getMany(asked.map(({ key }) => key));
  const byPk = new Map(items.map((item) => [item.pk, item]));
  const reads = asked.map(async ({ partition, key }) => {
    const read = await readWhole(store, partition, byPk.get(key.pk), parseEntry);
    return [partition, read] as const;
  });
  return new Map(await Promise.all(reads));
}

/** The same for one partition, whose checkpoint is read as a single item. */
export async function readCheckpoint<T>(
  store: Store,
  partition: number,
  parseEntry: (value: unknown) => T,
): Promise<CheckpointRead<T>> {
  const first = await store.get(keys.status(partition, 0));
  return readWhole(store, partition, first, parseEntry);
}

/** From chunk 0 on. */
async function readWhole<T>(
  store: Store,
  partition: number,
  first: Item | undefined,
  parseEntry: (value: unknown) => T,
): Promise<CheckpointRead<T>> {
  if (first === undefined) return { kind: "none" };
  const { count } = first.attributes;
  if (typeof count !== "number" || !(count >= 1 && count <= chunksMax)) {
    return { kind: "damaged", reason: `chunk 0 counts ${String(count)} chunks` };
  }
  const others = Array.from({ length: count - 1 }, (_, index) => keys.status(partition, index + 1));
  const rest = others.length === 0 ? [] : await store.getMany(others);
  try {
    const entries = unpack(joined([first, ...rest], partition, count), unpackedBytesMax);
    if (!Array.isArray(entries)) throw new Error("the content is not a list");
    return { kind: "found", entries: entries.map((entry) => parseEntry(entry)) };
  } catch (error) {
    return { kind: "damaged", reason: messageOf(error) };
  }
}

function joined(items: readonly Item[], partition: number, count: number): Uint8Array {
  const bySk = new Map(items.map((item) => [item.sk, item.attributes]));
  const parts = Array.from({ length: count }, (_, chunk) => {
    const bytes = bySk.get(keys.status(partition, chunk).sk)?.["bytes"];
    if (!(bytes instanceof Uint8Array)) throw new Error(`chunk ${chunk} of ${count} is missing`);
    return bytes;
  });
  const whole = Buffer.concat(parts);
  if (digestOf(whole) !== items[0]?.attributes["digest"]) {
    throw new Error("the chunks do not belong together");
  }
  return whole;
}
