/**
 * One read round after another: read, observe, judge, mark, fold, propose.
 *
 * The decisions are pure functions (detector, decide, fold); this file only carries them between
 * the store and the memory of earlier rounds. The view is read before the members, so that what is
 * known of a member is never older than the view. A view that is missing or older than one already
 * seen is never adopted, and nobody is judged by it: the way out is view-recovery.ts.
 */
import type { Clock } from "../kernel/clock.ts";
import { isCoxswainError, type CoxswainError } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";
import type { Metrics } from "../kernel/metrics.ts";
import { randomId, type Random } from "../kernel/random.ts";
import { isNewerView, type View } from "../ring/view.ts";
import { keys, type WriteOutcome } from "../store/store.ts";
import { releasedBrake } from "./brake.ts";
import type { Probe } from "./claim.ts";
import { judge, type JudgeState, type Mark } from "./decide.ts";
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
import { Prober } from "./prober.ts";
import { RoundAlarms } from "./round-alarms.ts";
import type { Situation } from "./situation.ts";
import { noLoss, planRaise, type LossState } from "./view-recovery.ts";
import { proposeView, readView } from "./view-store.ts";

/** A generation is raised once a loss of the table; no cluster loses it this often unnoticed. */
const hostGenerationLeadMax = 1_000;

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
  /** Nobody may be judged: no answer, or a view that is missing or goes back. */
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
  readonly #alarms: RoundAlarms;
  /** What is stored in place of `view`, where that is missing or older. */
  #stored: View | undefined;
  #loss: LossState = noLoss;
  #hostGeneration = 0;
  readonly #prober: Prober;

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
    this.#alarms = new RoundAlarms(ports);
    this.#prober = new Prober(ports, options.probeTimeoutMs, ({ slot, key }) => {
      this.#detector = witnessRefusal(this.#detector, slot, key);
      this.#events.onWitness();
    });
  }

  /** Slots whose beat stands still for too long, as this node sees it. */
  get silentSlots(): ReadonlySet<string> {
    const { tracks } = this.#detector;
    return new Set([...tracks.keys()].filter((slot) => isSilent(tracks.get(slot), this.#options)));
  }

  /** True while the table lacks a view that this node has seen. */
  get isStoreBehind(): boolean {
    return this.#loss.reads > 0;
  }

  /**
   * A host says that it has stored a fence of this generation. Far ahead it is not believed: the next
   * raise would go above it, and one host could use up all generations that there are.
   */
  sawGeneration(generation: number): void {
    if (generation > this.view.generation + hostGenerationLeadMax) return;
    this.#hostGeneration = Math.max(this.#hostGeneration, generation);
  }

  /** First half of a round: what the store says now. */
  async read(signal: AbortSignal): Promise<Reading> {
    const { clock, store } = this.#ports;
    const startedAtMs = clock.monotonicMs();
    try {
      const view = await readView(store);
      const { members, corrupt } = await readMembers(store);
      this.#noteRead(undefined);
      this.members = members;
      this.#corrupt = corrupt;
      this.#alarms.corrupt(corrupt);
      const isCurrent = this.#adoptStored(view);
      this.#observe(startedAtMs, this.#keys());
      return { kind: isCurrent ? "current" : "behind" };
    } catch (error) {
      if (!isCoxswainError(error) || signal.aborted) throw error;
      this.#noteRead(error);
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

  /** Instead of `act` where the stored view is missing or goes back. */
  async recover(signal: AbortSignal): Promise<number | undefined> {
    const { clock, log, random, store } = this.#ports;
    const { state, next, waitMs } = planRaise(
      this.#situation(),
      this.#stored,
      this.#hostGeneration,
      this.#loss,
      this.#options,
      clock.monotonicMs(),
    );
    this.#loss = state;
    if (next === undefined) return waitMs;
    try {
      const outcome = await proposeView(store, this.#stored, next, randomId(random));
      const { generation, version } = next;
      log.error({ generation, version, outcome: outcome.kind }, "table lost: generation raised");
      if (outcome.kind === "won") this.#won(next, [{ slot: this.#own.row.slot, reason: "raise" }]);
      return this.#options.wakeMinMs;
    } catch (error) {
      if (!isCoxswainError(error) || signal.aborted) throw error;
      log.warn({ err: error }, "the generation could not be raised");
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
    await this.#prober.idle();
  }

  #keys(): Map<string, string> {
    const found = new Map<string, string>();
    for (const { slot } of this.view.members) {
      if (!this.#corrupt.has(slot)) found.set(slot, absentKey);
    }
    for (const [slot, member] of this.members) found.set(slot, beatKey(member));
    return found;
  }

  #noteRead(failure: CoxswainError | undefined): void {
    this.isStoreReachable = failure === undefined;
    this.#alarms.read(failure);
  }

  #gracesMs(): Map<string, number> {
    const restarting = [...this.members.values()].filter(({ intent }) => intent === "restart");
    return new Map(restarting.map(({ slot, graceMs }) => [slot, graceMs]));
  }

  #observe(startedAtMs: number, seen: ReadonlyMap<string, string> | undefined): void {
    const finishedAtMs = this.#ports.clock.monotonicMs();
    const sinceBeatMs = finishedAtMs - this.#own.lastWrittenMs;
    const isOwnBeatHealthy = sinceBeatMs <= 2 * this.#options.beatIntervalMs;
    this.#detector = observe(
      this.#detector,
      { startedAtMs, finishedAtMs, keys: seen, gracesMs: this.#gracesMs(), isOwnBeatHealthy },
      this.#options,
    );
  }

  /** False where the stored view is missing or goes back: the one in memory stays. */
  #adoptStored(stored: View | undefined): boolean {
    const { log, metrics } = this.#ports;
    this.#stored = stored;
    const isBehind = stored === undefined || isNewerView(this.view, stored);
    metrics.storeBehind.set(isBehind ? 1 : 0);
    if (isBehind) {
      if (this.#loss.reads === 0) {
        const found = stored && { generation: stored.generation, version: stored.version };
        log.error({ found }, "stored view is missing or older than seen: not adopted");
      }
      this.#loss = { ...this.#loss, reads: this.#loss.reads + 1 };
      return false;
    }
    if (this.#loss.reads > 0) log.info({}, "the table has a current view again");
    this.#loss = { ...this.#loss, reads: 0, turn: undefined };
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
    const { clock, log } = this.#ports;
    const verdict = judge(this.#situation(), this.#judgeState, this.#options, clock.monotonicMs());
    this.#judgeState = verdict.state;
    this.#alarms.judged(verdict);
    this.#publishSuspects(verdict.suspects);
    for (const target of verdict.probes) this.#prober.ask(target, signal);
    for (const target of verdict.marks) {
      const outcome = await this.#mark(target);
      const { slot, key, reason } = target;
      log.warn({ slot, key, reason, outcome }, "member marked for eviction");
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

  async #mark({ slot, reason }: Mark): Promise<WriteOutcome["kind"]> {
    const { store } = this.#ports;
    const member = this.members.get(slot);
    if (member === undefined) {
      // The stub is read in the next round, by whoever is first.
      const known = this.view.members.find((candidate) => candidate.slot === slot);
      return known === undefined ? "refused" : (await markAbsent(store, known, reason)).kind;
    }
    const { kind } = await markMember(store, member, reason);
    if (kind === "written") {
      const mark = { evicting: beatKey(member), evictReason: reason };
      this.members = new Map(this.members).set(slot, { ...member, ...mark });
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
