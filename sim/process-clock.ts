/**
 * Time and liveness of one simulated process: its clocks, its timers, and whether it runs at all.
 *
 * Everything that reaches a process goes through `deliver`: while it is frozen, timers and answers
 * wait and come in their order when it goes on; once it is gone, nothing reaches it any more. The
 * monotonic clock may run fast or slow, and stands still during a suspension; the wall clock may
 * jump. Timers have the millisecond granularity of the real ones.
 */
import { sleepWith, type Clock } from "../src/kernel/clock.ts";
import type { Timeline } from "./timeline.ts";

/** A starved process freezes some times a second. */
const freezesKept = 200;

export class ProcessClock implements Clock {
  readonly #timeline: Timeline;
  readonly #rateRatio: number;
  readonly #startedMs: number;
  readonly #cancels = new Set<() => void>();
  #waiting: (() => void)[] = [];
  #state: "running" | "frozen" | "gone" = "running";
  #isSuspended = false;
  #frozenAtMs = 0;
  /** Since when nothing of the process has run; of use while it is frozen. */
  #stillSinceMs = 0;
  /** The last freezes that are over, oldest first. */
  readonly #freezes: { readonly fromMs: number; readonly toMs: number }[] = [];
  #missedMs = 0;
  #wallOffsetMs: number;

  constructor(timeline: Timeline, settings: { rateRatio?: number; wallOffsetMs?: number } = {}) {
    this.#timeline = timeline;
    this.#rateRatio = settings.rateRatio ?? 1;
    this.#wallOffsetMs = settings.wallOffsetMs ?? 0;
    this.#startedMs = timeline.nowMs;
  }

  get state(): "running" | "frozen" | "gone" {
    return this.#state;
  }

  /** Timers not yet fired or cancelled. */
  get timerCount(): number {
    return this.#cancels.size;
  }

  monotonicMs(): number {
    const nowMs = this.#isSuspended ? this.#frozenAtMs : this.#timeline.nowMs;
    return 1_000 + (nowMs - this.#startedMs - this.#missedMs) * this.#rateRatio;
  }

  wallMs(): number {
    return 1_800_000_000_000 + Math.round(this.#timeline.nowMs) + this.#wallOffsetMs;
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return sleepWith(this, delayMs, signal);
  }

  after(delayMs: number, callback: () => void): () => void {
    const dueMs = this.monotonicMs() + Math.max(1, delayMs);
    let cancelEvent: (() => void) | undefined;
    let isCancelled = this.#state === "gone";
    const cancel = () => {
      isCancelled = true;
      cancelEvent?.();
      this.#cancels.delete(cancel);
    };
    const run = () => {
      if (isCancelled) return;
      const missingMs = dueMs - this.monotonicMs();
      if (missingMs > 0.01) {
        arm(missingMs);
        return;
      }
      this.#cancels.delete(cancel);
      callback();
    };
    const arm = (localMs: number) => {
      cancelEvent = this.#timeline.after(localMs / this.#rateRatio, () => this.deliver(run));
    };
    if (isCancelled) return cancel;
    this.#cancels.add(cancel);
    arm(dueMs - this.monotonicMs());
    return cancel;
  }

  /** Something reaches the process: now, when it goes on, or never. */
  deliver(callback: () => void): void {
    if (this.#state === "running") callback();
    else if (this.#state === "frozen") this.#waiting.push(callback);
  }

  stepWall(byMs: number): void {
    this.#wallOffsetMs += byMs;
  }

  /** `suspended`: the monotonic clock stands still as well, as in a suspended virtual machine. */
  freeze(isSuspended = false): void {
    if (this.#state !== "running") return;
    this.#state = "frozen";
    this.#frozenAtMs = this.#timeline.nowMs;
    this.#isSuspended = isSuspended;
    const last = this.#freezes.at(-1);
    const isGoingOn = last?.toMs === this.#frozenAtMs;
    this.#stillSinceMs = isGoingOn ? last.fromMs : this.#frozenAtMs;
    if (isGoingOn) this.#freezes.pop();
  }

  resume(): void {
    if (this.#state !== "frozen") return;
    this.#freezes.push({ fromMs: this.#stillSinceMs, toMs: this.#timeline.nowMs });
    if (this.#freezes.length > freezesKept) this.#freezes.shift();
    if (this.#isSuspended) this.#missedMs += this.#timeline.nowMs - this.#frozenAtMs;
    this.#isSuspended = false;
    this.#state = "running";
    for (const callback of this.#waiting.splice(0)) {
      this.#timeline.after(0, () => this.deliver(callback));
    }
  }

  /**
   * Length of the longest freeze that goes on or ended after `sinceMs` of virtual time. One that begins
   * at the very moment at which another ends continues it; any time between them, and they are two.
   */
  longestFreezeMs(sinceMs: number): number {
    const isFrozen = this.#state === "frozen";
    const lengths = this.#freezes
      .filter(({ toMs }) => toMs >= sinceMs)
      .map(({ fromMs, toMs }) => toMs - fromMs);
    return Math.max(0, isFrozen ? this.#timeline.nowMs - this.#stillSinceMs : 0, ...lengths);
  }

  /** SIGKILL: nothing of the process runs again. */
  kill(): void {
    this.#state = "gone";
    this.#waiting = [];
    for (const cancel of this.#cancels) cancel();
  }
}
