/**
 * The writes of one partition: numbers from its head, hosts bound to what was seen, and the head moved
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
 */
import { CoxswainError, isCoxswainError } from "../kernel/errors.ts";
import { limits } from "../protocol/limits.ts";
import { keys, type Condition, type InsertOutcome, type Item, type Store } from "../store/store.ts";
import { unknownOutcome, writeTriesMax, writeUntilAnswered } from "./answered-write.ts";
import { encodeHost, hostPrefix } from "./host-codec.ts";
import type { HostRecord } from "./host.ts";

const pageHostsMax = 500;

/** What a writer sees of a partition before it decides. */
export interface HostChange {
  readonly record: HostRecord;
  readonly seen: HostRecord | undefined;
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

  /** The host items of a partition, whole or an error. Throws PARTITION_FULL far over the limit. */
  async items(partition: number): Promise<Item[]> {
    const { pk } = keys.head(partition);
    const items: Item[] = [];
    let after: string | undefined;
    // Twice the limit: writers that race may pass it by a few, and those hosts must not be lost.
    while (items.length <= 2 * limits.hostsPerPartitionMax) {
      const page = await this.#store.query(pk, {
        prefix: hostPrefix,
        limit: pageHostsMax,
        ...(after === undefined ? {} : { after }),
      });
      items.push(...page.items);
      if (page.next === undefined) return items;
      after = page.next;
    }
    throw new CoxswainError(
      "PARTITION_FULL",
      `Expected at most ${limits.hostsPerPartitionMax} hosts in partition ${partition}, got over ${items.length}`,
      { details: { partition } },
    );
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

  /** Writes `record` with the number `revision` IF the table's still has the one of `record`. */
  async renumber(partition: number, record: HostRecord, revision: number): Promise<void> {
    const key = keys.host(partition, record.id);
    await writeUntilAnswered(`host ${record.id}`, () =>
      this.#store.put({ ...key, attributes: encodeHost({ ...record, revision }) }, [
        { kind: "equal", attribute: "revision", value: record.revision },
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
   * first. Throws STORE_UNKNOWN_OUTCOME where three tries got no answer.
   */
  async write(partition: number, { record, seen }: HostChange): Promise<"written" | "changed"> {
    const key = keys.host(partition, record.id);
    const item = { ...key, attributes: encodeHost(record) };
    let cause: unknown;
    for (let tries = 0; tries < writeTriesMax; tries++) {
      const outcome = await this.#store.put(item, unchangedSince(seen));
      if (outcome.kind === "written") return "written";
      // The number is this writer's alone: where it stands in the item, the write has landed. Asked
      // after a refusal too, because the store's client repeats writes whose answer it lost.
      const revision = (await this.#store.get(key))?.attributes["revision"];
      if (revision === record.revision) return "written";
      if (outcome.kind === "refused" || revision !== seen?.revision) return "changed";
      cause = outcome.cause;
    }
    throw unknownOutcome(`host ${record.id}`, cause);
  }

  /**
   * Writes new records of any partitions in one request, each IF there is none of its id. `write`
   * tells what became of those that are refused or unknown. Throws where none was written.
   */
  insert(
    created: readonly { readonly partition: number; readonly record: HostRecord }[],
  ): Promise<InsertOutcome[]> {
    return this.#store.insertMany(
      created.map(({ partition, record }) => ({
        ...keys.host(partition, record.id),
        attributes: encodeHost(record),
      })),
    );
  }

  /**
   * Moves the head after writes that all carry `revision`, and returns the records as they now stand.
   */
  async announce(
    partition: number,
    revision: number,
    written: readonly HostChange[],
  ): Promise<HostRecord[]> {
    const head = await this.next(partition);
    const records = written.map(({ record }) => record);
    const hasCreations = written.some(({ seen }) => seen === undefined);
    if (head === revision + 1 || !hasCreations) return records;
    const raised: HostRecord[] = [];
    for (const change of written) raised.push(await this.#raise(partition, change, head));
    await this.next(partition);
    return raised;
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

  /** Gives a created record a number above all that its id may have had before. */
  async #raise(
    partition: number,
    { record, seen }: HostChange,
    revision: number,
  ): Promise<HostRecord> {
    if (seen !== undefined) return record;
    const key = keys.host(partition, record.id);
    for (let tries = 0; tries < writeTriesMax; tries++) {
      const outcome = await this.#store.update(key, { set: { revision } }, [
        { kind: "equal", attribute: "revision", value: record.revision },
      ]);
      if (outcome.kind === "written") return { ...record, revision };
      const now = (await this.#store.get(key))?.attributes["revision"];
      if (now === revision) return { ...record, revision };
      // Someone changed or removed the host since: then theirs is the newer number.
      if (now !== record.revision) return record;
    }
    throw unknownOutcome(`the revision of host ${record.id}`, undefined);
  }
}

function unchangedSince(seen: HostRecord | undefined): readonly Condition[] {
  return seen === undefined
    ? [{ kind: "absent" }]
    : [{ kind: "equal", attribute: "revision", value: seen.revision }];
}

/** Throws STORE_CORRUPT. */
export function headOf(item: Item): number {
  const { revision } = item.attributes;
  if (typeof revision === "number" && Number.isSafeInteger(revision)) return revision;
  throw new CoxswainError("STORE_CORRUPT", `Expected ${item.pk}/${item.sk} to count changes`, {
    details: { pk: item.pk, sk: item.sk },
  });
}
