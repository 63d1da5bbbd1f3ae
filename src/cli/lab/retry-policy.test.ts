import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  backoffRetries,
  hardenedRetries,
  naiveRetries,
  retryDelayMs,
  RetryBudget,
} from "./retry-policy.ts";

describe("retries", () => {
  it("come at once and three times with the naive client", () => {
    const delays = [1, 2, 3, 4].map((failed) => retryDelayMs(naiveRetries, failed, undefined, 0.9));
    expect(delays).toEqual([0, 0, 0, undefined]);
  });

  it("come after up to twice as long each with backoff", () => {
    const policy = backoffRetries(1_000);
    const delays = [1, 2, 3, 4].map((failed) => retryDelayMs(policy, failed, undefined, 0.5));
    expect(delays).toEqual([500, 1_000, 2_000, undefined]);
  });

  it("need a budget with the hardened client", () => {
    const policy = hardenedRetries(1_000);
    expect(retryDelayMs(policy, 1, undefined, 0.5)).toBeUndefined();
    expect(retryDelayMs(policy, 1, new RetryBudget(0.1, 0.9), 0.5)).toBeUndefined();
    expect(retryDelayMs(policy, 1, new RetryBudget(0.1, 1), 0.5)).toBe(500);
  });
});

describe("the retry budget", () => {
  it("allows one retry for ten first calls", () => {
    const budget = new RetryBudget(0.1, 0);
    for (let call = 0; call < 9; call++) budget.earn();
    expect(budget.spend()).toBe(false);
    budget.earn();
    expect(budget.spend()).toBe(true);
    expect(budget.spend()).toBe(false);
  });

  it("never allows more than a tenth of the first calls and the one saved", () => {
    fc.assert(
      fc.property(
        fc.array(fc.boolean(), { maxLength: 300 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (isCall, saved) => {
          const budget = new RetryBudget(0.1, saved);
          let calls = 0;
          let retries = 0;
          for (const earns of isCall) {
            if (earns) {
              calls++;
              budget.earn();
            } else if (budget.spend()) retries++;
          }
          expect(retries).toBeLessThanOrEqual(saved + calls / 10 + 1e-6);
        },
      ),
    );
  });
});
