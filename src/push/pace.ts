/**
 * The pace: how many pushes may start now, by lane and pool.
 *
 * A token bucket bounds pushes per second; in-flight limits bound what is under way. Retries draw on
 * a bucket of their own as well, so that they take at most their share; a rollout gets half of what
 * changes of single hosts (an import, say) would take, sweeps a share of both; suspects have places of
 * their own; the last places are kept for rollbacks. Rate and in-flight limit follow the event
 * loop's delay and the replies (pace-control.ts).
 * Overloaded means slower: no event raises the pace above its configured value.
 */
import { PaceControl, type PaceControlOptions } from "./pace-control.ts";
import type { Flight } from "./push-entry.ts";
import type { Lane, Pool } from "./queue.ts";

export interface PaceOptions extends PaceControlOptions {
  readonly suspectInFlightMax: number;
  /** Part of the pace that retries may use, 0..1. */
  readonly retryShareRatio: number;
  /** Part of the starts that sweeps get while changes want all of them, 0..1. */
  readonly sweepShareRatio: number;
  /** Part of the places in flight kept for rollbacks, 0..1. */
  readonly rollbackReserveRatio: number;
}

/** Pushes that may start at once after a rest, as time of the pace: what a coarse timer needs. */
const burstMs = 50;
/** Strongest first, as usual and when it is the turn of one that waits behind others. */
const usualOrder: readonly Lane[] = ["rollback", "record", "change", "sweep", "retry"];
const changeOrder: readonly Lane[] = ["rollback", "change", "record", "sweep", "retry"];
const sweepOrder: readonly Lane[] = ["rollback", "sweep", "record", "change", "retry"];
/** A token short of this much is there: sums of fractions do not meet whole numbers. */
const tokenEpsilon = 1e-9;
/** No timer is set for less, so that rounding never makes a loop look twice at one moment. */
const waitMinMs = 0.1;
/** Part of the pace that remains while this node suspects itself. */
const slowRatio = 0.1;

export class Pace {
  readonly #options: PaceOptions;
  readonly #tokens: Bucket;
  readonly #retryTokens: Bucket;
  readonly #inFlight: Record<Pool, number> = { steady: 0, suspect: 0 };
  readonly #control: PaceControl;
  #isSlow = false;
  #peakInFlight = 0;
  #pausedUntilMs = -Infinity;
  /** Part of a start that waiting sweeps have earned; a whole one is their turn. */
  #sweepCredit = 0;
  #isChangesTurn = false;

  constructor(options: PaceOptions, atMs: number) {
    this.#options = options;
    const { pushesPerSecond, retryShareRatio } = options;
    this.#tokens = new Bucket(pushesPerSecond, atMs);
    this.#retryTokens = new Bucket(pushesPerSecond * retryShareRatio, atMs);
    this.#control = new PaceControl(options);
  }

  get inFlightCount(): number {
    return this.#inFlight.steady + this.#inFlight.suspect;
  }

  /** The adapted limit of the steady pool. */
  get inFlightLimit(): number {
    return this.#control.inFlightLimit;
  }

  /** The adapted pushes per second. */
  get rateLimit(): number {
    return this.#options.pushesPerSecond * this.#ratio;
  }

