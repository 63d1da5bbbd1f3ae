/**
 * How fast this node may push at the moment, from how late its event loop is and how long hosts take.
 *
 * A late event loop is this node's own overload: fewer in flight and fewer a second (multiplicative
 * decrease) until it is over, then back a step at a time (additive increase). Slow replies may be
 * this node's doing (a shared link, proxy, disk or processor behind the hosts) or the hosts' own (a
 * check that takes a second), and no threshold can tell. So a decrease is a trial: where fewer in
 * flight make replies faster, it goes on; where they do not, slow is what is usual there from then on, and
 * the limit comes back. What is usual is learnt, for pushes with and without contents apart, so that
 * nothing has to be set by hand.
 *
 * Pure: times come in as arguments. Invariants: `inFlightFloor <= inFlightLimit <= inFlightMax`,
 * `rateRatioMin <= rateRatio <= 1` (more where the configured rate is low); nothing raises either above what is configured.
 * Source: TCP's additive increase and multiplicative decrease; TCP Vegas for the delay as signal.
 */
import { LatencyMedian } from "./latency-median.ts";
import type { PushForm } from "./outcome.ts";

export interface PaceControlOptions {
  readonly pushesPerSecond: number;
  readonly inFlightMax: number;
  /** Event-loop delay from which this node counts as overloaded. */
  readonly lagHighMs: number;
}

/** What `adapt` looks at, once per interval of half a second or so. */
export interface PaceSignals {
  readonly atMs: number;
  /** Largest delay of the event loop since the last call. */
  readonly lagMs: number;
  /** Most pushes in flight at once since the last call. */
  readonly peakInFlight: number;
  /** True where more would have started had there been places; some may be kept for rollbacks. */
  readonly isFull: boolean;
}

interface Trial {
  readonly form: PushForm;
  readonly sinceMs: number;
  /** The median that gave rise to it. */
  readonly latencyMs: number;
}

/** Never below this, however slow replies are; a sixteenth of a larger limit harms nobody. */
const inFlightFloorMin = 4;
const increaseSteps = 16;
const lagDecreaseRatio = 0.7;
/** Of the configured rate, where the loop is hardly late: a stall that is over must not cost seconds. */
const restedIncrease = 0.25;
/** However late the loop is, so much of the configured rate remains: hosts without an owner's word are worse. */
const rateRatioMin = 0.25;
/** Costs a few hundredths of a core: lowering it would free nothing. */
const harmlessPerSecond = 500;
/** Strong enough to be seen in a median. */
const trialDecreaseRatio = 0.6;
/** Where replies were slow because of what is in flight, they are faster by about the decrease. */
const helpedRatio = 0.8;
/** Fewer replies have no median worth the name. */
const repliesMin = 8;
const slowRatio = 2;
/** Waiting that harms nobody: a push is in time with it, and many in flight on one core cause it. */
const slackMs = 100;
/** Part of the way that "usual" follows faster replies in one interval. */
const usualFallRatio = 0.2;
/** Longer than any deadline of a push: no replies by then means that nothing is being pushed. */
const trialMaxMs = 15_000;

