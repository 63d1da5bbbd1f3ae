/**
 * How a polling client tries again, as a value: three clients that people write.
 *
 * Naive: at once, up to three times. Backoff: as often, after exponential backoff with full jitter.
 * Hardened: the same, and only while its budget lasts, which a tenth of a retry is added to with each
 * first call; so retries are at most a tenth of the load, however much fails.
 * Source: "Timeouts, retries, and backoff with jitter", Amazon Builders' Library.
 */
export interface RetryPolicy {
  readonly retriesMax: number;
  /** Bound of the first delay, doubled with each; 0: at once. */
  readonly backoffBaseMs: number;
  readonly backoffMaxMs: number;
  /** Retries earned by a first call; undefined: no budget. */
  readonly budgetRatio: number | undefined;
}

export const naiveRetries: RetryPolicy = {
  retriesMax: 3,
  backoffBaseMs: 0,
  backoffMaxMs: 0,
  budgetRatio: undefined,
};

/** `timeoutMs` is the natural unit: a server that needs longer is not helped by asking sooner. */
export function backoffRetries(timeoutMs: number): RetryPolicy {
  return {
    retriesMax: 3,
    backoffBaseMs: timeoutMs,
    backoffMaxMs: 8 * timeoutMs,
    budgetRatio: undefined,
  };
}

export function hardenedRetries(timeoutMs: number): RetryPolicy {
  return { ...backoffRetries(timeoutMs), budgetRatio: 0.1 };
}

/** A client's retries to come: a bucket of at most one. */
export class RetryBudget {
  readonly #ratio: number;
  #saved: number;

  /** `saved`: 0..1, what it has at the start. */
  constructor(ratio: number, saved: number) {
    this.#ratio = ratio;
    this.#saved = saved;
  }

  /** A first call is made. */
  earn(): void {
    this.#saved = Math.min(1, this.#saved + this.#ratio);
  }

  /** True where a retry is allowed; it is paid with that. */
  spend(): boolean {
    // Ten tenths do not add up to a whole one in binary.
    if (this.#saved < 1 - 1e-9) return false;
    this.#saved -= 1;
    return true;
  }
}

/** Delay before the next try after `failedTries` failed ones; undefined: given up. `draw` is 0..1. */
export function retryDelayMs(
  policy: RetryPolicy,
  failedTries: number,
  budget: RetryBudget | undefined,
  draw: number,
): number | undefined {
  if (failedTries > policy.retriesMax) return undefined;
  if (policy.budgetRatio !== undefined && budget?.spend() !== true) return undefined;
  const bound = Math.min(policy.backoffMaxMs, policy.backoffBaseMs * 2 ** (failedTries - 1));
  return draw * bound;
}
