import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Pace, type PaceOptions } from "./pace.ts";
import { lanes, pools } from "./queue.ts";

const options: PaceOptions = {
  pushesPerSecond: 100,
  inFlightMax: 20,
  suspectInFlightMax: 4,
  retryShareRatio: 0.1,
  sweepShareRatio: 0.1,
  rollbackReserveRatio: 0.1,
  lagHighMs: 100,
  latencyHighMs: 1_000,
};
/** 50 ms worth of tokens. */
const burst = 5;

/** Starts whatever is allowed, every 10 ms, and ends it at once. */
function startAll(pace: Pace, lane: (typeof lanes)[number], fromMs: number, toMs: number): number {
  let starts = 0;
  for (let atMs = fromMs; atMs <= toMs; atMs += 10) {
    while (pace.mayStart(lane, "steady", atMs)) {
      pace.started(lane, "steady");
      pace.ended("steady", 1);
      starts++;
    }
  }
  return starts;
}

describe("the pace", () => {
  it("never starts more than the configured pushes and a small burst, whatever is asked", () => {
    const step = fc.record({
      byMs: fc.nat(200),
      lane: fc.constantFrom(...lanes),
      pool: fc.constantFrom(...pools),
      lagMs: fc.nat(300),
      latencyMs: fc.nat(3_000),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        const pace = new Pace(options, 0);
        let atMs = 0;
        let starts = 0;
        for (const { byMs, lane, pool, lagMs, latencyMs } of steps) {
          atMs += byMs;
          while (pace.mayStart(lane, pool, atMs)) {
            pace.started(lane, pool);
            pace.ended(pool, latencyMs);
            starts++;
          }
          pace.adapt(lagMs);
          expect(starts).toBeLessThanOrEqual((atMs * 100) / 1_000 + burst + 1e-6);
          expect(pace.inFlightLimit).toBeLessThanOrEqual(options.inFlightMax);
        }
      }),
    );
  });

  it("reaches the configured pace", () => {
    expect(startAll(new Pace(options, 0), "change", 0, 10_000)).toBeGreaterThanOrEqual(995);
  });

  it("gives retries a tenth of the pace, also when nobody else wants it", () => {
    const starts = startAll(new Pace(options, 0), "retry", 0, 10_000);
    expect(starts).toBeGreaterThan(90);
    expect(starts).toBeLessThanOrEqual(101);
  });

  it("makes it a sweep's turn after ten changes, and again after ten more", () => {
    const pace = new Pace(options, 0);
    const turns: number[] = [];
    for (let start = 0; start < 33; start++) {
      if (pace.laneOrder.indexOf("sweep") < pace.laneOrder.indexOf("change")) {
        turns.push(start);
        pace.started("sweep", "steady");
      } else {
        pace.started("change", "steady");
        pace.passedSweeps();
      }
      expect(pace.laneOrder[0]).toBe("rollback");
    }
    expect(turns).toEqual([10, 21, 32]);
  });

  it("says when the next token comes", () => {
    const pace = new Pace(options, 0);
    for (let start = 0; start < burst; start++) pace.started("change", "steady");
    expect(pace.mayStart("change", "steady", 0)).toBe(false);
    const readyAtMs = pace.readyAtMs("change", "steady", 0);
    expect(readyAtMs).toBeCloseTo(10, 5);
    expect(pace.mayStart("change", "steady", (readyAtMs ?? 0) + 1e-6)).toBe(true);
  });

  it("gives suspects their own places and the steady none of theirs", () => {
    const pace = new Pace({ ...options, pushesPerSecond: 10_000 }, 0);
    for (let start = 0; start < 4; start++) pace.started("retry", "suspect");
    expect(pace.mayStart("change", "suspect", 0)).toBe(false);
    expect(pace.readyAtMs("change", "suspect", 0)).toBeUndefined();
    expect(pace.mayStart("change", "steady", 0)).toBe(true);
  });

  it("keeps the last places for rollbacks", () => {
    const pace = new Pace({ ...options, pushesPerSecond: 10_000 }, 0);
    for (let start = 0; start < 18; start++) pace.started("change", "steady");
    expect(pace.mayStart("change", "steady", 0)).toBe(false);
    expect(pace.mayStart("rollback", "steady", 0)).toBe(true);
    pace.started("rollback", "steady");
    pace.started("rollback", "steady");
    expect(pace.mayStart("rollback", "steady", 0)).toBe(false);
  });

  it.each([
    { what: "the event loop lags", lagMs: 150, latencyMs: 1 },
    { what: "replies become slow", lagMs: 0, latencyMs: 1_500 },
  ])("takes fewer in flight while $what, and recovers", ({ lagMs, latencyMs }) => {
    const pace = new Pace({ ...options, pushesPerSecond: 10_000 }, 0);
    for (let round = 0; round < 20; round++) {
      pace.started("change", "steady");
      pace.ended("steady", latencyMs);
      pace.adapt(lagMs);
    }
    expect(pace.inFlightLimit).toBe(4);
    for (let round = 0; round < 40; round++) pace.adapt(0);
    expect(pace.inFlightLimit).toBe(options.inFlightMax);
  });

  it("starts nothing during a pause and a tenth while slow", () => {
    const paused = new Pace(options, 0);
    paused.pause(5_000);
    expect(startAll(paused, "change", 0, 4_990)).toBe(0);
    expect(paused.readyAtMs("change", "steady", 0)).toBe(5_000);
    const slow = new Pace(options, 0);
    slow.setSlow(true, 0);
    expect(startAll(slow, "change", 0, 10_000)).toBeLessThanOrEqual(100 + burst);
    slow.setSlow(false, 10_000);
    expect(startAll(slow, "change", 10_010, 11_010)).toBeGreaterThan(95);
  });
});