export class PaceControl {
  readonly #options: PaceControlOptions;
  readonly #floor: number;
  readonly #rateRatioMin: number;
  readonly #replies: Readonly<Record<PushForm, LatencyMedian>> = {
    short: new LatencyMedian(),
    full: new LatencyMedian(),
  };
  /** Undefined until learnt. */
  readonly #usualMs: Record<PushForm, number | undefined> = { short: undefined, full: undefined };
  #limit: number;
  #rateRatio = 1;
  #trial: Trial | undefined;
  /** Replies to pushes started before it say nothing about the limit as it is. */
  #sinceMs = -Infinity;
  #hasReplies = false;

  constructor(options: PaceControlOptions) {
    const { inFlightMax, pushesPerSecond } = options;
    this.#options = options;
    this.#rateRatioMin = Math.min(1, Math.max(rateRatioMin, harmlessPerSecond / pushesPerSecond));
    this.#floor = Math.min(inFlightMax, Math.max(inFlightFloorMin, inFlightMax / increaseSteps));
    this.#limit = inFlightMax;
  }

  /** Pushes in flight at most; not always whole. */
  get inFlightLimit(): number {
    return this.#limit;
  }

  /** Part of the configured pushes per second. */
  get rateRatio(): number {
    return this.#rateRatio;
  }

  replied(form: PushForm, startedMs: number, latencyMs: number): void {
    this.#hasReplies = true;
    if (startedMs >= this.#sinceMs) this.#replies[form].add(latencyMs);
  }

  adapt(signals: PaceSignals): void {
    const { lagMs } = signals;
    const { lagHighMs } = this.#options;
    if (lagMs >= lagHighMs) this.#slowDown(signals.atMs);
    else {
      this.#rateRatio = Math.min(1, this.#rateRatio + rateIncrease(lagMs / lagHighMs));
      this.#followReplies(signals);
    }
    this.#hasReplies = false;
  }

  /** Replies waited for this process: what they took is not their hosts' doing. */
  #slowDown(atMs: number): void {
    this.#limit = Math.max(this.#floor, this.#limit * lagDecreaseRatio);
    this.#rateRatio = Math.max(this.#rateRatioMin, this.#rateRatio * lagDecreaseRatio);
    this.#trial = undefined;
    this.#startOver(atMs);
  }

  #followReplies(signals: PaceSignals): void {
    if (this.#trial !== undefined) {
      this.#judge(this.#trial, signals);
      return;
    }
    const slow = this.#slowForm();
    if (slow !== undefined) {
      this.#tryFewer(slow, signals);
      return;
    }
    this.#learn();
    this.#grow(signals);
  }

  #judge(trial: Trial, signals: PaceSignals): void {
    const { form, latencyMs, sinceMs } = trial;
    const replies = this.#replies[form];
    if (replies.count < repliesMin) {
      if (signals.atMs - sinceMs >= trialMaxMs) this.#trial = undefined;
      return;
    }
    this.#trial = undefined;
    const { medianMs } = replies;
    if (!this.#isSlow(form, medianMs)) return;
    if (medianMs <= latencyMs * helpedRatio) this.#tryFewer(form, signals);
    else this.#accept(form, medianMs, signals.atMs);
  }

  #tryFewer(form: PushForm, { atMs, peakInFlight }: PaceSignals): void {
    const { medianMs } = this.#replies[form];
    const used = Math.min(this.#limit, peakInFlight);
    if (used <= this.#floor) {
      this.#accept(form, medianMs, atMs);
      return;
    }
    this.#limit = Math.max(this.#floor, used * trialDecreaseRatio);
    this.#trial = { form, sinceMs: atMs, latencyMs: medianMs };
    this.#startOver(atMs);
  }

  #accept(form: PushForm, medianMs: number, atMs: number): void {
    this.#usualMs[form] = medianMs;
    this.#startOver(atMs);
  }

  #slowForm(): PushForm | undefined {
    const forms: readonly PushForm[] = ["full", "short"];
    return forms.find((form) => {
      const { count, medianMs } = this.#replies[form];
      return count >= repliesMin && this.#isSlow(form, medianMs);
    });
  }

  #isSlow(form: PushForm, medianMs: number): boolean {
    return medianMs > (this.#usualMs[form] ?? medianMs) * slowRatio + slackMs;
  }

  /**
   * Slower replies never raise what is usual here, only a trial that did not help does: otherwise a
   * queue behind the hosts would become usual while it grows.
   */
  #learn(): void {
    for (const form of ["full", "short"] as const) {
      const { count, medianMs } = this.#replies[form];
      if (count < repliesMin) continue;
      const usualMs = this.#usualMs[form] ?? medianMs;
      this.#usualMs[form] = Math.min(usualMs, usualMs + (medianMs - usualMs) * usualFallRatio);
      this.#replies[form].clear();
    }
  }

  #grow({ isFull }: PaceSignals): void {
    if (!isFull && this.#hasReplies) return;
    const { inFlightMax } = this.#options;
    this.#limit = Math.min(inFlightMax, this.#limit + Math.max(1, inFlightMax / increaseSteps));
  }

  #startOver(atMs: number): void {
    this.#sinceMs = atMs;
    this.#replies.full.clear();
    this.#replies.short.clear();
  }
}

/** What a look adds to the rate, by the part of `lagHighMs` that the loop was late. */
function rateIncrease(lagRatio: number): number {
  if (lagRatio >= 1 / 2) return 0;
  return lagRatio < 1 / 4 ? restedIncrease : 1 / increaseSteps;
}
