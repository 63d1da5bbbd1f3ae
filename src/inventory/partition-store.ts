/**
 * The items of one partition: numbers from its head, hosts bound to what was seen, and the head moved
 * after them.
 *
 * The head counts changes. A writer takes a number from it, writes the host with that number as its
 * revision, then moves the head once more. A reader takes the head BEFORE the hosts, so that whatever
 * it missed shows later as a higher head. Hosts written together may share one number: a revision only
 * has to grow from one record of a host to the next.
 *
 * Every write is bound to the revision that was read (or to absence), so that it can be repeated after
 * a lost answer, and a late one cannot undo what came after. The one write that could go back is a
 * creation that slept while the same id was created and deleted: a head that moved in between gives it
 * away, and the record then takes the newer number.
 *
 * A host has an item of its own or is in a pack. Two that create it at once, one in each place, cannot
 * see each other in what they write, but one of them at least finds the head moved, looks once more, and
 * takes its own back. Until then, and where it died before, the higher number is the host.
 */
import { CoxswainError, isCoxswainError } from "../kernel/errors.ts";
import { limits } from "../protocol/limits.ts";
import { keys, type Item, type Store } from "../store/store.ts";
import { unknownOutcome, writeTriesMax, writeUntilAnswered } from "./answered-write.ts";
import { encodeHost, hostPrefix } from "./host-codec.ts";
import {
  decodePack,
  emptyPack,
  encodePack,
  isPack,
  packIndexOf,
  withHosts,
  withoutHosts,
  type HostPack,
} from "./host-pack.ts";
import type { HostRecord } from "./host.ts";

const pageItemsMax = 500;
/** Looks at a pack that others write, too. */
const settleTriesMax = 10;
/** Begins the keys of hosts' items and of packs, and of nothing else. */
const storedPrefix = "host";

/** Where a host may be, as read. */
export interface StoredHost {
  /** Its own item. */
  readonly item: Item | undefined;
  /** The pack of its id, with it or without. */
  readonly pack: HostPack;
}

/** What a writer sees of a host before it decides. */
export interface HostChange {
  readonly record: HostRecord;
  readonly seen: HostRecord | undefined;
  /** The pack in which it was seen. */
  readonly pack?: HostPack | undefined;
}

export interface PartitionItems {
  /** Of hosts that have one of their own. */
  readonly items: readonly Item[];
  /** Those that exist. */
  readonly packs: readonly HostPack[];
  /** Packs that cannot be read: whoever may be in there is registered. */
  readonly damaged: readonly DamagedPack[];
}

interface DamagedPack {
  readonly name: string;
  /** STORE_CORRUPT. */
  readonly error: CoxswainError;
}

/** Reads and writes the items of partitions. All methods throw the store's errors. */
export class PartitionStore {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /** The head's number; 0 where nothing was ever written. */
  async head(partition: number): Promise<number> {
    const item = await this.#store.get(keys.head(partition));
    return item === undefined ? 0 : headOf(item);
  }

