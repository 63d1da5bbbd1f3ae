import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { membershipDefaults as options } from "./options.ts";
import { afterBreak, afterEviction, flapsKeptMax, isOnProbation, noFlaps } from "./probation.ts";

/** Probations after evictions at these beats of service, each served in full. */
function probationsOf(serviceBeats: readonly number[]): number[] {
  let beat = 0;
  let flaps = noFlaps;
  return serviceBeats.map((inService) => {
    beat += inService;
    flaps = afterEviction(flaps, "silent", beat, options);
    const waited = flaps.untilBeat - beat;
    beat = flaps.untilBeat;
    return waited;
  });
}

describe("probation (R14)", () => {
  it.each<[string, number[], number[]]>([
    ["none after one eviction", [0], [100]],
    ["none after two", [0, 0], [100, 15]],
    [
      "30 beats from the third, doubling to 300",
      [0, 0, 30, 60, 120, 240, 300, 300],
      [100, 15, 15, 15, 15, 15, 15, 15],
    ],
    ["none where evictions are far apart", [0, 0, 0, 0], [100, 301, 301, 301]],
    ["30 beats for the third within the window", [0, 0, 30], [100, 300, 300]],
    ["none again after long service", [0, 0, 30, 0], [10, 10, 10, 601]],
  ])("is %s", (_, expected, serviceBeats) => {
    expect(probationsOf(serviceBeats)).toEqual(expected);
  });

  it("begins at once after a stall, and doubles", () => {
    const once = afterEviction(noFlaps, "stalled", 50, options);
    expect(once.untilBeat).toBe(80);
    expect(afterEviction(once, "stalled", 100, options).untilBeat).toBe(160);
  });

  it("is the longest one after a command", () => {
    expect(afterEviction(noFlaps, "command", 10, options).untilBeat).toBe(310);
  });

  it("begins anew after a break, and is over when served", () => {
    const record = afterEviction(noFlaps, "stalled", 100, options);
    expect(isOnProbation({ beat: 129, flaps: record })).toBe(true);
    expect(isOnProbation({ beat: 130, flaps: record })).toBe(false);
    expect(afterBreak(record, 120).untilBeat).toBe(150);
    expect(afterBreak(record, 130)).toBe(record);
  });

  it("never ends earlier by a further eviction, and keeps a bounded record", () => {
    const step = fc.record({
      beats: fc.integer({ min: 0, max: 700 }),
      reason: fc.constantFrom("silent", "stalled", "command"),
      isBroken: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        let beat = 0;
        let flaps = noFlaps;
        for (const { beats, reason, isBroken } of steps) {
          beat += beats;
          const next = isBroken
            ? afterBreak(flaps, beat)
            : afterEviction(flaps, reason, beat, options);
          expect(next.untilBeat).toBeGreaterThanOrEqual(flaps.untilBeat);
          expect(next.untilBeat - beat).toBeLessThanOrEqual(options.probationBeatsMax);
          expect(next.evictedAtBeats.length).toBeLessThanOrEqual(flapsKeptMax);
          flaps = next;
        }
      }),
    );
  });
});
