/** Counts over all targets, kept up to date with every change, so that asking costs nothing. */
import type { Reachability } from "./host-status.ts";
import type { SyncClass } from "./sync-class.ts";

export interface PushCounts {
  readonly total: number;
  readonly sync: Readonly<Record<SyncClass, number>>;
  readonly reachability: Readonly<Record<Reachability, number>>;
  /** Pushes that ended since the start and show this node at work (own-progress.ts). */
  readonly finished: number;
  /** Hosts that are ready for a push or have one under way; all of them where nobody answers any more. */
  readonly queued: number;
}

export class Tally {
  #total = 0;
  #finished = 0;
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

  /** A push ended in a way that shows this node at work. */
  finish(): void {
    this.#finished += 1;
  }

  /** `isStuck`: no host answers, so those that back off wait for this node too. */
  counts(queued: number, isStuck: boolean): PushCounts {
    return {
      total: this.#total,
      sync: { ...this.#sync },
      reachability: { ...this.#reachability },
      finished: this.#finished,
      queued: isStuck ? this.#total : queued,
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
