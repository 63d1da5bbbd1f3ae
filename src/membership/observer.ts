/**
 * One read round after another: read, observe, judge, mark, fold, propose.
 *
 * The decisions are pure functions (detector, decide, fold); this file only carries them between
 * the store and the memory of earlier rounds. The view is read before the members, so that what is
 * known of a member is never older than the view. A view that is missing or older than one already
 * seen is never adopted, and nothing is decided on it.
 */
import type { Clock } from "../kernel/clock.ts";
import { isCoxswainError, type CoxswainError } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";
import type { Metrics } from "../kernel/metrics.ts";
import { randomId, type Random } from "../kernel/random.ts";
import { isNewerView, type View } from "../ring/view.ts";
import { keys, type WriteOutcome } from "../store/store.ts";
import { releasedBrake } from "./brake.ts";
import { withDeadline } from "./bounded-store.ts";
import type { Probe } from "./claim.ts";
import { judge, type JudgeState, type Target } from "./decide.ts";
import {
  absentKey,
  initialDetector,
  isSilent,
  nextVerdictMs,
  observe,
  witnessRefusal,
} from "./detector.ts";
import { fold, initialFold, type Change, type FoldState } from "./fold.ts";
import { markAbsent, markMember } from "./mark.ts";
import {
  beatKey,
  readMembers,
  unchangedSince,
  type MemberReport,
  type MembershipStore,
} from "./member.ts";
import type { MembershipOptions } from "./options.ts";
import type { OwnMember } from "./own-member.ts";
import type { Situation } from "./situation.ts";
import { proposeView, readView } from "./view-store.ts";

export interface ObserverPorts {
  readonly store: MembershipStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly probe: Probe;
}

export interface ObserverEvents {
  /** The own item should say so at once: someone is newly suspected. */
  onSuspicion(): void;
  /** This node changed the view. */
  onViewWon(): void;
  /** Something was learned between rounds: the next one should come at once. */
  onWitness(): void;
}

type Reading =
  | { readonly kind: "current" }
  /** Nothing may be decided: no answer, or a view that goes back. */
  | { readonly kind: "failed" | "behind" };

/** What this node has read, and the memory its decisions need; one round at a time. */
export class Observer {
  view: View;
  members: ReadonlyMap<string, MemberReport> = new Map();
  isStoreReachable = true;
  readonly #ports: ObserverPorts;
  readonly #own: OwnMember;
  readonly #options: MembershipOptions;
  readonly #events: ObserverEvents;
  #corrupt: ReadonlyMap<string, CoxswainError> = new Map();
  #detector = initialDetector;
  #judgeState: JudgeState = { brake: releasedBrake, turn: undefined };
  #foldState: FoldState = initialFold;
  #isBehindLogged = false;
  readonly #probing = new Map<string, Promise<void>>();

  constructor(
    ports: ObserverPorts,
    own: OwnMember,
    view: View,
    options: MembershipOptions,
    events: ObserverEvents,
  ) {
    this.#ports = ports;
    this.#own = own;
    this.view = view;
    this.#options = options;
    this.#events = events;
  }

