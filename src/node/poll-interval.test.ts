import * as fc from "fast-check";
import { expect, test } from "vitest";
import { nextPollMs, pollMaxMs } from "./poll-interval.ts";

const options = { pollsPerSecond: 500, pollMinMs: 10_000 };

test.each([
  [0, 10_000],
  [2_500, 10_000],
  [5_000, 20_000],
  [50_000, 200_000],
  [1_000_000, pollMaxMs],
])("%i pollers ask every %i ms on average", (pollersCount, meanMs) => {
  expect(nextPollMs(pollersCount, options, 0.5)).toBe(meanMs);
});

test("all pollers together stay within the budget, as long as the longest interval allows it", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 75_000 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (pollersCount, draw) => {
        const everyMs = nextPollMs(pollersCount, options, draw);
        expect((pollersCount / everyMs) * 1_000).toBeLessThan(300);
        expect(everyMs).toBeGreaterThanOrEqual(9_000);
      },
    ),
  );
});
