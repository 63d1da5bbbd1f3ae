/**
 * Hints: "read this again". They carry no truth; the receiver reads the store itself.
 *
 * Reads of one partition are merged: while one is under way, any number of further wishes make one
 * more read after it. Whoever changed something is answered when everybody has read it, or after
 * `answerWaitMs`: a peer that hangs costs that much and never more. Its hint goes on alone until its own limit.
 */
import { forEachBounded } from "../inventory/bounded.ts";
import type { Clock } from "../kernel/clock.ts";
import { isCoxswainError, messageOf } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";
import type { Metrics } from "../kernel/metrics.ts";
import { withDeadline } from "../membership/bounded-store.ts";
import { Coalescer } from "./coalescer.ts";
import type { Hint, Peers } from "./peers.ts";
import type { Slice } from "./slice.ts";

/** Longest wait for one peer to say that it has read what changed. */
const hintTimeoutMs = 1_000;
/** Longest time that an answer to a change waits for its readers, this node among them. */
const answerWaitMs = 1_000;
const viewHintTimeoutMs = 500;
const readsAtOnce = 16;

export interface HintPorts {
  readonly clock: Clock;
  readonly peers: Peers;
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly slice: Slice;
  readonly slot: string;
}

export class Hints {
  readonly #ports: HintPorts;
  readonly #partitions: Coalescer<number>;
  readonly #fleet: Coalescer<"change" | "rollback">;

  constructor(ports: HintPorts) {
    this.#ports = ports;
    this.#partitions = new Coalescer((partition) => ports.slice.refreshPartition(partition));
    this.#fleet = new Coalescer((reason) => ports.slice.refreshFleet(reason));
  }

  /** Tells every owner concerned, this node among them, and waits for them `answerWaitMs` at most. */
  async tell(hint: Hint): Promise<void> {
    await withDeadline(
      () => this.#tellAll(hint),
      this.#ports.clock,
      answerWaitMs,
      undefined,
      () => {
        this.#ports.log.debug({}, "answered before everybody had read the change");
      },
    );
  }

  async #tellAll(hint: Hint): Promise<void> {
    const { slice, slot } = this.#ports;
    const groups = Map.groupBy(hint.partitions ?? [], (partition) =>
      slice.placement.ownerOf(partition),
    );
    const tasks = slice.view.members
      .filter((member) => member.slot !== slot)
      .map(async (member) => {
        const partitions = groups.get(member.slot) ?? [];
        // A member that is leaving still serves: rules concern it, and so may any partition.
        const asked = member.state === "leaving" ? (hint.partitions ?? []) : partitions;
        if (hint.fleet === undefined && asked.length === 0) return;
        await this.#send(member.fleetUrl, { ...hint, partitions: asked }, hintTimeoutMs);
      });
    await Promise.all([this.take(hint), ...tasks]);
  }

  /** Wakes the membership of peers; nobody waits for it. */
  wakeViews(fleetUrls: readonly string[]): void {
    for (const fleetUrl of fleetUrls) {
      void this.#send(fleetUrl, { view: true }, viewHintTimeoutMs);
    }
  }

  /** Reads what a hint names; a store that does not answer is found by polling later. */
  async take(hint: Hint): Promise<void> {
    try {
      await this.read(hint);
      this.#ports.metrics.hintsTotal.labels({ direction: "in", outcome: "read" }).inc();
    } catch (error) {
      if (!isCoxswainError(error)) throw error;
      this.#ports.metrics.hintsTotal.labels({ direction: "in", outcome: "failed" }).inc();
      this.#ports.log.debug({ err: messageOf(error) }, "a hint could not be followed");
    }
  }

  /** Like `take` for what this node noticed itself; nobody waits for it. */
  readSoon(hint: Hint): void {
    void this.take(hint);
  }

  /** Throws the store's errors. */
  async read(hint: Hint): Promise<void> {
    await Promise.all([
      hint.fleet === undefined ? undefined : this.#fleet.run(hint.fleet),
      forEachBounded(hint.partitions ?? [], readsAtOnce, (partition) =>
        this.#partitions.run(partition),
      ),
    ]);
  }

  async #send(fleetUrl: string, hint: Hint, timeoutMs: number): Promise<void> {
    const { peers, metrics, log } = this.#ports;
    try {
      await peers.call(fleetUrl, "hint", hint, timeoutMs);
      metrics.hintsTotal.labels({ direction: "out", outcome: "taken" }).inc();
    } catch (error) {
      if (!isCoxswainError(error)) throw error;
      metrics.hintsTotal.labels({ direction: "out", outcome: "lost" }).inc();
      log.debug({ fleetUrl, err: messageOf(error) }, "a hint was lost");
    }
  }
}