  /** In which order lanes are asked for the next push. */
  get laneOrder(): readonly Lane[] {
    if (this.#sweepCredit + tokenEpsilon >= 1) return sweepOrder;
    return this.#isChangesTurn ? changeOrder : usualOrder;
  }

  /**
   * A change starts before sweeps that wait. Counted in starts and not in time: where hosts are slow,
   * a share of the configured pace would be most of what goes out.
   */
  passedSweeps(): void {
    this.#sweepCredit = Math.min(1, this.#sweepCredit + this.#options.sweepShareRatio);
  }

  /** A change of one host starts before a rollout that waits; half of the starts stay the rollout's. */
  passedChanges(): void {
    this.#isChangesTurn = true;
  }

  mayStart(lane: Lane, pool: Pool, atMs: number): boolean {
    if (atMs < this.#pausedUntilMs || !this.#hasPlace(lane, pool)) return false;
    if (!this.#tokens.has(atMs)) return false;
    return lane !== "retry" || this.#retryTokens.has(atMs);
  }

  /** When a push refused for want of tokens or by a pause may start; undefined: when a place is free. */
  readyAtMs(lane: Lane, pool: Pool, atMs: number): number | undefined {
    if (!this.#hasPlace(lane, pool)) return undefined;
    const tokensMs = this.#tokens.readyAtMs(atMs);
    const readyMs =
      lane === "retry" ? Math.max(tokensMs, this.#retryTokens.readyAtMs(atMs)) : tokensMs;
    return Math.max(readyMs, this.#pausedUntilMs);
  }

  /** A push started; `mayStart` allowed it. */
  started(lane: Lane, pool: Pool): void {
    this.#tokens.take();
    if (lane === "retry") this.#retryTokens.take();
    if (lane === "sweep") this.#sweepCredit = 0;
    if (lane === "change") this.#isChangesTurn = false;
    this.#inFlight[pool]++;
    if (this.#inFlight.steady > this.#peakInFlight) this.#peakInFlight = this.#inFlight.steady;
  }

  /**
   * For a push that has its place but waited for its contents: takes a token of the time at which it
   * is really sent (undefined), or says when there will be one.
   */
  resumeAtMs(lane: Lane, atMs: number): number | undefined {
    const isRetry = lane === "retry";
    const retryMs = isRetry ? this.#retryTokens.readyAtMs(atMs) : atMs;
    const readyMs = Math.max(this.#tokens.readyAtMs(atMs), retryMs, this.#pausedUntilMs);
    if (readyMs > atMs) return readyMs;
    this.#tokens.take();
    if (isRetry) this.#retryTokens.take();
    return undefined;
  }

  /** A push ended; `latencyMs` undefined where nobody answered. */
  ended(
    { pool, form, startedMs }: Pick<Flight, "pool" | "form" | "startedMs">,
    latencyMs: number | undefined,
  ): void {
    this.#inFlight[pool]--;
    if (latencyMs === undefined || pool === "suspect") return;
    this.#control.replied(form, startedMs, latencyMs);
  }

  /** Nothing starts before `untilMs`. */
  pause(untilMs: number): void {
    this.#pausedUntilMs = Math.max(this.#pausedUntilMs, untilMs);
  }

  /** Slow while this node suspects itself, at the adapted pace otherwise. */
  setSlow(isSlow: boolean, atMs: number): void {
    this.#isSlow = isSlow;
    this.#tokens.setScale(this.#ratio, atMs);
    this.#retryTokens.setScale(this.#ratio, atMs);
  }

  /** Adapts rate and in-flight limit; called at a steady interval with the event loop's largest delay in it. */
  adapt(lagMs: number, atMs: number): void {
    const peakInFlight = this.#peakInFlight;
    const isFull = peakInFlight + 1 >= this.#placesBeforeReserve();
    this.#control.adapt({ atMs, lagMs, peakInFlight, isFull });
    this.#peakInFlight = this.#inFlight.steady;
    this.setSlow(this.#isSlow, atMs);
  }

  /** Part of the configured pushes per second. */
  get #ratio(): number {
    const { rateRatio } = this.#control;
    return this.#isSlow ? Math.min(slowRatio, rateRatio) : rateRatio;
  }

  #hasPlace(lane: Lane, pool: Pool): boolean {
    if (pool === "suspect") return this.#inFlight.suspect < this.#options.suspectInFlightMax;
    const places = lane === "rollback" ? this.#places() : this.#placesBeforeReserve();
    return this.#inFlight.steady < places;
  }

  #places(): number {
    return Math.max(1, Math.floor(this.inFlightLimit));
  }

  #placesBeforeReserve(): number {
    const places = this.#places();
    return Math.max(1, places - Math.ceil(places * this.#options.rollbackReserveRatio));
  }
}

/** A token bucket of at most `burstMs` worth of tokens, and at least one. */
class Bucket {
  readonly #perSecond: number;
  readonly #burst: number;
  #scale = 1;
  #tokens: number;
  #atMs: number;

  constructor(perSecond: number, atMs: number) {
    this.#perSecond = perSecond;
    this.#burst = Math.max(1, (perSecond * burstMs) / 1_000);
    this.#tokens = this.#burst;
    this.#atMs = atMs;
  }

  setScale(scale: number, atMs: number): void {
    this.#refill(atMs);
    this.#scale = scale;
  }

  has(atMs: number): boolean {
    this.#refill(atMs);
    return this.#tokens >= 1 - tokenEpsilon;
  }

  take(): void {
    this.#tokens -= 1;
  }

  readyAtMs(atMs: number): number {
    if (this.has(atMs)) return atMs;
    const waitMs = ((1 - this.#tokens) * 1_000) / (this.#perSecond * this.#scale);
    return atMs + Math.max(waitMinMs, waitMs);
  }

  #refill(atMs: number): void {
    const elapsedMs = atMs - this.#atMs;
    if (elapsedMs <= 0) return;
    this.#atMs = atMs;
    const earned = (elapsedMs * this.#perSecond * this.#scale) / 1_000;
    this.#tokens = Math.min(this.#burst, this.#tokens + earned);
  }
}
