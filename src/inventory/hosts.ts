/**
 * Hosts in the store: one item each, in the partition that their id hashes to.
 *
 * How a change is written so that its owner finds it is told in partition-store.ts; here is what is
 * written and when. A host that is as asked is not written; but where a writer died before it moved
 * the head, the repetition of its call finds the host unchanged with the head not above it, and moves
 * the head then.
 */
import { CoxswainError, isCoxswainError } from "../kernel/errors.ts";
import { limits } from "../protocol/limits.ts";
import { keys, type Condition, type Item, type Store } from "../store/store.ts";
import { inGroups } from "./bounded.ts";
import { createHostDecoder, hostPrefix, isSameHost } from "./host-codec.ts";
import { defaultModes, type HostId, type HostInput, type HostRecord } from "./host.ts";
import { headOf, PartitionStore } from "./partition-store.ts";
import type { TurnShare } from "./turn-share.ts";

/** Rounds of read, decide and write before HOST_CHANGED. */
const roundsMax = 5;
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
  /** Hosts whose item is STORE_CORRUPT: registered, not removed. Keep what is known of them. */
  readonly damaged: readonly DamagedHost[];
}

export interface DamagedHost {
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
    const item = await this.#store.get(keys.host(this.partitionOf(id), id));
    return item === undefined ? undefined : this.#decode(item);
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
    const key = keys.host(partition, id);
    let item = await this.#store.get(key);
    if (item === undefined) {
      // An earlier call may have died between the deletion and the head.
      if ((await this.#store.get(keys.head(partition))) !== undefined)
        await this.partitions.next(partition);
      throw hostNotFound(id);
    }
    for (let rounds = 0; item !== undefined; rounds++) {
      if (rounds === roundsMax) throw hostChanged(id);
      const outcome = await this.#store.delete(key, asSeen(item));
      if (outcome.kind === "written") break;
      item = await this.#store.get(key);
    }
    await this.partitions.next(partition);
  }

  /**
   * A partition whole, or an error: an empty answer means that the store says it is empty. Pass `head`
   * where it has just been read; a partition whose head is 0 never had a host and is not read. With
   * `turns`, each host is taken from their amount before it is decoded.
   */
  async load(partition: number, head?: number, turns?: TurnShare): Promise<LoadedPartition> {
    const revision = head ?? (await this.partitions.head(partition));
    if (revision === 0) return { revision, hosts: [], damaged: [] };
    const hosts: HostRecord[] = [];
    const damaged: DamagedHost[] = [];
    const items = await this.partitions.items(partition);
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
    return { revision, hosts, damaged };
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
      const seen = await this.get(id);
      const input = decide(seen);
      if (input === undefined && seen !== undefined) {
        await this.partitions.ensureAnnounced(partition, seen.revision);
        return { record: seen, outcome: "unchanged" };
      }
      if (input === undefined) throw hostNotFound(id);
      if (seen === undefined)
        this.partitions.checkRoom(partition, (await this.partitions.items(partition)).length);
      const revision = await this.partitions.next(partition);
      const change = { record: recordOf(input, revision), seen };
      if ((await this.partitions.write(partition, change)) === "changed") continue;
      const [record = change.record] = await this.partitions.announce(partition, revision, [
        change,
      ]);
      return { record, outcome: seen === undefined ? "created" : "updated" };
    }
    throw hostChanged(id);
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

/** The condition that the item has not changed; damaged items can be deleted too. */
function asSeen(item: Item): readonly Condition[] {
  const { revision } = item.attributes;
  if (typeof revision !== "number" && typeof revision !== "string") return [];
  return [{ kind: "equal", attribute: "revision", value: revision }];
}
