/**
 * Hosts read from the store instead of from their owner: for the moments in which a partition has no
 * owner that answers. Records are current, statuses are the last checkpoint.
 *
 * Readings are kept for a short time and shared by concurrent askers, so that people who watch a
 * takeover do not add load to it.
 */
import { readCheckpoint } from "../inventory/checkpoints.ts";
import type { HostStore } from "../inventory/hosts.ts";
import type { Clock } from "../kernel/clock.ts";
import { isCoxswainError } from "../kernel/errors.ts";
import { restoreStatus } from "../push/host-checkpoint.ts";
import { newStatus } from "../push/host-status.ts";
import type { Store } from "../store/store.ts";
import { forEachBounded } from "../inventory/bounded.ts";
import { parseHostCheckpoint } from "./checkpointer.ts";
import type { KnownHost } from "./host-views.ts";
import type { Slice } from "./slice.ts";

const freshForMs = 2_000;
const readsAtOnce = 16;

interface Reading {
  readonly atMs: number;
  readonly hosts: Promise<readonly KnownHost[]>;
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

  /** The hosts of each partition that could be read; the others are left out. */
  async read(partitions: readonly number[]): Promise<Map<number, readonly KnownHost[]>> {
    const atMs = this.#clock.monotonicMs();
    for (const [partition, reading] of this.#readings) {
      if (atMs - reading.atMs >= freshForMs) this.#readings.delete(partition);
    }
    const found = new Map<number, readonly KnownHost[]>();
    await forEachBounded(partitions, readsAtOnce, async (partition) => {
      const reading = this.#readings.get(partition) ?? { atMs, hosts: this.#load(partition) };
      this.#readings.set(partition, reading);
      try {
        found.set(partition, await reading.hosts);
      } catch (error) {
        // The caller sees which partitions are not in the answer and says so.
        this.#readings.delete(partition);
        if (!isCoxswainError(error)) throw error;
      }
    });
    return found;
  }

  async #load(partition: number): Promise<readonly KnownHost[]> {
    const [{ hosts }, checkpoint] = await Promise.all([
      this.#hosts.load(partition),
      readCheckpoint(this.#store, partition, parseHostCheckpoint),
    ]);
    const entries = checkpoint.kind === "found" ? checkpoint.entries : [];
    const byId = new Map(entries.map((entry) => [entry.id, entry]));
    const moment = { atMs: this.#clock.monotonicMs(), wallMs: this.#clock.wallMs() };
    return hosts.map((record) => {
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
  }
}
