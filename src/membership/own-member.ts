/**
 * This node's own item: written every beat, and read when a beat is refused to learn why.
 *
 * Beats carry absolute values, so a repeat after an unknown outcome succeeds, and are refused
 * behind a newer beat, so one that lands late changes nothing. A refused beat means: replaced by
 * another process (for ever), marked for eviction (register the next incarnation and join again),
 * or gone with the table (register the same incarnation; the view in memory stays as it is).
 * Incarnations only grow, so an item of a lower one is not a successor's: the table went back.
 */
import { isCoxswainError } from "../kernel/errors.ts";
import { keys, type WriteOutcome } from "../store/store.ts";
import { stubHolder } from "./mark.ts";
import {
  decodeMember,
  encodeMember,
  encodeReport,
  heldBy,
  unchangedSince,
  type MemberIdentity,
  type MemberProgress,
  type MemberReport,
  type MembershipStore,
  type Restored,
} from "./member.ts";
import type { MembershipOptions } from "./options.ts";
import { afterBreak, afterEviction, noFlaps, type FlapRecord } from "./probation.ts";

export type BeatOutcome =
  | { readonly kind: "written" | "rejoined" | "restored" | "marked" | "replaced" }
  /** The store failed or gave no answer: the next beat says the same again. */
  | { readonly kind: "unknown" | "failed"; readonly cause: Error };

/** The own item as this process wants it; `claimed` must be called before the first beat. */
export class OwnMember {
  #row: MemberReport;
  #isMarked = false;
  #pushesBefore = 0;
  #lastRejoinMs = Number.NEGATIVE_INFINITY;
  #lastWrittenMs = Number.NEGATIVE_INFINITY;

  constructor(identity: MemberIdentity, holder: string) {
    const { slot, weight, zone, url, fleetUrl } = identity;
    const progress = { viewSeen: null, placementHash: null, hosts: 0, pushes: 0, queued: 0 };
    const life = { incarnation: 1, holder, beat: 1, intent: "join", graceMs: 0 } as const;
    const record = { stalledBeats: 0, flaps: noFlaps, restored: null, suspects: {} };
    const mark = { evicting: undefined, evictReason: undefined };
    this.#row = { slot, weight, zone, url, fleetUrl, ...progress, ...life, ...record, ...mark };
  }

  get row(): MemberReport {
    return this.#row;
  }

  /** True from learning of a mark until the next incarnation is registered. */
  get isMarked(): boolean {
    return this.#isMarked;
  }

  /** End of the last beat known to be written, monotonic. */
  get lastWrittenMs(): number {
    return this.#lastWrittenMs;
  }

  claimed(claimed: Pick<MemberReport, "incarnation" | "beat" | "flaps">, atMs: number): void {
    const { incarnation, beat, flaps } = claimed;
    this.#row = { ...this.#row, incarnation, beat, flaps };
    this.#lastWrittenMs = atMs;
  }

  report(progress: MemberProgress): void {
    const { viewSeen, placementHash, hosts, pushes, queued } = progress;
    this.#row = { ...this.#row, viewSeen, placementHash, hosts, pushes, queued };
  }

  restored(restored: Restored): void {
    this.#row = { ...this.#row, restored };
  }

  suspect(suspects: Readonly<Record<string, string>>): void {
    this.#row = { ...this.#row, suspects };
  }

  intend(intent: MemberReport["intent"]): void {
    this.#row = { ...this.#row, intent };
  }

  /** The process ends; its slot is kept for `graceMs`. */
  pause(graceMs: number): void {
    this.#row = { ...this.#row, intent: "restart", graceMs, viewSeen: null };
  }

  /** One beat, and what follows from its being refused. */
  async beat(
    store: MembershipStore,
    clock: { monotonicMs(): number },
    options: MembershipOptions,
    signal: AbortSignal,
  ): Promise<BeatOutcome> {
    this.#row = this.#nextBeat(clock.monotonicMs(), options);
    const row = this.#row;
    try {
      const outcome = await this.#write(store, row);
      const result =
        outcome.kind === "refused" ? await this.#explain(store, clock, options) : outcome;
      if (result.kind === "unknown") return result;
      if (result.kind === "refused") return { kind: "failed", cause: raced };
      if (result.kind !== "marked" && result.kind !== "replaced") {
        this.#lastWrittenMs = clock.monotonicMs();
      }
      return result;
    } catch (error) {
      if (!isCoxswainError(error) || signal.aborted) throw error;
      return { kind: "failed", cause: error };
    }
  }

