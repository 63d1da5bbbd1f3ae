/**
 * When an agent polls next: as its node says while all is well, and without making an outage worse while
 * it is not.
 *
 * Polls that are due pay a tenth of a token each, and a retry costs a whole one: however many polls fail,
 * retries add a tenth to what the fleet sends. Without a token the next poll is the one that is due anyway.
 * A node that says when to come back has counted its callers: that wait is kept to, and costs nothing.
 * Source: "Timeouts, retries, and backoff with jitter" (Amazon Builders' Library).
 */

export type PollResult =
  /** `nextPollMs` as the node says; undefined: it did not. */
  | { readonly kind: "answered"; readonly nextPollMs: number | undefined }
  | { readonly kind: "busy"; readonly retryAfterMs: number }
  /** Nobody answered, or with what makes no sense. */
  | { readonly kind: "failed" }
  /** The node knows the host as one that may not poll, or does not know it. */
  | { readonly kind: "refused"; readonly nextPollMs: number | undefined };

const intervalDefaultMs = 60_000;
const intervalMinMs = 100;
const intervalMaxMs = 60 * 60_000;
const backoffMinMs = 1_000;
const tokensMax = 3;
const tokensPerPoll = 0.1;
/** Added at most, so that hosts that once asked together do not go on doing so. */
const jitterRatio = 0.1;

export class PollPace {
  #intervalMs = intervalDefaultMs;
  #tokens = tokensMax;
  #attempt = 0;
  #isRetry = false;

  /** Time to wait after a poll that ended so; `draw` in [0, 1). */
  waitMs(result: PollResult, draw: number): number {
    if (!this.#isRetry) this.#tokens = Math.min(tokensMax, this.#tokens + tokensPerPoll);
    this.#isRetry = false;
    if (result.kind === "answered" || result.kind === "refused") {
      this.#attempt = 0;
      if (result.nextPollMs !== undefined) {
        this.#intervalMs = Math.min(intervalMaxMs, Math.max(intervalMinMs, result.nextPollMs));
      }
      return this.#dueMs(draw);
    }
    this.#attempt += 1;
    const backoffMs =
      draw * Math.min(this.#intervalMs, backoffMinMs * 2 ** Math.min(this.#attempt, 16));
    if (result.kind === "busy") {
      this.#isRetry = true;
      return result.retryAfterMs + backoffMs;
    }
    // A sum of tenths falls short of one.
    if (this.#tokens < 1 - 1e-9) return this.#dueMs(draw);
    this.#tokens -= 1;
    this.#isRetry = true;
    return backoffMs;
  }

  #dueMs(draw: number): number {
    return this.#intervalMs * (1 + jitterRatio * draw);
  }
}
