/**
 * Membership of one node: it beats, reads, helps to keep the view true, and says whether it may push.
 *
 * Two loops that cannot hold each other up: beats write the own item, rounds read the others' (see
 * observer.ts). Readers get one immutable snapshot, swapped by reference; hints and probes only
 * wake. A store that fails changes nothing: the view stays, nobody is judged, pushing goes on.
 *
 * Pushing stops in three cases only: the view does not hold this process life (not yet joined,
 * evicted, replaced), a mark against it is known, or the process itself was paused and has not
 * finished a read since. Safety does not rest on it (hosts refuse what goes back); it saves pushes
 * that an owner of long ago would waste.
 */
import type { Clock } from "../kernel/clock.ts";
import { CoxswainError } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";
import type { Metrics } from "../kernel/metrics.ts";
import { randomId, type Random } from "../kernel/random.ts";
import { emptyView } from "../ring/view.ts";
import type { Store } from "../store/store.ts";
import { boundStore, unlessAborted } from "./bounded-store.ts";
import { claimSlot, persist, type Probe } from "./claim.ts";
import { leaveForGood, leaveForRestart, withdraw } from "./departure.ts";
import { evictSlot, type EvictOutcome } from "./eviction-command.ts";
import type { MemberIdentity, MemberProgress, MembershipStore, Restored } from "./member.ts";
import { Observer } from "./observer.ts";
import type { MembershipOptions } from "./options.ts";
import { OwnMember, type BeatOutcome } from "./own-member.ts";
import { Pacer } from "./pacer.ts";
import { PauseWatch } from "./pause-watch.ts";
import { findSelf } from "./situation.ts";
import { measureSnapshot, type MemberStatus, type MembershipSnapshot } from "./snapshot.ts";
import { readView } from "./view-store.ts";

export interface MembershipPorts {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly probe: Probe;
  /** Wakes peers after a suspicion or a view change; fire and forget, must not throw. */
  hintPeers(fleetUrls: readonly string[]): void;
}

export interface Membership {
  /**
   * Claims the slot and resolves after the first round. Waits for the store and for the view item
   * as long as it takes. Throws MEMBER_SLOT_TAKEN, the signal's reason, or NODE_STOPPED, and then has
   * taken back what it wrote. Where another process takes the slot meanwhile, the snapshot says so.
   */
  start(signal: AbortSignal): Promise<void>;
  snapshot(): MembershipSnapshot;
  /** Called after every round and change of status; returns the function that ends it. */
  subscribe(listener: (snapshot: MembershipSnapshot) => void): () => void;
  /** What the node has loaded; a changed `viewSeen` goes out with a beat of its own at once. */
  report(progress: MemberProgress): void;
  /** This node has written back to a lost table what it knows; goes out with a beat at once. */
  restored(restored: Restored): void;
  /** A host has stored a fence of this generation: a raise must go above it. */
  sawGeneration(generation: number): void;
  /** Takes a slot out of the view by command, within 3 s. Throws the store's errors. */
  evict(slot: string): Promise<EvictOutcome>;
  /** A hint came: a round now, or as soon as the rate limit allows. */
  wake(): void;
  mayPush(): boolean;
  /**
   * Leaves gracefully: resolves when the view no longer holds this member, which is after every
   * active member has reported the view without its partitions, or after `leaveTimeoutMs`.
   */
  leave(): Promise<void>;
  /**
   * Ends like `stop` and says that the slot comes back: the view keeps it for `graceMs`, and nothing
   * moves. To be called when the last push has ended. A node that is in no view leaves instead.
   */
  stopForRestart(graceMs: number): Promise<void>;
  /** Ends all loops without leaving the view. Idempotent. */
  stop(): Promise<void>;
}

/** Builds the membership of one process life; does nothing before `start`. */
export function createMembership(
  ports: MembershipPorts,
  identity: MemberIdentity,
  options: MembershipOptions,
): Membership {
  return new MembershipService(ports, identity, options);
}

