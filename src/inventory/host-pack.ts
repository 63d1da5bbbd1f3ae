/**
 * Packs: hosts that were imported share items, hundreds in one, compressed.
 *
 * An item of its own for each host would make an import as slow, and a takeover's reading as dear, as the
 * number of hosts. A partition has four packs, and an id says which of them is its host's, so that one read
 * of two keys finds a host wherever it is. A pack is written whole, on the condition that it is as it was
 * read. It is never deleted, not even when it is empty: its first write, repeated late, must not pass for new.
 */
import { CoxswainError, messageOf } from "../kernel/errors.ts";
import { limits } from "../protocol/limits.ts";
import { keys, type Attribute, type Attributes, type Item } from "../store/store.ts";
import { encodeHost, hostPrefix } from "./host-codec.ts";
import type { HostRecord } from "./host.ts";
import { pack as packJson, unpack as unpackJson } from "./packed-json.ts";

export const packsPerPartition = 4;
/** Twice the share of a partition that is full: ids do not spread evenly. */
const hostsMax = limits.hostsPerPartitionMax / 2;
/** New hosts are taken up to here. An item has room for 400 KB: what is in it may still grow. */
const bytesMax = 128 * 1024;
const unpackedBytesMax = 32 * 1024 * 1024;
const packPrefix = "hosts#";
/** What a host item has, in the order in which a pack keeps it. */
const fields = ["revision", "address", "mode", "labels", "pins"] as const;

export interface HostPack {
  /** 0-based. */
  readonly index: number;
  /** Number of its last write; 0 where it was never written. */
  readonly revision: number;
  /** What items of their own would have, by id. */
  readonly hosts: ReadonlyMap<string, Attributes>;
}

/** Index of the pack that the host of this id may be in. FNV-1a: the partition is of another hash. */
export function packIndexOf(id: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < id.length; at++) hash = Math.imul(hash ^ id.charCodeAt(at), 0x01000193);
  return (hash ^ (hash >>> 15)) & (packsPerPartition - 1);
}

/** The pack's key in its partition: no host id looks like it. */
export function packNameOf(id: string): string {
  return keys.pack(0, packIndexOf(id)).sk;
}

export function emptyPack(index: number): HostPack {
  return { index, revision: 0, hosts: new Map() };
}

export function isPack({ sk }: Pick<Item, "sk">): boolean {
  return sk.startsWith(packPrefix);
}

/** The pack with `records` put in, or in the place of those of the same ids. */
export function withHosts(
  before: HostPack,
  records: readonly HostRecord[],
  revision: number,
): HostPack {
  const hosts = new Map(before.hosts);
  for (const record of records) hosts.set(record.id, encodeHost(record));
  return { ...before, revision, hosts };
}

export function withoutHosts(before: HostPack, ids: readonly string[], revision: number): HostPack {
  const hosts = new Map(before.hosts);
  for (const id of ids) hosts.delete(id);
  return { ...before, revision, hosts };
}

/** How many of the new `records`, from the first on, a pack has room for. */
export function fittingCount(before: HostPack, records: readonly HostRecord[]): number {
  let count = Math.max(0, Math.min(records.length, hostsMax - before.hosts.size));
  for (; count > 0; count >>= 1) {
    const next = withHosts(before, records.slice(0, count), 1);
    if (textLength(next) <= bytesMax || packedHosts(next).length <= bytesMax) break;
  }
  return count;
}

/** The hosts of a pack as items of their own, for the one decoder of host records. */
export function itemsOf(partition: number, { hosts }: HostPack): Item[] {
  const { pk } = keys.head(partition);
  return Array.from(hosts, ([id, attributes]) => ({ pk, sk: hostPrefix + id, attributes }));
}

export function encodePack(pack: HostPack): Attributes {
  return { revision: pack.revision, hosts: packedHosts(pack) };
}

/** Throws STORE_CORRUPT where the item is no pack; what its hosts are worth, their decoder says. */
export function decodePack(item: Item): HostPack {
  const { revision, hosts } = item.attributes;
  try {
    const index = Number(item.sk.slice(packPrefix.length));
    if (item.sk !== keys.pack(0, index).sk || index >= packsPerPartition) {
      throw new Error("its key is not that of a pack");
    }
    if (typeof revision !== "number" || !Number.isSafeInteger(revision) || revision < 1) {
      throw new Error("its revision is not a positive integer");
    }
    const entries = unpackJson(hosts, unpackedBytesMax);
    if (!Array.isArray(entries)) throw new Error("its hosts are not a list");
    const byId = new Map(entries.map(entryOf));
    if (byId.size !== entries.length) throw new Error("an id is there twice");
    return { index, revision, hosts: byId };
  } catch (error) {
    throw new CoxswainError(
      "STORE_CORRUPT",
      `Expected ${item.pk}/${item.sk} to be a pack of hosts: ${messageOf(error)}`,
      { details: { pk: item.pk, sk: item.sk }, cause: error },
    );
  }
}

function packedHosts({ hosts }: HostPack): Uint8Array {
  return packJson(
    Array.from(hosts, ([id, attributes]) => [id, ...fields.map((field) => attributes[field])]),
  );
}

/** Of all texts, which no compression makes longer by more than the room left in an item. */
function textLength({ hosts }: HostPack): number {
  let length = 0;
  for (const [id, attributes] of hosts) {
    length += id.length;
    for (const field of fields) length += String(attributes[field]).length;
  }
  return length;
}

function entryOf(entry: unknown): [string, Attributes] {
  const [id, ...values]: unknown[] = Array.isArray(entry) ? entry : [];
  if (typeof id !== "string" || values.length !== fields.length || !values.every(isPlain)) {
    throw new Error("an entry is not an id and what is known of its host");
  }
  return [id, Object.fromEntries(fields.map((field, at) => [field, values[at] as Attribute]))];
}

function isPlain(value: unknown): value is string | number {
  return typeof value === "string" || typeof value === "number";
}