  /** Deletes the item, the very last act of a graceful leave. */
  async remove(store: MembershipStore): Promise<WriteOutcome> {
    return store.delete(keys.member(this.#row.slot), heldBy(this.#row));
  }

  #nextBeat(atMs: number, options: MembershipOptions): MemberReport {
    const row = this.#row;
    const beat = row.beat + 1;
    // Who waits outside the view may not push: no progress there is no fault.
    const isAtWork = row.intent === "run" && row.queued > 0;
    const isStalled = isAtWork && row.pushes === this.#pushesBefore;
    this.#pushesBefore = row.pushes;
    const isBroken = atMs - this.#lastWrittenMs > options.silenceMs;
    const flaps = isBroken ? afterBreak(row.flaps, beat) : row.flaps;
    return { ...row, beat, flaps, stalledBeats: isStalled ? row.stalledBeats + 1 : 0 };
  }

  #write(store: MembershipStore, row: MemberReport): Promise<WriteOutcome> {
    return store.update(
      keys.member(row.slot),
      { set: { beat: row.beat, report: encodeReport(row) } },
      [
        ...heldBy(row),
        { kind: "without", attribute: "evicting" },
        { kind: "atMost", attribute: "beat", value: row.beat },
      ],
    );
  }

  async #explain(
    store: MembershipStore,
    clock: { monotonicMs(): number },
    options: MembershipOptions,
  ): Promise<BeatOutcome | WriteOutcome> {
    const own = this.#row;
    const item = await store.get(keys.member(own.slot));
    if (item === undefined) {
      const outcome = await store.put({ ...keys.member(own.slot), attributes: encodeMember(own) }, [
        { kind: "absent" },
      ]);
      return outcome.kind === "written" ? { kind: "restored" } : outcome;
    }
    const stored = decodeMember(item);
    if (stored.incarnation < own.incarnation) return this.#restore(store, stored);
    if (stored.holder !== own.holder && !isStub(stored, own)) return { kind: "replaced" };
    if (stored.incarnation > own.incarnation) {
      // An own registration whose answer was lost.
      this.#adopt(stored.incarnation, stored.beat, stored.flaps);
      return { kind: "rejoined" };
    }
    if (stored.evicting === undefined) return { kind: "written" };
    return this.#rejoin(store, stored, clock.monotonicMs(), options);
  }

  async #restore(
    store: MembershipStore,
    stored: MemberReport,
  ): Promise<BeatOutcome | WriteOutcome> {
    const own = this.#row;
    const outcome = await store.put(
      { ...keys.member(own.slot), attributes: encodeMember(own) },
      unchangedSince(stored),
    );
    return outcome.kind === "written" ? { kind: "restored" } : outcome;
  }

  async #rejoin(
    store: MembershipStore,
    stored: MemberReport,
    atMs: number,
    options: MembershipOptions,
  ): Promise<BeatOutcome | WriteOutcome> {
    this.#isMarked = true;
    const isSoon = atMs - this.#lastRejoinMs < options.rejoinMinMs;
    if (isSoon || this.#row.intent === "leave") return { kind: "marked" };
    this.#lastRejoinMs = atMs;
    const { beat, flaps } = this.#row;
    const next: MemberReport = {
      ...this.#row,
      ...fresh,
      incarnation: this.#row.incarnation + 1,
      flaps: afterEviction(flaps, stored.evictReason ?? "silent", beat, options),
    };
    const outcome = await store.put(
      { ...keys.member(next.slot), attributes: encodeMember(next) },
      heldBy(stored),
    );
    if (outcome.kind !== "written") return outcome;
    this.#adopt(next.incarnation, next.beat, next.flaps);
    return { kind: "rejoined" };
  }

  #adopt(incarnation: number, beat: number, flaps: FlapRecord): void {
    this.#row = { ...this.#row, ...fresh, incarnation, beat, flaps };
    this.#isMarked = false;
  }
}

/** What a new incarnation of the same process starts with. */
const fresh = { intent: "join", viewSeen: null, stalledBeats: 0, suspects: {} } as const;

/** The item that a marker wrote in place of this life's vanished one (see `markMember`). */
function isStub(stored: MemberReport, own: MemberReport): boolean {
  return stored.holder === stubHolder && stored.incarnation === own.incarnation;
}

const raced = new Error("The own item changed while it was registered");