class MembershipService implements Membership {
  readonly #ports: MembershipPorts;
  readonly #options: MembershipOptions;
  readonly #own: OwnMember;
  readonly #stopping = new AbortController();
  readonly #listeners = new Set<(snapshot: MembershipSnapshot) => void>();
  readonly #beatPacer: Pacer;
  readonly #roundPacer: Pacer;
  readonly #leavePacer: Pacer;
  #observer: Observer | undefined;
  #hasClaimed = false;
  #loops: Promise<unknown> = Promise.resolve();
  #snapshot: MembershipSnapshot;
  #end: "replaced" | "left" | undefined;
  #leaving: Promise<void> | undefined;
  readonly #pause: PauseWatch;
  #lastRoundMs = Number.NEGATIVE_INFINITY;
  #shouldHintAfterBeat = false;
  #lastBeatKind: BeatOutcome["kind"] = "written";

  constructor(ports: MembershipPorts, identity: MemberIdentity, options: MembershipOptions) {
    this.#ports = ports;
    this.#options = options;
    this.#own = new OwnMember(identity, randomId(ports.random));
    this.#pause = new PauseWatch(options.silenceMs / 2);
    this.#beatPacer = new Pacer(ports.clock);
    this.#roundPacer = new Pacer(ports.clock);
    this.#leavePacer = new Pacer(ports.clock);
    this.#snapshot = this.#compose();
  }

