/**
 * The loop of the pusher: takes from the queue what the pace allows, when there is a reason to look.
 *
 * Reasons are events, finished pushes and the clock; there is no polling beyond one look every half
 * second. Each look starts a bounded number of pushes, so that beats on the same event loop are never
 * late. It also judges this node: local errors pause it, general silence slows it.
 */
import type { Clock } from "../kernel/clock.ts";
import type { Logger } from "../kernel/log.ts";
import type { HostId } from "../inventory/host.ts";
import { outcomePolicies, type PushOutcome } from "./outcome.ts";
import { Pace, type PaceOptions } from "./pace.ts";
import type { Flight, PushEntry } from "./push-entry.ts";
import { pools, PushQueue, type Lane } from "./queue.ts";
import { SelfDoubt } from "./self-doubt.ts";

export interface LoopPorts {
  readonly clock: Clock;
  readonly log: Logger;
  mayPush(): boolean;
  /** Starts the push of a host that is in flight from now on; ends with `ended`. */
  run(entry: PushEntry, lane: Lane, atMs: number): void;
  /** Called twice a second while the loop runs. */
  sample(): void;
}

/** The pace at the moment. */
export interface PaceLimits {
  readonly inFlight: number;
  readonly perSecond: number;
}

/** Pushes started in one turn of the event loop: 64 first contacts take about 5 ms. */
const startsPerTurnMax = 64;
/** A finished push makes room for its successor, and for more while there is room. */
const startsPerCompletionMax = 4;
const releasesPerTurnMax = 256;
const housekeepingMs = 500;
const doubtOptions = { hostsMin: 20, windowMs: 10_000, holdMaxMs: 30_000 };

export class PushLoop {
  readonly queue = new PushQueue<PushEntry>();
  readonly #ports: LoopPorts;
  readonly #pace: Pace;
  readonly #doubt = new SelfDoubt(doubtOptions);
  #isRunning = false;
  #isPumpQueued = false;
  #wakeAtMs = Infinity;
  /** How late the own timers were, at most, since the last housekeeping. */
  #lagMs = 0;
  #cancelWake: (() => void) | undefined;
  #cancelHousekeeping: (() => void) | undefined;
  #onIdle: (() => void)[] = [];
  #paced: { readonly lane: Lane; readonly go: (mayGo: boolean) => void }[] = [];

  constructor(ports: LoopPorts, options: PaceOptions) {
    this.#ports = ports;
    this.#pace = new Pace(options, ports.clock.monotonicMs());
  }

  get inFlightCount(): number {
    return this.#pace.inFlightCount;
  }

