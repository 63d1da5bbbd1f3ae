/**
 * Who is served of those who ask, in what order, and when the others may come back: a bounded queue
 * that lets nobody wait in vain.
 *
 * A caller is refused at once where the event loop is late, where the queue is full, or where its turn
 * would come after it has given up: work for a caller that has gone is the work that makes an overload
 * last. Nobody waits for more than half of its patience: in a queue that is full at all times everybody
 * would be served at the last moment, when the least delay makes the work vain. Whoever is refused gets a place behind all who wait and were refused before it, told as a time to
 * come back, so that a herd comes back at the pace at which it can be served. Decisions only: the caller
 * brings the time, the lag and the draws.
 *
 * Source: "Using load shedding to avoid overload" (Amazon Builders' Library).
 */

export interface AdmissionOptions {
  /** Starts a second, over time. */
  readonly perSecond: number;
  /** Callers served at once. */
  readonly runningMax: number;
  readonly waitingMax: number;
  /** Nobody is taken in while the event loop is this late. */
  readonly lagMaxMs: number;
  /** Bounds of the time after which a refused caller is told to come back. */
  readonly retryAfterMinMs: number;
  readonly retryAfterMaxMs: number;
}

export interface Caller {
  /** Monotonic; after it nobody waits for the answer. */
  readonly deadlineMs: number;
  isGone(): boolean;
}

export type RefusalReason = "lag" | "full" | "hopeless" | "late";

export interface AdmissionTurn<Item> {
  readonly run: readonly Item[];
  /** Their callers have gone, or have waited for too long already. */
  readonly dropped: readonly Item[];
}

/** Starts that may happen at once after a quiet time, as a share of a second's. */
const burstRatio = 0.25;
/** Sums of fractions fall short of what they should be. */
const oneToken = 1 - 1e-9;
const serviceStartMs = 5;
const serviceWeight = 0.1;
/** Of a caller's patience, for waiting; the rest is for the answer. */
const waitRatio = 0.5;

export class AdmissionQueue<Item extends Caller> {
  readonly #options: AdmissionOptions;
  #waiting: { readonly item: Item; readonly startByMs: number }[] = [];
  #runningCount = 0;
  #tokens: number;
  #tokensAtMs = 0;
  /** Refused callers that have not had the time to come back yet, as far as the pace tells. */
  #owed = 0;
  /** Mean time of one service. */
  #serviceMs = serviceStartMs;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#tokens = this.#burst;
  }

  get waitingCount(): number {
    return this.#waiting.length;
  }

  get runningCount(): number {
    return this.#runningCount;
  }

  /** Takes the caller into the queue; the reason where it does not. */
  offer(item: Item, atMs: number, lagMs: number): RefusalReason | undefined {
    this.#refill(atMs);
    const startByMs = atMs + waitRatio * (item.deadlineMs - atMs);
    const reason = this.#refusal(startByMs, atMs, lagMs);
    if (reason === undefined) this.#waiting.push({ item, startByMs });
    else this.#owed += 1;
    return reason;
  }

  /** Whose turn it is; each of `run` is ended by `ended`. */
  next(atMs: number): AdmissionTurn<Item> {
    this.#refill(atMs);
    const run: Item[] = [];
    const dropped: Item[] = [];
    let taken = 0;
    for (const { item, startByMs } of this.#waiting) {
      const isInVain = item.isGone() || atMs > startByMs;
      if (!isInVain && (this.#tokens < oneToken || this.#runningCount >= this.#options.runningMax))
        break;
      taken += 1;
      if (isInVain) {
        dropped.push(item);
        continue;
      }
      this.#tokens -= 1;
      this.#runningCount += 1;
      run.push(item);
    }
    this.#waiting = this.#waiting.slice(taken);
    return { run, dropped };
  }

  ended(tookMs: number): void {
    this.#runningCount -= 1;
    this.#serviceMs += serviceWeight * (tookMs - this.#serviceMs);
  }

  /** When the pace has room for the next who waits; undefined: nobody waits, or for a place only. */
  wakeInMs(): number | undefined {
    const { runningMax, perSecond } = this.#options;
    if (this.#waiting.length === 0 || this.#runningCount >= runningMax) return undefined;
    return Math.max(1, ((1 - this.#tokens) / perSecond) * 1_000);
  }

  /** When a caller that is refused now may come back; `draw` in [0, 1) spreads those refused together. */
  retryAfterMs(draw: number): number {
    const { perSecond, retryAfterMinMs, retryAfterMaxMs } = this.#options;
    const behindMs = ((this.#waiting.length + this.#owed) / perSecond) * 1_000;
    return Math.min(retryAfterMaxMs, Math.max(retryAfterMinMs, behindMs) * (1 + draw));
  }

  #refusal(startByMs: number, atMs: number, lagMs: number): RefusalReason | undefined {
    const { lagMaxMs, waitingMax, perSecond, runningMax } = this.#options;
    if (lagMs >= lagMaxMs) return "lag";
    const ahead = this.#waiting.length;
    if (ahead >= waitingMax) return "full";
    const byPaceMs = (Math.max(0, ahead + 1 - this.#tokens) / perSecond) * 1_000;
    const byPlacesMs = (Math.max(0, ahead + this.#runningCount) / runningMax) * this.#serviceMs;
    return atMs + Math.max(byPaceMs, byPlacesMs) > startByMs ? "hopeless" : undefined;
  }

  get #burst(): number {
    return Math.max(1, this.#options.perSecond * burstRatio);
  }

  #refill(atMs: number): void {
    const { perSecond, retryAfterMaxMs } = this.#options;
    const gained = (Math.max(0, atMs - this.#tokensAtMs) / 1_000) * perSecond;
    this.#tokensAtMs = Math.max(this.#tokensAtMs, atMs);
    this.#tokens = Math.min(this.#burst, this.#tokens + gained);
    // Callers that ignore what they are told must not push the others' turns out without end.
    const owedMax = (perSecond * retryAfterMaxMs) / 1_000;
    this.#owed = Math.min(owedMax, Math.max(0, this.#owed - gained));
  }
}