  /** Slots whose beat stands still for too long, as this node sees it. */
  get silentSlots(): ReadonlySet<string> {
    const { tracks } = this.#detector;
    return new Set([...tracks.keys()].filter((slot) => isSilent(tracks.get(slot), this.#options)));
  }

  /** First half of a round: what the store says now. */
  async read(signal: AbortSignal): Promise<Reading> {
    const { clock, store } = this.#ports;
    const startedAtMs = clock.monotonicMs();
    try {
      const view = await readView(store);
      const { members, corrupt } = await readMembers(store);
      this.#noteReachable(undefined);
      this.members = members;
      this.#noteCorrupt(corrupt);
      const isCurrent = this.#adoptStored(view);
      this.#observe(startedAtMs, this.#keys());
      return { kind: isCurrent ? "current" : "behind" };
    } catch (error) {
      if (!isCoxswainError(error) || signal.aborted) throw error;
      this.#noteReachable(error);
      this.#observe(startedAtMs, undefined);
      return { kind: "failed" };
    }
  }

  /** Second half: acts on a current reading; returns the time until there may be more to do. */
  async act(signal: AbortSignal): Promise<number | undefined> {
    try {
      const judgeWaitMs = await this.#judge(signal);
      const foldWaitMs = await this.#fold();
      await this.#forget();
      const verdictMs = nextVerdictMs(
        this.#detector,
        this.#ports.clock.monotonicMs(),
        this.#options,
      );
      return earliest([judgeWaitMs, foldWaitMs, verdictMs]);
    } catch (error) {
      if (!isCoxswainError(error) || signal.aborted) throw error;
      // A write that failed is decided anew in the next round, from what is then stored.
      this.#ports.log.debug({ err: error }, "membership change failed");
      return undefined;
    }
  }

  /** One attempt to take this member out of the view, for a leaver out of time. */
  async dropSelf(store: MembershipStore): Promise<boolean> {
    const { slot, incarnation } = this.#own.row;
    const stored = await readView(store);
    if (stored === undefined || isNewerView(this.view, stored)) return false;
    const members = stored.members.filter(
      (member) => member.slot !== slot || member.incarnation !== incarnation,
    );
    if (members.length === stored.members.length) return true;
    const next = { ...stored, version: stored.version + 1, members };
    const outcome = await proposeView(store, stored, next, randomId(this.#ports.random));
    if (outcome.kind === "won") this.#won(next, [{ slot, reason: "drop" }]);
    return outcome.kind === "won";
  }

  /** Resolves when no probe is under way. */
  async idle(): Promise<void> {
    await Promise.all(this.#probing.values());
  }

  #keys(): Map<string, string> {
    const found = new Map<string, string>();
    for (const { slot } of this.view.members) {
      if (!this.#corrupt.has(slot)) found.set(slot, absentKey);
    }
    for (const [slot, member] of this.members) found.set(slot, beatKey(member));
    return found;
  }

  #observe(startedAtMs: number, seen: ReadonlyMap<string, string> | undefined): void {
    const finishedAtMs = this.#ports.clock.monotonicMs();
    const sinceBeatMs = finishedAtMs - this.#own.lastWrittenMs;
    const isOwnBeatHealthy = sinceBeatMs <= 2 * this.#options.beatIntervalMs;
    this.#detector = observe(
      this.#detector,
      { startedAtMs, finishedAtMs, keys: seen, isOwnBeatHealthy },
      this.#options,
    );
  }

  #noteReachable(failure: CoxswainError | undefined): void {
    const isReachable = failure === undefined;
    if (isReachable === this.isStoreReachable) return;
    this.isStoreReachable = isReachable;
    if (isReachable) this.#ports.log.info({}, "membership reads the store again");
    else this.#ports.log.warn({ err: failure }, "membership cannot read the store: view kept");
  }

  #noteCorrupt(corrupt: ReadonlyMap<string, CoxswainError>): void {
    for (const [slot, error] of corrupt) {
      if (!this.#corrupt.has(slot)) {
        this.#ports.log.error({ err: error, slot }, "member item cannot be read");
      }
    }
    this.#corrupt = corrupt;
    this.#ports.metrics.memberItemsCorrupt.set(corrupt.size);
  }

  /** False where the stored view is missing or goes back: the one in memory stays. */
  #adoptStored(stored: View | undefined): boolean {
    if (stored === undefined || isNewerView(this.view, stored)) {
      if (!this.#isBehindLogged) {
        const found = stored && { generation: stored.generation, version: stored.version };
        this.#ports.log.error({ found }, "stored view is missing or older than seen: not adopted");
      }
      this.#isBehindLogged = true;
      return false;
    }
    this.#isBehindLogged = false;
    if (isNewerView(stored, this.view)) this.#adopt(stored);
    return true;
  }

  #adopt(view: View): void {
    this.view = view;
    const { generation, version } = view;
    this.#ports.log.info({ generation, version, members: view.members.length }, "view adopted");
  }

  #situation(): Situation {
    const { slot, incarnation } = this.#own.row;
    return {
      view: this.view,
      self: { slot, incarnation },
      members: this.members,
      corrupt: new Set(this.#corrupt.keys()),
      detector: this.#detector,
    };
  }

