/**
 * Checkpoints: the acknowledged state of each served partition, written a while after it changed.
 *
 * They let a new owner push only where something differs. They are hints, not truth: losing one costs
 * pushes that answer `unchanged`. So writing is debounced per partition, bounded in concurrency, lets
 * a rollout go first for up to another interval, and a failure only means trying again later.
 */
import { z } from "zod";
import { forEachBounded } from "../inventory/bounded.ts";
import { readCheckpoints, writeCheckpoint } from "../inventory/checkpoints.ts";
import type { Clock } from "../kernel/clock.ts";
import { isCoxswainError, messageOf } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";
import { digestPattern } from "../protocol/limits.ts";
import { configResults } from "../protocol/sync.ts";
import type { HostCheckpoint } from "../push/host-checkpoint.ts";
import { reachabilities } from "../push/host-status.ts";
import { outcomePolicies } from "../push/outcome.ts";
import type { Pusher } from "../push/pusher.ts";
import type { Store } from "../store/store.ts";
import type { Slice } from "./slice.ts";
import type { Checkpoints, KnownHosts } from "./slice-ports.ts";

const writesAtOnce = 8;
/** So many pushes waiting or under way are a rollout; fewer are sweeps and single changes. */
const rolloutPushesMin = 64;

/** People's time; beyond this range `Date` has no text for it. */
const wallMs = z.number().min(-8.64e15).max(8.64e15);
const digest = z.string().regex(digestPattern);
const kind = z.enum(Object.keys(outcomePolicies));
const problemSchema = z.object({
  name: z.string(),
  digest: digest.optional(),
  result: z.enum(configResults),
  message: z.string().optional(),
});
/** Known fields only: what else an entry may hold is neither kept nor written again. */
const checkpointSchema = z.object({
  id: z.string(),
  manifest: digest.optional(),
  fence: z.string().optional(),
  reachability: z.enum(reachabilities),
  failures: z.int(),
  lastContactAt: wallMs.optional(),
  error: z.object({ class: kind, message: z.string(), wallMs }).optional(),
  parked: z
    .object({
      manifest: z.string(),
      class: kind,
      message: z.string(),
      boot: z.string().optional(),
      agent: z.string().optional(),
    })
    .optional(),
  isQuarantined: z.literal(true).optional(),
  problems: z.array(problemSchema).optional(),
});

export interface CheckpointerPorts {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
  readonly slice: () => Slice;
  readonly pusher: () => Pusher;
}

export class Checkpointer implements Checkpoints {
  readonly #ports: CheckpointerPorts;
  readonly #intervalMs: number;
  /** Partition -> monotonic time at which it may be written. */
  readonly #dueMs = new Map<number, number>();

  constructor(ports: CheckpointerPorts, intervalMs: number) {
    this.#ports = ports;
    this.#intervalMs = intervalMs;
  }

  /** Something worth keeping changed; the first change starts the wait, later ones join it. */
  markChanged(partition: number): void {
    if (this.#dueMs.has(partition)) return;
    this.#dueMs.set(partition, this.#ports.clock.monotonicMs() + this.#intervalMs);
  }

  /** Writes what is due now; what fails is due again later, and so is what a rollout goes before. */
  async writeDue(): Promise<void> {
    const atMs = this.#ports.clock.monotonicMs();
    const due = [...this.#dueMs].filter(([, dueMs]) => dueMs <= atMs);
    await forEachBounded(due, writesAtOnce, async ([partition, dueMs]) => {
      if (this.#mayWait(dueMs) || !this.#dueMs.delete(partition)) return;
      await this.#writeOne(partition);
    });
  }

  /** Writes everything that changed, for a node that is about to go. */
  async writeAll(): Promise<void> {
    await this.write([...this.#dueMs.keys()]);
  }

  async write(partitions: readonly number[]): Promise<void> {
    const changed = partitions.filter((partition) => this.#dueMs.delete(partition));
    await forEachBounded(changed, writesAtOnce, (partition) => this.#writeOne(partition));
  }

  async read(partitions: readonly number[]): Promise<ReadonlyMap<number, KnownHosts>> {
    const { store, log } = this.#ports;
    const read = await readCheckpoints(store, partitions, parseHostCheckpoint);
    const known = [...read].map(([partition, found]) => {
      if (found.kind === "damaged") {
        log.warn({ partition, reason: found.reason }, "a checkpoint cannot be used");
      }
      const entries = found.kind === "found" ? found.entries : [];
      return [partition, new Map(entries.map((entry) => [entry.id, entry]))] as const;
    });
    return new Map(known);
  }

  /** Asked before each write: a thousand of them take as long as pushes to a thousand hosts. */
  #mayWait(dueMs: number): boolean {
    const { clock, pusher } = this.#ports;
    const isOverdue = clock.monotonicMs() >= dueMs + this.#intervalMs;
    return !isOverdue && pusher().counts().queued >= rolloutPushesMin;
  }

  async #writeOne(partition: number): Promise<void> {
    const slice = this.#ports.slice();
    if (!slice.isServed(partition)) return;
    const pusher = this.#ports.pusher();
    const entries = [...slice.hostsOf(partition)]
      .map(({ id }) => pusher.checkpoint(id))
      .filter((entry) => entry !== undefined)
      .toSorted((left, right) => (left.id < right.id ? -1 : 1));
    try {
      const outcome = await writeCheckpoint(this.#ports.store, partition, slice.view, entries);
      // Refused: the owner of a newer view has written, and knows better.
      if (outcome.kind === "unknown") this.markChanged(partition);
    } catch (error) {
      if (!isCoxswainError(error)) throw error;
      this.#ports.log.debug({ partition, err: messageOf(error) }, "a checkpoint was not written");
      this.markChanged(partition);
    }
  }
}

/**
 * Throws on what this version would not write: another one's checkpoint costs pushes, while a
 * half-understood one would stop the load of its partition.
 */
export function parseHostCheckpoint(value: unknown): HostCheckpoint {
  const parsed = checkpointSchema.safeParse(value);
  // Ids and digests have types of their own, which only these checks stand for.
  if (parsed.success) return parsed.data as unknown as HostCheckpoint;
  const { path, message } = parsed.error.issues[0] ?? { path: [], message: "" };
  throw new Error(`not a host's checkpoint: ${path.join(".")} ${message}`);
}