  /** The items of all hosts of a partition, or an error. Throws PARTITION_FULL far over the limit. */
  async items(partition: number): Promise<PartitionItems> {
    const { pk } = keys.head(partition);
    const items: Item[] = [];
    const packs: HostPack[] = [];
    const damaged: DamagedPack[] = [];
    let after: string | undefined;
    // Twice the limit: writers that race may pass it by a few, and those hosts must not be lost.
    while (items.length <= 2 * limits.hostsPerPartitionMax) {
      const page = await this.#store.query(pk, {
        prefix: storedPrefix,
        limit: pageItemsMax,
        ...(after === undefined ? {} : { after }),
      });
      for (const item of page.items) {
        if (!isPack(item)) items.push(item);
        else takePack(item, packs, damaged);
      }
      if (page.next === undefined) return { items, packs, damaged };
      after = page.next;
    }
    throw new CoxswainError(
      "PARTITION_FULL",
      `Expected at most ${limits.hostsPerPartitionMax} hosts in partition ${partition}, got over ${items.length}`,
      { details: { partition } },
    );
  }

  /** Looks in both places where a host may be, with one call. */
  async find(partition: number, id: string): Promise<StoredHost> {
    const index = packIndexOf(id);
    const found = await this.#store.getMany([
      keys.host(partition, id),
      keys.pack(partition, index),
    ]);
    const pack = found.find(isPack);
    return {
      item: found.find((item) => !isPack(item)),
      pack: pack === undefined ? emptyPack(index) : decodePack(pack),
    };
  }

  /**
   * Writes a record back IF the table has none of its id or an older one. Throws
   * STORE_UNKNOWN_OUTCOME.
   */
  async restore(partition: number, record: HostRecord): Promise<void> {
    await writeUntilAnswered(`host ${record.id}`, () =>
      this.#store.put({ ...keys.host(partition, record.id), attributes: encodeHost(record) }, [
        { kind: "below", attribute: "revision", value: record.revision },
      ]),
    );
  }

  /** Moves the head to `revision` at least. Throws STORE_UNKNOWN_OUTCOME. */
  async restoreHead(partition: number, revision: number): Promise<void> {
    await writeUntilAnswered(`the head of partition ${partition}`, () =>
      this.#store.update(keys.head(partition), { set: { revision } }, [
        { kind: "below", attribute: "revision", value: revision },
      ]),
    );
  }

  /** Takes the partition's next number, which also moves its head. */
  async next(partition: number): Promise<number> {
    let cause: unknown;
    for (let tries = 0; tries < writeTriesMax; tries++) {
      try {
        return await this.#store.increment(keys.head(partition), "revision", 1);
      } catch (error) {
        // A lost answer costs a number, nothing else.
        if (!isCoxswainError(error, "STORE_UNKNOWN_OUTCOME")) throw error;
        cause = error;
      }
    }
    throw unknownOutcome(`the head of partition ${partition}`, cause);
  }

  /**
   * Writes one record under the condition that the host is as `seen`. `changed`: someone else was
   * first, or wrote the same pack. Throws STORE_UNKNOWN_OUTCOME where three tries got no answer.
   */
  write(partition: number, { record, seen, pack }: HostChange): Promise<"written" | "changed"> {
    if (pack !== undefined) {
      return this.writePack(partition, pack, withHosts(pack, [record], record.revision));
    }
    const item = { ...keys.host(partition, record.id), attributes: encodeHost(record) };
    return this.#write(
      item,
      seen?.revision,
      ({ attributes }) => attributes["revision"] === record.revision,
    );
  }

  /** Writes `next` under the condition that the pack is as `seen`; otherwise like `write`. */
  writePack(partition: number, seen: HostPack, next: HostPack): Promise<"written" | "changed"> {
    const item = { ...keys.pack(partition, seen.index), attributes: encodePack(next) };
    const before = seen.revision === 0 ? undefined : seen.revision;
    // Others may have written the pack since, and left what this writer put in.
    return this.#write(item, before, (stored) => {
      const { revision, hosts } = decodePack(stored);
      return [revision, ...hosts.values().map((host) => host["revision"])].includes(next.revision);
    });
  }

  /** Deletes a host's own item under the condition that it is as it was read. */
  async deleteItem(item: Item): Promise<"written" | "changed"> {
    const { revision } = item.attributes;
    // Damaged items can be deleted too.
    const isKnown = typeof revision === "number" || typeof revision === "string";
    const { kind } = await this.#store.delete(
      item,
      isKnown ? [{ kind: "equal", attribute: "revision", value: revision }] : [],
    );
    return kind === "written" ? "written" : "changed";
  }

  /** Takes a host out of its pack, as it was read, with a number of its own. */
  async deletePacked(
    partition: number,
    id: string,
    pack: HostPack,
  ): Promise<"written" | "changed"> {
    const revision = await this.next(partition);
    return this.writePack(partition, pack, withoutHosts(pack, [id], revision));
  }

  /**
   * Settles a creation during which others changed the partition. The record gets the number `revision`, above
   * all that its id may have had before. Undefined where an import put the host into a pack meanwhile: then
   * that is the host, and this record is taken back.
   */
  async settleCreation(
    partition: number,
    record: HostRecord,
    revision: number,
  ): Promise<HostRecord | undefined> {
    const key = keys.host(partition, record.id);
    const { pack } = await this.find(partition, record.id);
    const packed = pack.hosts.get(record.id);
    const asWritten = [{ kind: "equal", attribute: "revision", value: record.revision }] as const;
    if (packed !== undefined) {
      const outcome = await writeUntilAnswered(`host ${record.id}`, () =>
        this.#store.delete(key, asWritten),
      );
      if (outcome === "written" || (await this.#store.get(key)) === undefined) return undefined;
      // Someone has built on it, and the import may know nothing: the item stays, in the pack's place.
      await this.settlePacked(partition, pack.index, new Map([[record.id, packed]]), revision);
      return record;
    }
    for (let tries = 0; tries < writeTriesMax; tries++) {
      const outcome = await this.#store.update(key, { set: { revision } }, asWritten);
      if (outcome.kind === "written") return { ...record, revision };
      const now = (await this.#store.get(key))?.attributes["revision"];
      if (now === revision) return { ...record, revision };
      // Someone changed or removed the host since: then theirs is the newer number.
      if (now !== record.revision) return record;
    }
    throw unknownOutcome(`the revision of host ${record.id}`, undefined);
  }

  /**
   * The same for new hosts of one pack, by id, as they were written. Those that have an item of their own
   * meanwhile are taken out of the pack, and the item gets the number; returns their ids. Throws
   * STORE_CONTENDED where others write the pack all the time.
   */
  async settlePacked(
    partition: number,
    index: number,
    created: HostPack["hosts"],
    revision: number,
  ): Promise<ReadonlySet<string>> {
    for (let tries = 0; tries < settleTriesMax; tries++) {
      const { items, packs } = await this.items(partition);
      const pack = packs.find((each) => each.index === index) ?? emptyPack(index);
      const itemsById = new Map(items.map((item) => [item.sk.slice(hostPrefix.length), item]));
      const twins = new Set<string>();
      const hosts = new Map(pack.hosts);
      for (const [id, written] of created) {
        const packed = pack.hosts.get(id);
        // What others have changed since is theirs, and has a newer number.
        if (packed?.["revision"] !== written["revision"]) continue;
        hosts.set(id, { ...packed, revision });
        const item = itemsById.get(id);
        if (item === undefined) continue;
        // Before it counts: what is in the pack may have been pushed.
        await this.#raise(item, revision);
        hosts.delete(id);
        twins.add(id);
      }
      const next = { ...pack, revision, hosts };
      if ((await this.writePack(partition, pack, next)) === "written") return twins;
    }
    throw new CoxswainError(
      "STORE_CONTENDED",
      `Expected pack ${index} of partition ${partition} to hold still for one write in ${settleTriesMax}, got other writers`,
      { details: { partition, index } },
    );
  }

  /** Finishes what a writer that died may have left: a head that is not above a host's revision. */
  async ensureAnnounced(partition: number, revision: number): Promise<void> {
    if ((await this.head(partition)) <= revision) await this.next(partition);
  }

  /** Throws PARTITION_FULL where `count` hosts leave no room for one more. */
  checkRoom(partition: number, count: number): void {
    if (count < limits.hostsPerPartitionMax) return;
    throw new CoxswainError(
      "PARTITION_FULL",
      `Expected at most ${limits.hostsPerPartitionMax} hosts in partition ${partition}, got one more`,
      { details: { partition, hosts: count, hostsMax: limits.hostsPerPartitionMax } },
    );
  }

  /** Gives an item a number that is above its own, unless someone else has changed it. */
  async #raise(item: Item, revision: number): Promise<void> {
    const before = item.attributes["revision"];
    if (typeof before !== "number" || before >= revision) return;
    await writeUntilAnswered(`${item.pk}/${item.sk}`, () =>
      this.#store.update(item, { set: { revision } }, [
        { kind: "equal", attribute: "revision", value: before },
      ]),
    );
  }

  /** `isOwn` tells what this writer, whose number is its alone, has written. */
  async #write(
    item: Item,
    seenRevision: number | undefined,
    isOwn: (stored: Item) => boolean,
  ): Promise<"written" | "changed"> {
    const condition =
      seenRevision === undefined
        ? ({ kind: "absent" } as const)
        : ({ kind: "equal", attribute: "revision", value: seenRevision } as const);
    let cause: unknown;
    for (let tries = 0; tries < writeTriesMax; tries++) {
      const outcome = await this.#store.put(item, [condition]);
      if (outcome.kind === "written") return "written";
      // Asked after a refusal too, because the store's client repeats writes whose answer it lost.
      const stored = await this.#store.get(item);
      if (stored !== undefined && isOwn(stored)) return "written";
      if (outcome.kind === "refused" || stored?.attributes["revision"] !== seenRevision) {
        return "changed";
      }
      cause = outcome.cause;
    }
    throw unknownOutcome(`${item.pk}/${item.sk}`, cause);
  }
}

/** One bad pack must not take the other hosts of the partition out of service. */
function takePack(item: Item, packs: HostPack[], damaged: DamagedPack[]): void {
  try {
    packs.push(decodePack(item));
  } catch (error) {
    if (!isCoxswainError(error, "STORE_CORRUPT")) throw error;
    damaged.push({ name: item.sk, error });
  }
}

/** Throws STORE_CORRUPT. */
export function headOf(item: Item): number {
  const { revision } = item.attributes;
  if (typeof revision === "number" && Number.isSafeInteger(revision)) return revision;
  throw new CoxswainError("STORE_CORRUPT", `Expected ${item.pk}/${item.sk} to count changes`, {
    details: { pk: item.pk, sk: item.sk },
  });
}
