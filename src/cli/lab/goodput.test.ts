import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bucketMs, meanPerSecond, movingSeconds, recoveryOf } from "./goodput.ts";

const perBucket = (perSecond: number) => (perSecond * bucketMs) / 1_000;
const seconds = (count: number, perSecond: number) =>
  Array.from({ length: (count * 1_000) / bucketMs }, () => perBucket(perSecond));

describe("means", () => {
  it("counts whole buckets of the window only", () => {
    expect(meanPerSecond([1, 2, 3, 100], 250, 750)).toBe(10);
    expect(meanPerSecond([1, 2, 3, 100], 200, 800)).toBe(10);
  });

  it("is nothing where there is no whole bucket", () => {
    expect(meanPerSecond([], 0, 1_000)).toBe(0);
    expect(meanPerSecond([5, 5], 250, 400)).toBe(0);
  });

  it("gives a moving second for each bucket that begins a whole one", () => {
    expect(movingSeconds([1, 2, 3, 4, 5])).toEqual([10, 14]);
    expect(movingSeconds([1, 2, 3])).toEqual([]);
  });
});

describe("recovery", () => {
  const window = { settledMs: 1_000, fromMs: 2_000, untilMs: 4_000 };
  const before = seconds(2, 100);

  it("tells what was before, the worst second, and when it was over", () => {
    const good = [...before, ...seconds(2, 0), ...seconds(1, 40), ...seconds(3, 100)];
    expect(recoveryOf(good, window)).toEqual({
      beforePerSecond: 100,
      lowestPerSecond: 0,
      recoveredAfterMs: 1_000,
      observedMs: 4_000,
    });
  });

  it("is at once where the first second after the trigger is as good", () => {
    const good = [...before, ...seconds(2, 0), ...seconds(3, 95)];
    expect(recoveryOf(good, window).recoveredAfterMs).toBe(0);
  });

  it("does not believe one good second alone", () => {
    const good = [...before, ...seconds(2, 0), ...seconds(1, 100), ...seconds(3, 0)];
    expect(recoveryOf(good, window).recoveredAfterMs).toBeUndefined();
  });

  it("says nothing of what it could not see", () => {
    const good = [...before, ...seconds(2, 0), ...seconds(3, 60)];
    expect(recoveryOf(good, window).recoveredAfterMs).toBeUndefined();
    expect(recoveryOf([...before, ...seconds(2, 100)], window).recoveredAfterMs).toBeUndefined();
  });

  it("never calls a shape recovered that delivered nothing before", () => {
    expect(recoveryOf(seconds(8, 0), window).recoveredAfterMs).toBeUndefined();
  });

  it("never finds a worst second above what was there all the time", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 500 }), { minLength: 20 }), (good) => {
        const { lowestPerSecond } = recoveryOf(good, window);
        for (const second of movingSeconds(good).slice(8)) {
          expect(lowestPerSecond).toBeLessThanOrEqual(second);
        }
      }),
    );
  });
});
