/**
 * A sleep that can be cut short: loops wait on it, hints and news poke it.
 *
 * A poke while the loop is busy is remembered, so that no news waits for a whole period.
 */
import type { Clock } from "../kernel/clock.ts";

/** For one waiter at a time. */
export class Pacer {
  readonly #clock: Clock;
  #isPoked = false;
  #wake: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Ends the present wait, or the next one. */
  poke(): void {
    this.#isPoked = true;
    this.#wake?.();
  }

  /** Resolves after `delayMs`, on a poke, or when the signal is aborted; leaves no timer. */
  async wait(delayMs: number, signal: AbortSignal): Promise<void> {
    if (!this.#isPoked && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const done = () => {
          cancel();
          signal.removeEventListener("abort", done);
          this.#wake = undefined;
          resolve();
        };
        const cancel = this.#clock.after(delayMs, done);
        signal.addEventListener("abort", done, { once: true });
        this.#wake = done;
      });
    }
    this.#isPoked = false;
  }
}