  async start(signal: AbortSignal): Promise<void> {
    const { clock, store } = this.#ports;
    const own = this.#stopping.signal;
    const onAbort = () => this.#stopping.abort(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    own.addEventListener("abort", () => signal.removeEventListener("abort", onAbort), {
      once: true,
    });
    const bounded = boundStore(store, clock, this.#options.storeTimeoutMs, own);
    try {
      await this.#join(bounded, own);
    } catch (error) {
      // Another process has the slot: that is in the snapshot, and no failure of this start.
      if (this.#end === "replaced") return;
      this.#stopping.abort(error);
      await this.#loops;
      if (this.#hasClaimed) await withdraw(this.#ports, this.#own, this.#observer, this.#options);
      throw error;
    }
  }

  async #join(store: MembershipStore, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#ports;
    const ports = { ...this.#ports, store };
    let isMissingLogged = false;
    const view = await persist(ports, this.#options, signal, async () => {
      const found = await readView(store);
      if (found === undefined && !isMissingLogged) {
        log.warn({}, "no view in the store: waiting for `coxswain init`");
        isMissingLogged = true;
      }
      return found;
    });
    this.#hasClaimed = true;
    const claimed = await claimSlot(ports, this.#own.row, view, this.#options, signal);
    this.#own.claimed(claimed, clock.monotonicMs());
    const observer = new Observer(ports, this.#own, view, this.#options, {
      onSuspicion: () => this.#beatNow(),
      onViewWon: () => this.#hint(),
      onWitness: () => this.#roundPacer.poke(),
    });
    this.#observer = observer;
    log.info({ incarnation: claimed.incarnation }, "slot claimed");
    this.#tick();
    const beats = this.#beatLoop(observer, store);
    this.#loops = beats;
    await this.#round(observer);
    this.#loops = Promise.all([beats, this.#roundLoop(observer)]);
  }

  snapshot(): MembershipSnapshot {
    return this.#snapshot;
  }

  subscribe(listener: (snapshot: MembershipSnapshot) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  report(progress: MemberProgress): void {
    const before = this.#own.row.viewSeen;
    this.#own.report(progress);
    const now = progress.viewSeen;
    if (before?.generation === now?.generation && before?.version === now?.version) return;
    this.#beatPacer.poke();
  }

  restored(restored: Restored): void {
    this.#own.restored(restored);
    this.#beatPacer.poke();
  }

  sawGeneration(generation: number): void {
    this.#observer?.sawGeneration(generation);
  }

  evict(slot: string): Promise<EvictOutcome> {
    const { clock, store } = this.#ports;
    return evictSlot(
      {
        store: boundStore(store, clock, this.#options.storeTimeoutMs),
        clock,
        seen: () => this.#snapshot,
        wake: () => {
          this.#hint();
          this.wake();
        },
      },
      slot,
    );
  }

  wake(): void {
    this.#roundPacer.poke();
  }

  mayPush(): boolean {
    if (this.#observer === undefined || this.#end !== undefined) return false;
    // A pusher may run before the loops after a pause: the gap must be noticed here as well.
    if (this.#pause.isOverdue(this.#ports.clock.monotonicMs())) this.#tick();
    const isMember = findSelf(this.#observer.view, this.#own.row) !== undefined;
    return isMember && !this.#own.isMarked && !this.#pause.isPaused;
  }

  leave(): Promise<void> {
    this.#leaving ??= this.#leave();
    return this.#leaving;
  }

  async stopForRestart(graceMs: number): Promise<void> {
    const observer = this.#observer;
    if (observer === undefined || findSelf(observer.view, this.#own.row) === undefined) {
      return this.leave();
    }
    await this.stop();
    if (this.#end !== undefined) return;
    await leaveForRestart(this.#ports, this.#own, graceMs, this.#options);
    this.#finish("left");
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new CoxswainError("NODE_STOPPED", "Membership is stopping"));
    this.#leavePacer.poke();
    await this.#loops;
    await this.#observer?.idle();
  }

  async #beatLoop(observer: Observer, store: ReturnType<typeof boundStore>): Promise<void> {
    const { clock, random } = this.#ports;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const startedAtMs = this.#tick();
      const outcome = await unlessAborted(signal, () =>
        this.#own.beat(store, clock, this.#options, signal),
      );
      if (outcome === undefined) return;
      this.#tick();
      this.#noteBeat(outcome, observer);
      const periodMs = this.#options.beatIntervalMs * (0.9 + 0.2 * random.next());
      const delayMs = startedAtMs + periodMs - clock.monotonicMs();
      await this.#beatPacer.wait(Math.max(0, delayMs), signal);
    }
  }

  #noteBeat(outcome: BeatOutcome, observer: Observer): void {
    const { log, metrics } = this.#ports;
    const { kind } = outcome;
    metrics.beatsTotal.inc({ outcome: kind });
    if (kind !== this.#lastBeatKind) log.info({ ...outcome }, "beat outcome changed");
    this.#lastBeatKind = kind;
    if (kind === "replaced") {
      log.error({}, "another process took this slot: pushing stops for good");
      this.#finish("replaced");
      return;
    }
    if (kind === "written" && this.#shouldHintAfterBeat) {
      this.#shouldHintAfterBeat = false;
      this.#hint();
    }
    if (kind === "rejoined") this.#roundPacer.poke();
    if (kind !== "written") this.#publish(observer);
  }

  async #roundLoop(observer: Observer): Promise<void> {
    const { clock } = this.#ports;
    const { signal } = this.#stopping;
    const { beatIntervalMs, wakeMinMs } = this.#options;
    let waitMs: number | undefined;
    while (!signal.aborted) {
      const dueMs = this.#lastRoundMs + Math.min(beatIntervalMs, waitMs ?? beatIntervalMs);
      await this.#roundPacer.wait(Math.max(0, dueMs - clock.monotonicMs()), signal);
      const earliestMs = this.#lastRoundMs + wakeMinMs;
      const restMs = earliestMs - clock.monotonicMs();
      if (restMs > 0) await unlessAborted(signal, () => clock.sleep(restMs, signal));
      if (signal.aborted) return;
      waitMs = await unlessAborted(signal, () => this.#round(observer));
    }
  }

  /** Returns the time, counted from the start of the round, until the next one is wanted. */
  async #round(observer: Observer): Promise<number | undefined> {
    const { clock } = this.#ports;
    const startedAtMs = this.#tick();
    this.#lastRoundMs = startedAtMs;
    const reading = await observer.read(this.#stopping.signal);
    this.#tick();
    this.#pause.readFinished(startedAtMs);
    this.#publish(observer);
    if (reading.kind === "failed") return undefined;
    const { view } = observer;
    const { signal } = this.#stopping;
    const isCurrent = reading.kind === "current";
    const waitMs = await (isCurrent ? observer.act(signal) : observer.recover(signal));
    if (observer.view !== view) this.#publish(observer);
    return waitMs === undefined ? undefined : clock.monotonicMs() - startedAtMs + waitMs;
  }

  async #leave(): Promise<void> {
    const { clock } = this.#ports;
    const observer = this.#observer;
    if (observer === undefined || this.#end !== undefined) return this.stop();
    this.#own.intend("leave");
    this.#publish(observer);
    this.#beatPacer.poke();
    const deadlineMs = clock.monotonicMs() + this.#options.leaveTimeoutMs;
    const { signal } = this.#stopping;
    while (!signal.aborted && findSelf(observer.view, this.#own.row) !== undefined) {
      const remainingMs = deadlineMs - clock.monotonicMs();
      if (remainingMs <= 0) break;
      await this.#leavePacer.wait(remainingMs, signal);
    }
    const isReplaced = this.#end === "replaced";
    await this.stop();
    if (isReplaced) return;
    await leaveForGood(this.#ports, this.#own, observer, this.#options);
    this.#finish("left");
  }

  #finish(end: "replaced" | "left"): void {
    this.#end ??= end;
    this.#stopping.abort(new CoxswainError("NODE_STOPPED", "Membership has ended"));
    this.#leavePacer.poke();
    if (this.#observer !== undefined) this.#publish(this.#observer);
  }

  #beatNow(): void {
    this.#shouldHintAfterBeat = true;
    this.#beatPacer.poke();
  }

  #hint(): void {
    const { slot } = this.#own.row;
    const others = (this.#observer?.view.members ?? []).filter((member) => member.slot !== slot);
    if (others.length > 0) this.#ports.hintPeers(others.map((member) => member.fleetUrl));
  }

  #tick(): number {
    const nowMs = this.#ports.clock.monotonicMs();
    const pauseMs = this.#pause.tick(nowMs);
    if (pauseMs !== undefined) {
      this.#ports.log.warn({ pauseMs }, "this process was paused: pushing waits for a read");
      this.#roundPacer.poke();
    }
    return nowMs;
  }

  #publish(observer: Observer): void {
    const isMember = findSelf(observer.view, this.#own.row) !== undefined;
    const { intent } = this.#own.row;
    if (intent !== "leave") this.#own.intend(isMember ? "run" : "join");
    this.#snapshot = this.#compose();
    measureSnapshot(this.#snapshot, this.#own.row, this.#ports.metrics);
    this.#leavePacer.poke();
    for (const listener of this.#listeners) listener(this.#snapshot);
  }

  #compose(): MembershipSnapshot {
    const { slot, incarnation } = this.#own.row;
    const observer = this.#observer;
    return {
      view: observer?.view ?? emptyView,
      members: observer?.members ?? new Map(),
      silentSlots: observer?.silentSlots ?? new Set(),
      self: { slot, incarnation, status: this.#status() },
      isStoreReachable: observer?.isStoreReachable ?? false,
      isStoreBehind: observer?.isStoreBehind ?? false,
    };
  }

  #status(): MemberStatus {
    if (this.#end !== undefined) return this.#end;
    if (this.#own.row.intent === "leave") return "leaving";
    const view = this.#observer?.view ?? emptyView;
    return findSelf(view, this.#own.row) === undefined ? "joining" : "active";
  }
}
