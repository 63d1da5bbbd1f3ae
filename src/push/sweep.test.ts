import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { HostId } from "../inventory/host.ts";
import { nextSweepMs } from "./sweep.ts";

describe("nextSweepMs", () => {
  it("is later than now by at most one interval, and one interval after itself", () => {
    fc.assert(
      fc.property(
        fc.string(),
        fc.nat(1e9),
        fc.integer({ min: 100, max: 1e6 }),
        (id, atMs, interval) => {
          const dueMs = nextSweepMs(id as HostId, atMs, interval);
          expect(dueMs).toBeGreaterThan(atMs);
          expect(dueMs - atMs).toBeLessThanOrEqual(interval + 1e-6);
          expect(nextSweepMs(id as HostId, dueMs + 1e-6, interval) - dueMs).toBeCloseTo(
            interval,
            3,
          );
        },
      ),
    );
  });

  it("spreads hosts with similar ids evenly", () => {
    const tenths = Array<number>(10).fill(0);
    for (let index = 0; index < 10_000; index++) {
      const tenth = Math.floor(nextSweepMs(`host-${index}` as HostId, 0, 1_000) / 100) % 10;
      tenths[tenth] = (tenths[tenth] ?? 0) + 1;
    }
    expect(Math.min(...tenths)).toBeGreaterThan(850);
    expect(Math.max(...tenths)).toBeLessThan(1_150);
  });
});
