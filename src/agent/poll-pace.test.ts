import * as fc from "fast-check";
import { expect, it, test } from "vitest";
import { PollPace, type PollResult } from "./poll-pace.ts";

const failed: PollResult = { kind: "failed" };
const answered = (nextPollMs?: number): PollResult => ({ kind: "answered", nextPollMs });

test.each<[string, PollResult, number]>([
  ["an answer that says when", answered(20_000), 20_000],
  ["an answer that does not", answered(), 60_000],
  ["an answer that says never", answered(1e9), 3_600_000],
  ["an answer that says at once", answered(0), 100],
  ["a refusal", { kind: "refused", nextPollMs: undefined }, 60_000],
  ["a node that is busy", { kind: "busy", retryAfterMs: 7_000 }, 7_000],
])("after %s the wait is what was said, and some jitter", (_name, result, waitMs) => {
  expect(new PollPace().waitMs(result, 0)).toBe(waitMs);
  expect(new PollPace().waitMs(result, 0.999)).toBeGreaterThan(waitMs);
  expect(new PollPace().waitMs(result, 0.999)).toBeLessThan(waitMs * 1.1 + 2_000);
});

it("backs off further with each failure in a row, up to the interval", () => {
  const pace = new PollPace();
  pace.waitMs(answered(10_000), 0.5);
  const busy: PollResult = { kind: "busy", retryAfterMs: 1_000 };
  const waits = Array.from({ length: 6 }, () => pace.waitMs(busy, 0.5));
  expect(waits).toEqual([2_000, 3_000, 5_000, 6_000, 6_000, 6_000]);
});

it("after an answer fails are counted from one again", () => {
  const pace = new PollPace();
  for (let count = 0; count < 5; count++) pace.waitMs({ kind: "busy", retryAfterMs: 0 }, 0.5);
  pace.waitMs(answered(10_000), 0.5);
  expect(pace.waitMs(failed, 0.5)).toBe(1_000);
});

it("without a budget for retries the next poll is the one that is due", () => {
  const pace = new PollPace();
  const waits = Array.from({ length: 8 }, () => pace.waitMs(failed, 0));
  expect(waits).toEqual([0, 0, 0, 60_000, 60_000, 60_000, 60_000, 60_000]);
});

it("retries add a tenth to the polls that are due, however many fail", () => {
  const result = fc.oneof(
    { weight: 3, arbitrary: fc.constant(failed) },
    { weight: 1, arbitrary: fc.constant(answered(10_000)) },
  );
  fc.assert(
    fc.property(
      fc.array(result, { maxLength: 400 }),
      fc.double({ min: 0, max: 0.09, noNaN: true }),
      (results, draw) => {
        const pace = new PollPace();
        pace.waitMs(answered(60_000), draw);
        let due = 1;
        let retries = 0;
        for (const each of results) {
          // A backoff is below 0.09 of the interval with these draws, a due wait above it.
          if (pace.waitMs(each, draw) < 9_000) retries += 1;
          else due += 1;
        }
        expect(retries).toBeLessThanOrEqual(3 + 0.1 * due + 1e-6);
      },
    ),
  );
});
