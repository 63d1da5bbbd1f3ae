import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Pace, type PaceOptions } from "./pace.ts";
import { lanes, pools, type Pool } from "./queue.ts";

const options: PaceOptions = {
  pushesPerSecond: 100,
  inFlightMax: 20,
  suspectInFlightMax: 4,
  retryShareRatio: 0.1,
  sweepShareRatio: 0.1,
  rollbackReserveRatio: 0.1,
  lagHighMs: 100,
};
/** 50 ms worth of tokens. */
const burst = 5;

function flight(pool: Pool, startedMs = 0): Parameters<Pace["ended"]>[0] {
  return { pool, form: "full", startedMs };
}

/** Starts whatever is allowed, every 10 ms, and ends it at once. */
function startAll(pace: Pace, lane: (typeof lanes)[number], fromMs: number, toMs: number): number {
  let starts = 0;
  for (let atMs = fromMs; atMs <= toMs; atMs += 10) {
    while (pace.mayStart(lane, "steady", atMs)) {
      pace.started(lane, "steady");
      pace.ended(flight("steady"), 1);
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
            pace.ended(flight(pool, atMs), latencyMs);
            starts++;
          }
          pace.adapt(lagMs, atMs);
          expect(starts).toBeLessThanOrEqual((atMs * 100) / 1_000 + burst + 1e-6);
          expect(pace.inFlightLimit).toBeLessThanOrEqual(options.inFlightMax);
          expect(pace.rateLimit).toBeLessThanOrEqual(options.pushesPerSecond);
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

  it("takes fewer in flight and fewer a second while the event loop lags, and recovers", () => {
    const pace = new Pace({ ...options, pushesPerSecond: 4_000 }, 0);
    for (let round = 1; round <= 20; round++) pace.adapt(150, round * 500);
    expect(pace.inFlightLimit).toBe(4);
    expect(pace.rateLimit).toBe(1_000);
    const burstOf4000 = 200;
    const starts = () => startAll(pace, "change", 10_010, 20_000);
    expect(starts()).toBeLessThanOrEqual(1_000 * 10 + burstOf4000);
    for (let round = 1; round <= 40; round++) pace.adapt(0, 20_000 + round * 500);
    expect(pace.inFlightLimit).toBe(options.inFlightMax);
    expect(pace.rateLimit).toBe(4_000);
    expect(startAll(pace, "change", 40_010, 50_010)).toBeGreaterThanOrEqual(39_000);
  });

  it("takes fewer in flight when replies become slow", () => {
    const pace = new Pace({ ...options, pushesPerSecond: 10_000 }, 0);
    const limits: number[] = [];
    for (let atMs = 500; atMs <= 5_000; atMs += 500) {
      for (let push = 0; push < 18; push++) pace.started("change", "steady");
      const latencyMs = atMs <= 2_500 ? 1 : 400;
      for (let push = 0; push < 18; push++) pace.ended(flight("steady", atMs - 450), latencyMs);
      pace.adapt(0, atMs);
      limits.push(pace.inFlightLimit);
    }
    expect(limits.slice(0, 5)).toEqual([20, 20, 20, 20, 20]);
    expect(Math.min(...limits)).toBeCloseTo(18 * 0.6, 5);
  });

  it("gets its places back under load although the last ones are kept for rollbacks", () => {
    const pace = new Pace({ ...options, pushesPerSecond: 10_000 }, 0);
    for (let round = 1; round <= 20; round++) pace.adapt(150, round * 500);
    for (let atMs = 20_000; atMs <= 40_000; atMs += 500) {
      const started: Parameters<Pace["ended"]>[0][] = [];
      while (pace.mayStart("change", "steady", atMs)) {
        pace.started("change", "steady");
        started.push(flight("steady", atMs));
      }
      for (const each of started) pace.ended(each, 5);
      pace.adapt(0, atMs + 400);
    }
    expect(pace.inFlightLimit).toBe(options.inFlightMax);
  });

  it("is not slower than a tenth where both the node's doubt and its lag ask for it", () => {
    const pace = new Pace({ ...options, pushesPerSecond: 4_000 }, 0);
    for (let round = 1; round <= 20; round++) pace.adapt(150, round * 500);
    pace.setSlow(true, 10_000);
    expect(pace.rateLimit).toBe(400);
    pace.setSlow(false, 10_000);
    expect(pace.rateLimit).toBe(1_000);
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
