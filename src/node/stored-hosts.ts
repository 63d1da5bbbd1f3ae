/**
 * Hosts read from the store instead of from their owner: for the moments in which a partition has no
 * owner that answers. Records are current, statuses are the last checkpoint.
 *
 * Readings are kept for a short time and shared by concurrent askers, so that people who watch a
 * takeover do not add load to it. Counters come first, a hundred with one read: partitions that never
 * had a host need no other. What has not been read within the time allowed is left out.
 */
import { readCheckpoint } from "../inventory/checkpoints.ts";
import type { DamagedHost, HostStore } from "../inventory/hosts.ts";
import type { Clock } from "../kernel/clock.ts";
import { isCoxswainError } from "../kernel/errors.ts";
import { withDeadline } from "../membership/bounded-store.ts";
import { restoreStatus } from "../push/host-checkpoint.ts";
import { newStatus } from "../push/host-status.ts";
import type { Store } from "../store/store.ts";
import { forEachBounded } from "../inventory/bounded.ts";
import { parseHostCheckpoint } from "./checkpointer.ts";
import type { KnownHost } from "./host-views.ts";
import type { Slice } from "./slice.ts";

const freshForMs = 2_000;
const readsAtOnce = 16;

export interface StoredPartition {
  readonly hosts: readonly KnownHost[];
  readonly damaged: readonly DamagedHost[];
}

interface Reading {
  readonly atMs: number;
  readonly partition: Promise<StoredPartition>;
}

export class StoredHosts {
  readonly #store: Store;
  readonly #hosts: HostStore;
  readonly #slice: Slice;
  readonly #clock: Clock;
  readonly #readings = new Map<number, Reading>();

  constructor(ports: { store: Store; hosts: HostStore; slice: Slice; clock: Clock }) {
    this.#store = ports.store;
    this.#hosts = ports.hosts;
    this.#slice = ports.slice;
    this.#clock = ports.clock;
  }

  /** The hosts of each partition that could be read within `waitMs`; the others are left out. */
  async read(partitions: readonly number[], waitMs: number): Promise<Map<number, StoredPartition>> {
    const atMs = this.#clock.monotonicMs();
    for (const [partition, reading] of this.#readings) {
      if (atMs - reading.atMs >= freshForMs) this.#readings.delete(partition);
    }
    const found = new Map<number, StoredPartition>();
    const left = [...partitions];
    const readAll = () => this.#readAll(left, found);
    await withDeadline(readAll, this.#clock, waitMs, undefined, () => left.splice(0));
    return new Map(found);
  }

  /** Stops early where `partitions` is emptied. */
  async #readAll(
    partitions: readonly number[],
    found: Map<number, StoredPartition>,
  ): Promise<void> {
    const atMs = this.#clock.monotonicMs();
    const heads = await this.#headsOf(partitions.filter((number) => !this.#readings.has(number)));
    await forEachBounded(partitions, readsAtOnce, async (partition) => {
      const known = this.#readings.get(partition);
      if (known === undefined && heads === undefined) return;
      const reading = known ?? { atMs, partition: this.#load(partition, heads?.get(partition)) };
      this.#readings.set(partition, reading);
      try {
        found.set(partition, await reading.partition);
      } catch (error) {
        // The caller sees which partitions are not in the answer and says so.
        this.#readings.delete(partition);
        if (!isCoxswainError(error)) throw error;
      }
    });
  }

  /** Undefined where the store does not answer. */
  async #headsOf(partitions: readonly number[]): Promise<Map<number, number> | undefined> {
    try {
      return await this.#hosts.heads(partitions);
    } catch (error) {
      if (!isCoxswainError(error)) throw error;
      return undefined;
    }
  }

  async #load(partition: number, head: number | undefined): Promise<StoredPartition> {
    if (head === 0) return { hosts: [], damaged: [] };
    const [{ hosts, damaged }, checkpoint] = await Promise.all([
      this.#hosts.load(partition, head),
      readCheckpoint(this.#store, partition, parseHostCheckpoint),
    ]);
    const entries = checkpoint.kind === "found" ? checkpoint.entries : [];
    const byId = new Map(entries.map((entry) => [entry.id, entry]));
    const moment = { atMs: this.#clock.monotonicMs(), wallMs: this.#clock.wallMs() };
    const known = hosts.map((record) => {
      const desired = this.#slice.desiredOf(record);
      const entry = byId.get(record.id);
      return {
        record,
        partition,
        fence: this.#slice.fenceOf(record),
        desired,
        status: entry === undefined ? newStatus() : restoreStatus(entry, desired, moment, 0),
      };
    });
    return { hosts: known, damaged };
  }
}
