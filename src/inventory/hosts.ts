/**
 * Hosts in the store, in the partition that their id hashes to: an item each, or in a pack.
 *
 * Hosts that were registered alone have an item of their own, those of an import are in packs, and each stays
 * where it is until it is removed. How a change is written so that its owner finds it is told in partition-store.ts; here is what is
 * written and when. A host that is as asked is not written; but where a writer died before it moved
 * the head, the repetition of its call finds the host unchanged with the head not above it, and moves
 * the head then.
 */
import { CoxswainError, isCoxswainError } from "../kernel/errors.ts";
import { limits } from "../protocol/limits.ts";
import { keys, type Store } from "../store/store.ts";
import { inGroups } from "./bounded.ts";
import { createHostDecoder, hostPrefix, isSameHost } from "./host-codec.ts";
import { itemsOf, packNameOf, type HostPack } from "./host-pack.ts";
import { defaultModes, type HostId, type HostInput, type HostRecord } from "./host.ts";
import { headOf, PartitionStore, type HostChange, type StoredHost } from "./partition-store.ts";
import type { TurnShare } from "./turn-share.ts";

/** Rounds of read, decide and write before HOST_CHANGED: a change of any host of a pack costs the others one. */
const roundsMax = 40;
const headsPerReadMax = 100;
/** Decoded in a row where turns are shared: about half a millisecond. */
const hostsAtATime = 100;

export type PutOutcome = "created" | "updated" | "unchanged";
export type OnExisting = "update" | "refuse";

export interface PutResult {
  readonly record: HostRecord;
  readonly outcome: PutOutcome;
}

export interface LoadedPartition {
  /** The head, read before the hosts; 0 where nothing was ever written. */
  readonly revision: number;
  /** Sorted by id. */
  readonly hosts: readonly HostRecord[];
  /** In which of the hosts are kept. */
  readonly packs: readonly HostPack[];
  /** Hosts whose item is STORE_CORRUPT: registered, not removed. Keep what is known of them (`presenceIn`). */
  readonly damaged: readonly DamagedHost[];
}

export interface DamagedHost {
  /** Of a host; or the name of a pack, which stands for all that may be in it. */
  readonly id: string;
  /** STORE_CORRUPT. */
  readonly error: CoxswainError;
}

export interface HostPorts {
  readonly store: Store;
  /** Partition of a host id, 0-based. */
  readonly partitionOf: (id: HostId) => number;
}

/** The hosts in one store. All methods throw the store's errors. */
export class HostStore {
  readonly partitionOf: (id: HostId) => number;
  readonly partitions: PartitionStore;
  readonly #store: Store;
  readonly #decode = createHostDecoder();

  constructor({ store, partitionOf }: HostPorts) {
    this.#store = store;
    this.partitions = new PartitionStore(store);
    this.partitionOf = partitionOf;
  }

  /** Undefined where the id is not registered. Throws STORE_CORRUPT for a damaged record. */
  async get(id: HostId): Promise<HostRecord | undefined> {
    const partition = this.partitionOf(id);
    return this.#seenIn(partition, id, await this.partitions.find(partition, id)).seen;
  }

