/**
 * Notices that this process was paused (stopped, swapped, starved, suspended), so that it does not
 * push on what it knew before. A pause ends with the next read that began after it was noticed.
 */

/** Values are monotonic milliseconds. */
export class PauseWatch {
  readonly #gapMaxMs: number;
  #lastTickMs: number | undefined;
  #pausedAtMs: number | undefined;

  /** A longer gap than `gapMaxMs` between two turns of the event loop is a pause. */
  constructor(gapMaxMs: number) {
    this.#gapMaxMs = gapMaxMs;
  }

  get isPaused(): boolean {
    return this.#pausedAtMs !== undefined;
  }

  /** True where a tick at `nowMs` would notice a pause. */
  isOverdue(nowMs: number): boolean {
    return nowMs - (this.#lastTickMs ?? nowMs) > this.#gapMaxMs;
  }

  /** Notes that the event loop turns now; returns the length of the pause that just ended, if any. */
  tick(nowMs: number): number | undefined {
    const gapMs = nowMs - (this.#lastTickMs ?? nowMs);
    this.#lastTickMs = nowMs;
    if (gapMs <= this.#gapMaxMs) return undefined;
    this.#pausedAtMs = nowMs;
    return gapMs;
  }

  /** A read that began at `startedAtMs` has finished, with success or not. */
  readFinished(startedAtMs: number): void {
    if (this.#pausedAtMs !== undefined && startedAtMs >= this.#pausedAtMs) {
      this.#pausedAtMs = undefined;
    }
  }
}
