/**
 * This node's own item: written every beat, and read when a beat is refused to learn why.
 *
 * Beats carry absolute values, so a repeat after an unknown outcome succeeds, and are refused
 * behind a newer beat, so one that lands late changes nothing. A refused beat means: replaced by
 * another process (for ever), marked for eviction (register the next incarnation and join again),
 * or gone with the table (register the same incarnation; the view in memory stays as it is).
 */
import { isCoxswainError } from "../kernel/errors.ts";
import { keys, type WriteOutcome } from "../store/store.ts";
import { stubHolder } from "./mark.ts";
import {
  decodeMember,
  encodeMember,
  encodeReport,
  heldBy,
  type MemberIdentity,
  type MemberProgress,
  type MemberReport,
  type MembershipStore,
} from "./member.ts";
import type { MembershipOptions } from "./options.ts";

export type BeatOutcome =
  | { readonly kind: "written" | "rejoined" | "restored" | "marked" | "replaced" }
  /** The store failed or gave no answer: the next beat says the same again. */
  | { readonly kind: "unknown" | "failed"; readonly cause: Error };

/** The own item as this process wants it; `claimed` must be called before the first beat. */
export class OwnMember {
  #row: MemberReport;
  #isMarked = false;
  #lastRejoinMs = Number.NEGATIVE_INFINITY;
  #lastWrittenMs = Number.NEGATIVE_INFINITY;

  constructor(identity: MemberIdentity, holder: string) {
    const { slot, weight, zone, url, fleetUrl } = identity;
    const progress = { viewSeen: null, placementHash: null, hosts: 0, pushes: 0 };
    const life = { incarnation: 1, holder, beat: 1, intent: "join", evicting: undefined } as const;
    this.#row = { slot, weight, zone, url, fleetUrl, ...progress, ...life, suspects: {} };
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

  claimed(incarnation: number, beat: number, atMs: number): void {
    this.#row = { ...this.#row, incarnation, beat };
    this.#lastWrittenMs = atMs;
  }

  report(progress: MemberProgress): void {
    const { viewSeen, placementHash, hosts, pushes } = progress;
    this.#row = { ...this.#row, viewSeen, placementHash, hosts, pushes };
  }

  suspect(suspects: Readonly<Record<string, string>>): void {
    this.#row = { ...this.#row, suspects };
  }

  intend(intent: MemberReport["intent"]): void {
    this.#row = { ...this.#row, intent };
  }

  /** One beat, and what follows from its being refused. */
  async beat(
    store: MembershipStore,
    clock: { monotonicMs(): number },
    options: MembershipOptions,
    signal: AbortSignal,
  ): Promise<BeatOutcome> {
    this.#row = { ...this.#row, beat: this.#row.beat + 1 };
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
    if (stored.holder !== own.holder && !isStub(stored, own)) return { kind: "replaced" };
    if (stored.incarnation > own.incarnation) {
      // An own registration whose answer was lost.
      this.#adopt(stored.incarnation, stored.beat);
      return { kind: "rejoined" };
    }
    if (stored.evicting === undefined) return { kind: "written" };
    return this.#rejoin(store, stored, clock.monotonicMs(), options);
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
    const next: MemberReport = {
      ...this.#row,
      incarnation: this.#row.incarnation + 1,
      intent: "join",
      viewSeen: null,
      suspects: {},
    };
    const outcome = await store.put(
      { ...keys.member(next.slot), attributes: encodeMember(next) },
      heldBy(stored),
    );
    if (outcome.kind !== "written") return outcome;
    this.#adopt(next.incarnation, next.beat);
    return { kind: "rejoined" };
  }

  #adopt(incarnation: number, beat: number): void {
    const fresh = { intent: "join", viewSeen: null, suspects: {} } as const;
    this.#row = { ...this.#row, ...fresh, incarnation, beat };
    this.#isMarked = false;
  }
}

/** The item that a marker wrote in place of this life's vanished one (see `markMember`). */
function isStub(stored: MemberReport, own: MemberReport): boolean {
  return stored.holder === stubHolder && stored.incarnation === own.incarnation;
}

const raced = new Error("The own item changed while it was registered");