  async #judge(signal: AbortSignal): Promise<number | undefined> {
    const { clock, log, metrics } = this.#ports;
    const verdict = judge(this.#situation(), this.#judgeState, this.#options, clock.monotonicMs());
    this.#judgeState = verdict.state;
    metrics.evictionHeld.set(verdict.isHeld && verdict.state.brake.sinceMs !== undefined ? 1 : 0);
    this.#publishSuspects(verdict.suspects);
    for (const target of verdict.probes) this.#probe(target, signal);
    for (const target of verdict.marks) {
      const outcome = await this.#mark(target);
      log.warn({ slot: target.slot, key: target.key, outcome }, "member marked for eviction");
    }
    return verdict.waitMs;
  }

  #publishSuspects(suspects: Readonly<Record<string, string>>): void {
    const published = this.#own.row.suspects;
    const fresh = Object.keys(suspects).filter((slot) => published[slot] !== suspects[slot]);
    this.#own.suspect(suspects);
    if (fresh.length === 0) return;
    this.#ports.log.warn({ slots: fresh }, "members are silent");
    this.#events.onSuspicion();
  }

  #probe({ slot, key, fleetUrl }: Target, signal: AbortSignal): void {
    if (this.#probing.has(slot)) return;
    const { clock, probe } = this.#ports;
    const { probeTimeoutMs } = this.#options;
    const ask = async () => {
      try {
        const answer = await withDeadline(
          () => probe(fleetUrl, probeTimeoutMs),
          clock,
          2 * probeTimeoutMs,
          signal,
          () => "unknown",
        );
        if (answer !== "refused") return;
        this.#detector = witnessRefusal(this.#detector, slot, key);
        this.#events.onWitness();
      } catch (error) {
        // A probe that fails proves nothing; the reads go on counting.
        this.#ports.log.debug({ err: error, slot }, "probe failed");
      } finally {
        this.#probing.delete(slot);
      }
    };
    this.#probing.set(slot, ask());
  }

  async #mark({ slot }: Target): Promise<WriteOutcome["kind"]> {
    const { store } = this.#ports;
    const member = this.members.get(slot);
    if (member === undefined) {
      // The stub is read in the next round, by whoever is first.
      const known = this.view.members.find((candidate) => candidate.slot === slot);
      return known === undefined ? "refused" : (await markAbsent(store, known)).kind;
    }
    const { kind } = await markMember(store, member);
    if (kind === "written") {
      this.members = new Map(this.members).set(slot, { ...member, evicting: beatKey(member) });
    }
    return kind;
  }

  async #fold(): Promise<number | undefined> {
    const { clock, random, store } = this.#ports;
    const { state, proposal, waitMs } = fold(
      this.#situation(),
      this.#foldState,
      this.#options,
      clock.monotonicMs(),
    );
    this.#foldState = state;
    if (proposal === undefined) return waitMs;
    const outcome = await proposeView(store, this.view, proposal.next, randomId(random));
    if (outcome.kind === "won") this.#won(proposal.next, proposal.changes);
    // Lost: the winner's view is there to be read now.
    return outcome.kind === "won" ? undefined : this.#options.wakeMinMs;
  }

  #won(view: View, changes: readonly Change[]): void {
    const { log, metrics } = this.#ports;
    for (const { reason } of changes) metrics.viewChangesTotal.inc({ reason });
    log.info({ changes, version: view.version }, "view changed by this node");
    this.#adopt(view);
    this.#foldState = initialFold;
    this.#events.onViewWon();
  }

  /** Deletes one row that the dead left behind, IF it is still as it was read. */
  async #forget(): Promise<void> {
    const { rowRetentionMs } = this.#options;
    const inView = new Set(this.view.members.map((member) => member.slot));
    for (const [slot, track] of this.#detector.tracks) {
      const member = this.members.get(slot);
      if (member === undefined || inView.has(slot) || slot === this.#own.row.slot) continue;
      if (track.unchangedMs < rowRetentionMs) continue;
      await this.#ports.store.delete(keys.member(slot), unchangedSince(member));
      return;
    }
  }
}

function earliest(delays: readonly (number | undefined)[]): number | undefined {
  const known = delays.filter((delay) => delay !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}
