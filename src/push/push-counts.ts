/** Counts over all targets, kept up to date with every change, so that asking costs nothing. */
import type { Reachability } from "./host-status.ts";
import type { SyncClass } from "./sync-class.ts";

export interface PushCounts {
  readonly total: number;
  readonly sync: Readonly<Record<SyncClass, number>>;
  readonly reachability: Readonly<Record<Reachability, number>>;
}

export class Tally {
  #total = 0;
  readonly #sync: Record<SyncClass, number> = {
    neverSeen: 0,
    unreachable: 0,
    rejected: 0,
    applied: 0,
    pending: 0,
  };
  readonly #reachability: Record<Reachability, number> = {
    unknown: 0,
    ok: 0,
    suspect: 0,
    unreachable: 0,
    lost: 0,
  };

  add(sync: SyncClass, reachability: Reachability): void {
    this.#change(sync, reachability, 1);
  }

  remove(sync: SyncClass, reachability: Reachability): void {
    this.#change(sync, reachability, -1);
  }

  counts(): PushCounts {
    return {
      total: this.#total,
      sync: { ...this.#sync },
      reachability: { ...this.#reachability },
    };
  }

  #change(sync: SyncClass, reachability: Reachability, by: 1 | -1): void {
    this.#total += by;
    this.#sync[sync] += by;
    this.#reachability[reachability] += by;
  }
}

/** Hosts that do not hold what they should. */
export function outOfSyncCount(counts: PushCounts): number {
  return counts.total - counts.sync.applied;
}
