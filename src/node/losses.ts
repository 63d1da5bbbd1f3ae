/**
 * What a node has seen its table lose, by partition: counters that went back, and loads in which a
 * host's record is older than the one known here, another one under the same number, or new with a
 * number that had been given before.
 *
 * Hosts that a load lacks were removed, unless the table itself is the one that lost them. Two things
 * tell: the counter is below the one that was just loaded, or the view, read after the load, is not the
 * current one. Partitions that are being written back lose no host at all.
 */
import { isSameHost } from "../inventory/host-codec.ts";
import type { HostId, HostRecord } from "../inventory/host.ts";
import type { DamagedHost, LoadedPartition } from "../inventory/hosts.ts";
import { isNewerView, type View } from "../ring/view.ts";

/** A partition as it is known here. */
export interface KnownPartition {
  /** The counter at the last load. */
  readonly revision: number;
  readonly hosts: ReadonlyMap<HostId, HostRecord>;
}

export class Losses {
  readonly #doubted = new Set<number>();
  readonly #held = new Set<number>();
  /** By partition, hosts that were not known and came with a number of before, and that number. */
  readonly #reappeared = new Map<number, Map<HostId, number>>();
  readonly #damaged = new Map<number, readonly DamagedHost[]>();
  #counters: ReadonlySet<number> = new Set();

  /** Partitions to be looked at and written back, ascending. */
  get seen(): readonly number[] {
    return [...new Set([...this.#counters, ...this.#doubted])].toSorted(
      (left, right) => left - right,
    );
  }

  /** The partitions whose counter was below the loaded one at the last look. */
  countersWentBack(partitions: readonly number[]): void {
    this.#counters = new Set(partitions);
  }

  /** A whole load of a served partition; `revision` is its counter at the load before. */
  loaded(partition: number, known: KnownPartition, { hosts, damaged }: LoadedPartition): void {
    if (damaged.length === 0) this.#damaged.delete(partition);
    else this.#damaged.set(partition, damaged);
    for (const record of hosts) {
      const before = known.hosts.get(record.id);
      if (before === undefined && record.revision <= known.revision) {
        const found = this.#reappeared.get(partition) ?? new Map<HostId, number>();
        this.#reappeared.set(partition, found.set(record.id, record.revision));
        this.#doubted.add(partition);
      }
      const isOdd = before !== undefined && (isOlder(record, before) || isFork(record, before));
      if (isOdd) this.#doubted.add(partition);
    }
  }

  /** True where the counter itself was seen to be lost: then what is missing is missing. */
  isCounterLost(partition: number): boolean {
    return this.#counters.has(partition);
  }

  reappeared(partition: number): ReadonlyMap<HostId, number> {
    return this.#reappeared.get(partition) ?? new Map<HostId, number>();
  }

  /** Hosts whose item could not be read at the last load of their partition. */
  damagedIn(partition: number): readonly DamagedHost[] {
    return this.#damaged.get(partition) ?? [];
  }

  /** Over all partitions. */
  damagedCount(): number {
    return [...this.#damaged.values()].reduce((sum, { length }) => sum + length, 0);
  }

  /** The partition is another node's now. */
  dropped(partition: number): void {
    this.#doubted.delete(partition);
    this.#reappeared.delete(partition);
    this.#damaged.delete(partition);
  }

  isHeld(partition: number): boolean {
    return this.#held.has(partition);
  }

  /** Runs `work`, which writes the partition back; until it has ended, no load removes hosts of it. */
  async hold(partition: number, work: () => Promise<void>): Promise<void> {
    this.#held.add(partition);
    try {
      await work();
      this.#doubted.delete(partition);
      this.#reappeared.delete(partition);
    } finally {
      this.#held.delete(partition);
    }
  }
}

/** The table's record is from before the one that is known. */
export function isOlder(stored: HostRecord, known: HostRecord): boolean {
  return stored.revision < known.revision;
}

/** One number, two records: the table was rolled back and written to by who did not know. */
export function isFork(stored: HostRecord, known: HostRecord): boolean {
  return stored.revision === known.revision && !isSameHost(stored, known);
}

/** True where a load that lacks hosts may be believed: `stored` is the view as it is after the load. */
export function isTableCurrent(stored: View | undefined, view: View): boolean {
  return (
    stored !== undefined && stored.generation === view.generation && !isNewerView(view, stored)
  );
}