  /**
   * Registers or changes a host; one that is as asked is not written. With `refuse`, HOST_EXISTS is
   * thrown for a host registered with other data. Throws PARTITION_FULL, HOST_CHANGED.
   */
  put(input: HostInput, onExisting: OnExisting = "update"): Promise<PutResult> {
    return this.#change(input.id, (seen) => {
      if (seen === undefined) return input;
      if (isSameHost(seen, input)) return undefined;
      if (onExisting === "refuse") throw hostExists(input.id);
      return mergedInput(seen, input);
    });
  }

  /** Sets (or with undefined removes) a pin. Throws HOST_NOT_FOUND, HOST_INVALID, HOST_CHANGED. */
  async pin(id: HostId, config: string, digest: string | undefined): Promise<HostRecord> {
    const { record } = await this.#change(id, (seen) => {
      if (seen === undefined) throw hostNotFound(id);
      const others = Object.entries(seen.pins).filter(([name]) => name !== config);
      const entries = digest === undefined ? others : [...others, [config, digest] as const];
      if (entries.length > limits.configsPerHostMax) {
        throw new CoxswainError(
          "HOST_INVALID",
          `Expected \`pins\` to be at most ${limits.configsPerHostMax} entries, got ${entries.length}`,
          { details: { field: "pins", rule: `at most ${limits.configsPerHostMax}` } },
        );
      }
      const pins = Object.fromEntries(
        entries.toSorted(([left], [right]) => (left < right ? -1 : 1)),
      );
      const input = { ...seen, pins };
      return isSameHost(seen, input) ? undefined : input;
    });
    return record;
  }

  /** Removes a host, whatever changes meanwhile. Throws HOST_NOT_FOUND, HOST_CHANGED. */
  async delete(id: HostId): Promise<void> {
    const partition = this.partitionOf(id);
    for (let rounds = 0; rounds < roundsMax; rounds++) {
      const stored = await this.partitions.find(partition, id);
      const isPacked = stored.pack.hosts.has(id);
      if (stored.item === undefined && !isPacked) {
        // An earlier call may have died between the deletion and the head.
        if (rounds > 0 || (await this.#store.get(keys.head(partition))) !== undefined)
          await this.partitions.next(partition);
        if (rounds > 0) return;
        throw hostNotFound(id);
      }
      const isWritten = (await this.#deleteOne(partition, id, stored)) === "written";
      if (!isWritten || (stored.item !== undefined && isPacked)) continue;
      await this.partitions.next(partition);
      return;
    }
    throw hostChanged(id);
  }

  /**
   * Gives a record a new number, and the data of `record`, IF the table's has the number of `record`.
   * Throws STORE_UNKNOWN_OUTCOME.
   */
  async renumber(record: HostRecord): Promise<void> {
    const partition = this.partitionOf(record.id);
    const stored = await this.partitions.find(partition, record.id);
    const found = this.#seenIn(partition, record.id, stored);
    if (found.seen?.revision !== record.revision) return;
    const revision = await this.partitions.next(partition);
    await this.partitions.write(partition, { ...found, record: { ...record, revision } });
  }

  /**
   * A partition whole, or an error: an empty answer means that the store says it is empty. Pass `head`
   * where it has just been read; a partition whose head is 0 never had a host and is not read. With
   * `turns`, each host is taken from their amount before it is decoded.
   */
  async load(partition: number, head?: number, turns?: TurnShare): Promise<LoadedPartition> {
    const revision = head ?? (await this.partitions.head(partition));
    if (revision === 0) return { revision, hosts: [], packs: [], damaged: [] };
    const hosts: HostRecord[] = [];
    const damaged: DamagedHost[] = [];
    const { items: own, packs, damaged: damagedPacks } = await this.partitions.items(partition);
    const items =
      packs.length === 0 ? own : [...own, ...packs.flatMap((pack) => itemsOf(partition, pack))];
    for (const { name: id, error } of damagedPacks) damaged.push({ id, error });
    for (const [index, item] of items.entries()) {
      if (index % hostsAtATime === 0) {
        await turns?.take(Math.min(hostsAtATime, items.length - index));
      }
      try {
        hosts.push(this.#decode(item));
      } catch (error) {
        // One bad item must not take the other hosts of the partition out of service.
        if (!isCoxswainError(error, "STORE_CORRUPT")) throw error;
        damaged.push({ id: item.sk.slice(hostPrefix.length), error });
      }
    }
    return {
      revision,
      packs,
      ...(packs.length === 0 ? { hosts, damaged } : eachOnce(hosts, damaged)),
    };
  }

  /**
   * The heads that are no longer what the caller knows, strongly read. Without `isStrong` only those
   * are that an eventually consistent read, at half the price, finds to differ: a change may then be
   * seen one look later, and is never imagined.
   */
  async movedHeads(
    known: ReadonlyMap<number, number>,
    { isStrong }: { readonly isStrong: boolean },
  ): Promise<Map<number, number>> {
    const differing = (heads: ReadonlyMap<number, number>) =>
      new Map([...heads].filter(([partition, head]) => head !== known.get(partition)));
    if (isStrong) return differing(await this.heads(known.keys()));
    const glimpsed = differing(await this.heads(known.keys(), { isEventual: true }));
    return glimpsed.size === 0 ? glimpsed : differing(await this.heads(glimpsed.keys()));
  }

  /** The heads of partitions; 0 where nothing was ever written. */
  async heads(
    partitions: Iterable<number>,
    consistency = { isEventual: false },
  ): Promise<Map<number, number>> {
    const numbers = [...new Set(partitions)];
    const bySk = new Map(numbers.map((partition) => [keys.head(partition).pk, partition]));
    const heads = new Map(numbers.map((partition) => [partition, 0]));
    for (const some of inGroups(numbers, headsPerReadMax)) {
      for (const item of await this.#store.getMany(some.map(keys.head), consistency)) {
        const partition = bySk.get(item.pk);
        if (partition !== undefined) heads.set(partition, headOf(item));
      }
    }
    return heads;
  }

  /** `decide` gives the new data, or undefined where the host is as it should be. */
  async #change(
    id: HostId,
    decide: (seen: HostRecord | undefined) => HostInput | undefined,
  ): Promise<PutResult> {
    const partition = this.partitionOf(id);
    for (let rounds = 0; rounds < roundsMax; rounds++) {
      const found = this.#seenIn(partition, id, await this.partitions.find(partition, id));
      const { seen } = found;
      const input = decide(seen);
      if (input === undefined && seen !== undefined) {
        await this.partitions.ensureAnnounced(partition, seen.revision);
        return { record: seen, outcome: "unchanged" };
      }
      if (input === undefined) throw hostNotFound(id);
      if (seen === undefined) {
        const record = await this.#create(partition, input);
        if (record !== undefined) return { record, outcome: "created" };
        continue;
      }
      const revision = await this.partitions.next(partition);
      const record = recordOf(input, revision);
      if ((await this.partitions.write(partition, { ...found, record })) === "changed") continue;
      await this.partitions.next(partition);
      return { record, outcome: "updated" };
    }
    throw hostChanged(id);
  }

  /** Undefined where someone else creates the host, too. */
  async #create(partition: number, input: HostInput): Promise<HostRecord | undefined> {
    const { id } = input;
    const revision = await this.partitions.next(partition);
    // Read after the number: whoever creates the host later takes one in between, or sees it.
    const { items, packs } = await this.partitions.items(partition);
    if (packs.some(({ hosts }) => hosts.has(id))) return undefined;
    this.partitions.checkRoom(
      partition,
      packs.reduce((count, { hosts }) => count + hosts.size, items.length),
    );
    const record = recordOf(input, revision);
    const written = await this.partitions.write(partition, { record, seen: undefined });
    if (written === "changed") return undefined;
    const head = await this.partitions.next(partition);
    if (head === revision + 1) return record;
    const settled = await this.partitions.settleCreation(partition, record, head);
    await this.partitions.next(partition);
    return settled;
  }

  /** The record that counts, and the pack if it is in there. Throws STORE_CORRUPT. */
  #seenIn(
    partition: number,
    id: HostId,
    { item, pack }: StoredHost,
  ): Pick<HostChange, "seen" | "pack"> {
    const own = item === undefined ? undefined : this.#decode(item);
    const attributes = pack.hosts.get(id);
    const packed =
      attributes === undefined
        ? undefined
        : this.#decode({ ...keys.host(partition, id), attributes });
    return packed !== undefined && packed.revision > (own?.revision ?? 0)
      ? { seen: packed, pack }
      : { seen: own, pack: undefined };
  }

  /** Removes the host from one place; what counts less goes first, so that it never comes to count. */
  #deleteOne(
    partition: number,
    id: HostId,
    { item, pack }: StoredHost,
  ): Promise<"written" | "changed"> {
    const packedRevision = pack.hosts.get(id)?.["revision"];
    if (item === undefined) return this.partitions.deletePacked(partition, id, pack);
    const isItemFirst = Number(item.attributes["revision"]) < Number(packedRevision ?? 0);
    return packedRevision === undefined || isItemFirst
      ? this.partitions.deleteItem(item)
      : this.partitions.deletePacked(partition, id, pack);
  }
}