  /** What the pace has adapted to, for people. */
  get limits(): PaceLimits {
    return { inFlight: Math.floor(this.#pace.inFlightLimit), perSecond: this.#pace.rateLimit };
  }

  start(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#keepHouse(this.#ports.clock.monotonicMs());
  }

  async stop(): Promise<void> {
    this.#isRunning = false;
    this.#cancelWake?.();
    this.#cancelWake = undefined;
    this.#wakeAtMs = Infinity;
    this.#cancelHousekeeping?.();
    this.#cancelHousekeeping = undefined;
    for (const { go } of this.#paced.splice(0)) go(false);
    if (this.#pace.inFlightCount === 0) return;
    await new Promise<void>((resolve) => {
      this.#onIdle.push(resolve);
    });
  }

  /** Looks at the queue before the current turn of the event loop ends. */
  poke(): void {
    if (this.#isPumpQueued || !this.#isRunning) return;
    this.#isPumpQueued = true;
    queueMicrotask(() => {
      this.#isPumpQueued = false;
      this.#pump(startsPerTurnMax);
    });
  }

  /**
   * Resolves when a push that waited for its contents may be sent (true), or when the loop stops: many
   * that waited for the same content must not become a burst.
   */
  paced(lane: Lane): Promise<boolean> {
    if (!this.#isRunning) return Promise.resolve(false);
    return new Promise((go) => {
      this.#paced.push({ lane, go });
      this.poke();
    });
  }

  /** True while failures must not be counted against hosts. */
  isVerdictHeld(atMs: number): boolean {
    return this.#doubt.isHolding(atMs);
  }

  /** A push ended: frees its place and judges this node by it. */
  judge(id: HostId, flight: Flight, pushed: PushOutcome, atMs: number): void {
    const policy = outcomePolicies[pushed.kind];
    const tookMs = atMs - flight.startedMs;
    this.#pace.ended(flight, policy.isSignOfLife ? tookMs : undefined);
    if (policy.isSignOfLife) {
      const wasHolding = this.#doubt.isHolding(atMs);
      this.#doubt.answered();
      if (wasHolding) this.#pace.setSlow(false, atMs);
    } else if (policy.countsAsUnreachable) {
      if (flight.pool === "suspect") return;
      this.#doubt.unanswered(id, atMs);
      if (this.#doubt.isHolding(atMs)) this.#pace.setSlow(true, atMs);
    } else if (pushed.kind === "local" && !flight.isUnsent) {
      const untilMs = this.#doubt.localError(atMs);
      this.#pace.pause(untilMs);
      this.#ports.log.warn({ error: pushed.message, pausedMs: untilMs - atMs }, "pushing paused");
    }
  }

  /** The slot of the ended push is where it belongs: goes on with the next. */
  landed(): void {
    if (this.#pace.inFlightCount === 0) {
      for (const resolve of this.#onIdle.splice(0)) resolve();
    }
    this.#pump(startsPerCompletionMax);
  }

  /** Makes sure that the loop looks at the queue when the first waiting slot is due. */
  rearm(atMs: number): void {
    const dueMs = this.queue.nextDueMs;
    if (dueMs !== undefined) this.#armAt(dueMs, atMs);
  }

  #pump(startsMax: number): void {
    if (!this.#isRunning || !this.#ports.mayPush()) return;
    const atMs = this.#ports.clock.monotonicMs();
    const resumeAtMs = this.#resume(atMs);
    const isMoreDue = this.queue.release(atMs, releasesPerTurnMax);
    for (let starts = 0; starts < startsMax; starts++) {
      const readyAtMs = this.#startNext(atMs);
      if (readyAtMs === undefined) continue;
      const dueMs = isMoreDue ? atMs : (this.queue.nextDueMs ?? Infinity);
      this.#armAt(Math.min(readyAtMs, resumeAtMs, dueMs), atMs);
      return;
    }
    this.#armAt(atMs, atMs);
  }

  /** Lets those go that waited for contents; returns when the next of them may (Infinity: none). */
  #resume(atMs: number): number {
    let nextMs = Infinity;
    if (this.#paced.length === 0) return nextMs;
    this.#paced = this.#paced.filter(({ lane, go }) => {
      const readyAtMs = this.#pace.resumeAtMs(lane, atMs);
      if (readyAtMs === undefined) go(true);
      else nextMs = Math.min(nextMs, readyAtMs);
      return readyAtMs !== undefined;
    });
    return nextMs;
  }

  /** Starts the next push (undefined), or says when one may start (Infinity: when a place is free). */
  #startNext(atMs: number): number | undefined {
    let readyAtMs = Infinity;
    for (const lane of this.#pace.laneOrder) {
      for (const pool of pools) {
        if (this.queue.length(lane, pool) === 0) continue;
        const slot = this.#pace.mayStart(lane, pool, atMs)
          ? this.queue.take(lane, pool)
          : undefined;
        if (slot !== undefined) {
          this.#pace.started(lane, pool);
          this.#letWaitersEarn(lane);
          this.#ports.run(slot, lane, atMs);
          return undefined;
        }
        readyAtMs = Math.min(readyAtMs, this.#pace.readyAtMs(lane, pool, atMs) ?? Infinity);
      }
    }
    return readyAtMs;
  }

  #letWaitersEarn(lane: Lane): void {
    if (lane !== "record" && lane !== "change") return;
    if (this.queue.length("sweep", "steady") > 0) this.#pace.passedSweeps();
    if (lane === "record" && this.queue.length("change", "steady") > 0) this.#pace.passedChanges();
  }

  #armAt(dueMs: number, atMs: number): void {
    if (!this.#isRunning || dueMs >= this.#wakeAtMs) return;
    this.#cancelWake?.();
    this.#wakeAtMs = dueMs;
    const expectedMs = Math.max(dueMs, atMs);
    this.#cancelWake = this.#ports.clock.after(expectedMs - atMs, () => {
      this.#lagMs = Math.max(this.#lagMs, this.#ports.clock.monotonicMs() - expectedMs);
      this.#cancelWake = undefined;
      this.#wakeAtMs = Infinity;
      this.#pump(startsPerTurnMax);
    });
  }

  #keepHouse(expectedMs: number): void {
    const { clock } = this.#ports;
    const atMs = clock.monotonicMs();
    this.#pace.adapt(Math.max(this.#lagMs, atMs - expectedMs), atMs);
    this.#lagMs = 0;
    this.#pace.setSlow(this.#doubt.isHolding(atMs), atMs);
    this.#ports.sample();
    this.#cancelHousekeeping = clock.after(housekeepingMs, () =>
      this.#keepHouse(atMs + housekeepingMs),
    );
    this.#pump(startsPerTurnMax);
  }
}
