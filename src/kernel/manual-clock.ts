/**
 * A clock that moves only when told to: unit tests and the simulator run on it.
 *
 * Timers fire in the total order (due time, creation), one at a time; between two timers the
 * event loop is given a macrotask turn, so that every promise chain a timer started has settled
 * before the next one fires. That makes a run a function of its inputs alone.
 */
import { sleepWith, type Clock } from "./clock.ts";

interface Timer {
  readonly dueMs: number;
  readonly sequence: number;
  readonly callback: () => void;
}

/** A virtual Clock; `advance` runs the timers that fall due on the way. */
export class ManualClock implements Clock {
  #nowMs = 0;
  #sequence = 0;
  readonly #timers = new Set<Timer>();
  readonly #wallOffsetMs: number;

  constructor(wallOffsetMs = 1_700_000_000_000) {
    this.#wallOffsetMs = wallOffsetMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#nowMs + this.#wallOffsetMs;
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return sleepWith(this, delayMs, signal);
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = {
      dueMs: this.#nowMs + Math.max(0, delayMs),
      sequence: this.#sequence++,
      callback,
    };
    this.#timers.add(timer);
    return () => {
      this.#timers.delete(timer);
    };
  }

  /** Timers not yet fired or cancelled. A test that ends with timers left has a leak. */
  get timerCount(): number {
    return this.#timers.size;
  }

  /** Moves time forward by `deltaMs`, firing due timers in order and draining promises between. */
  async advance(deltaMs: number): Promise<void> {
    const endMs = this.#nowMs + deltaMs;
    await settle();
    for (;;) {
      const next = this.#next();
      if (next === undefined || next.dueMs > endMs) break;
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      this.#timers.delete(next);
      next.callback();
      await settle();
    }
    this.#nowMs = endMs;
  }

  #next(): Timer | undefined {
    let best: Timer | undefined;
    for (const timer of this.#timers) {
      if (
        best === undefined ||
        timer.dueMs < best.dueMs ||
        (timer.dueMs === best.dueMs && timer.sequence < best.sequence)
      ) {
        best = timer;
      }
    }
    return best;
  }
}

/** Lets every promise chain that is already runnable settle (one macrotask turn). */
function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