export function recordOf(input: HostInput, revision: number): HostRecord {
  const { id, address, labels, pins = {}, modes = defaultModes } = input;
  return { id, revision, address, modes, labels, pins };
}

/** What `input` leaves open stays as it was. */
export function mergedInput(seen: HostRecord, input: HostInput): HostInput {
  return { ...input, pins: input.pins ?? seen.pins, modes: input.modes ?? seen.modes };
}

export function hostExists(id: HostId): CoxswainError {
  return new CoxswainError("HOST_EXISTS", `Expected a new host, got ${id} with other data`, {
    details: { id },
  });
}

function hostNotFound(id: HostId): CoxswainError {
  return new CoxswainError("HOST_NOT_FOUND", `Expected a registered host, got ${id}`, {
    details: { id },
  });
}

function hostChanged(id: HostId): CoxswainError {
  return new CoxswainError(
    "HOST_CHANGED",
    `Expected host ${id} to hold still for one change in ${roundsMax} rounds, got other writers`,
    { details: { id } },
  );
}

/** Whether a host is registered, as far as a load can tell: what is damaged is not gone. */
export function presenceIn({ hosts, damaged }: LoadedPartition): (id: string) => boolean {
  const ids = new Set<string>([...hosts, ...damaged].map(({ id }) => id));
  return (id) => ids.has(id) || ids.has(packNameOf(id));
}

/** Of a host that is in both places for a moment, the record with the higher number counts. */
function eachOnce(
  hosts: readonly HostRecord[],
  damaged: readonly DamagedHost[],
): Pick<LoadedPartition, "hosts" | "damaged"> {
  const byId = new Map<string, HostRecord>();
  for (const host of hosts) {
    const other = byId.get(host.id);
    if (other === undefined || other.revision < host.revision) byId.set(host.id, host);
  }
  for (const { id } of damaged) byId.delete(id);
  const sorted = [...byId.values()].toSorted((left, right) => (left.id < right.id ? -1 : 1));
  return { hosts: sorted, damaged: [...new Map(damaged.map((each) => [each.id, each])).values()] };
}
