import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  initialDetector,
  isOverdue,
  isSilent,
  nextVerdictMs,
  observe,
  witnessRefusal,
  type DetectorState,
} from "./detector.ts";
import { membershipDefaults as options } from "./options.ts";

interface Read {
  readonly atMs: number;
  readonly key?: string;
  readonly tookMs?: number;
  readonly hasFailed?: boolean;
  readonly isOwnBeatHealthy?: boolean;
}

function replay(reads: readonly Read[], from: DetectorState = initialDetector): DetectorState {
  return reads.reduce(
    (state, { atMs, key = "1:1", tookMs = 10, hasFailed = false, isOwnBeatHealthy = true }) =>
      observe(
        state,
        {
          startedAtMs: atMs,
          finishedAtMs: atMs + tookMs,
          keys: hasFailed ? undefined : new Map([["x", key]]),
          isOwnBeatHealthy,
        },
        options,
      ),
    from,
  );
}

/** Reads of an unchanged beat, one a second, `override` replacing those of its times. */
function everySecond(count: number, override: readonly Read[] = []): Read[] {
  return Array.from({ length: count }, (_, index) => {
    const atMs = index * 1_000;
    return override.find((read) => read.atMs === atMs) ?? { atMs };
  });
}

const silentAfter = (reads: readonly Read[]) => isSilent(replay(reads).tracks.get("x"), options);

describe("the silence of a member that restarts (R10)", () => {
  const graceMs = 20_000;
  const after = (count: number) =>
    everySecond(count).reduce(
      (state, { atMs }) =>
        observe(
          state,
          {
            startedAtMs: atMs,
            finishedAtMs: atMs + 10,
            keys: new Map([["x", "1:1"]]),
            gracesMs: new Map([["x", graceMs]]),
            isOwnBeatHealthy: true,
          },
          options,
        ),
      initialDetector,
    );

  it.each([
    [false, 20],
    [true, 22],
  ])("is %s after %i reads, one a second", (expected, count) => {
    const state = after(count);
    expect(isSilent(state.tracks.get("x"), options)).toBe(expected);
    expect(isOverdue(state.tracks.get("x"), options)).toBe(false);
  });

  it("is not shortened by an address that refuses", () => {
    const state = witnessRefusal(after(10), "x", "1:1");
    expect(isSilent(state.tracks.get("x"), options)).toBe(false);
    expect(nextVerdictMs(after(10), 9_010, options)).toBe(graceMs - 9_000);
  });
});

describe("silence", () => {
  it.each<[string, boolean, Read[]]>([
    ["a slot seen for the first time", false, everySecond(1)],
    ["too few reads", false, [{ atMs: 0 }, { atMs: 1_500 }, { atMs: 3_400 }, { atMs: 5_300 }]],
    ["too little time", false, everySecond(6)],
    ["enough reads and time", true, everySecond(7)],
    ["a beat that moved last", false, everySecond(7, [{ atMs: 6_000, key: "1:2" }])],
    ["a beat that moved on the way", false, everySecond(9, [{ atMs: 3_000, key: "1:0" }])],
    ["one failed read", true, everySecond(8, [{ atMs: 3_000, hasFailed: true }])],
    [
      "two failed reads in a row, as in an outage",
      false,
      everySecond(9, [
        { atMs: 3_000, hasFailed: true },
        { atMs: 4_000, hasFailed: true },
      ]),
    ],
    ["a pause of the reader", false, [...everySecond(6), { atMs: 7_100 }, { atMs: 8_100 }]],
    ["slow reads", false, everySecond(12).map((read) => ({ ...read, tookMs: 1_001 }))],
    [
      "failed own beats",
      false,
      everySecond(12).map((read) => ({ ...read, isOwnBeatHealthy: false })),
    ],
  ])("after %s: %s", (_, expected, reads) => {
    expect(silentAfter(reads)).toBe(expected);
  });

  it("does not count reads that hints crowd between two beats", () => {
    const crowded = Array.from({ length: 51 }, (_, index) => ({ atMs: index * 100 }));
    expect(replay(crowded).tracks.get("x")?.reads).toBeLessThanOrEqual(10);
    expect(replay(crowded.slice(0, 20)).tracks.get("x")?.reads).toBeLessThanOrEqual(3);
  });

  it("always expires for a beat that stands still, however the reads fall (R2)", () => {
    const gaps = fc.array(fc.integer({ min: 500, max: 1_900 }), { minLength: 12, maxLength: 12 });
    fc.assert(
      fc.property(gaps, (steps) => {
        let atMs = 0;
        const reads = [0, ...steps].map((step) => ({ atMs: (atMs += step) }));
        expect(silentAfter(reads)).toBe(true);
      }),
    );
  });

  it("never meets a slot whose beat moves at least every 4 s", () => {
    const arbitrary = fc.array(
      fc.record({
        gapMs: fc.integer({ min: 50, max: 3_000 }),
        tookMs: fc.integer({ max: 2_000, min: 1 }),
      }),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(arbitrary, (steps) => {
        let state = initialDetector;
        let atMs = 0;
        for (const { gapMs, tookMs } of steps) {
          atMs += gapMs;
          const key = `1:${Math.floor(atMs / 4_000)}`;
          state = replay([{ atMs, tookMs, key }], state);
          expect(isSilent(state.tracks.get("x"), options)).toBe(false);
          atMs += tookMs;
        }
      }),
    );
  });

  it("forgets slots that are gone", () => {
    const state = replay(everySecond(3));
    const round = {
      startedAtMs: 3_000,
      finishedAtMs: 3_010,
      keys: new Map(),
      isOwnBeatHealthy: true,
    };
    expect(observe(state, round, options).tracks.size).toBe(0);
  });
});

describe("a refused connection", () => {
  it("makes a slot silent at once, for the same beat only", () => {
    const state = replay(everySecond(3));
    expect(isOverdue(state.tracks.get("x"), options)).toBe(true);
    expect(isSilent(witnessRefusal(state, "x", "1:1").tracks.get("x"), options)).toBe(true);
    expect(isSilent(witnessRefusal(state, "x", "1:2").tracks.get("x"), options)).toBe(false);
    expect(witnessRefusal(state, "y", "1:1")).toBe(state);
  });

  it("is void when the beat moves, and when the reader was paused", () => {
    const refused = witnessRefusal(replay(everySecond(3)), "x", "1:1");
    const moved = replay([{ atMs: 3_000, key: "1:2" }], refused);
    expect(isSilent(moved.tracks.get("x"), options)).toBe(false);
    expect(isSilent(replay([{ atMs: 9_000 }], refused).tracks.get("x"), options)).toBe(false);
    expect(isSilent(replay([{ atMs: 3_000 }], refused).tracks.get("x"), options)).toBe(true);
  });
});

describe("proof of life", () => {
  it("needs a write between two own reads", () => {
    expect(replay(everySecond(2)).tracks.get("x")?.isProven).toBe(false);
    const moved = replay(everySecond(2, [{ atMs: 1_000, key: "1:2" }]));
    expect(moved.tracks.get("x")?.isProven).toBe(true);
    expect(replay([{ atMs: 10_000, key: "1:2" }], moved).tracks.get("x")?.isProven).toBe(false);
  });
});

describe("the next verdict", () => {
  it("is due when the time runs out of the slot with enough reads", () => {
    expect(nextVerdictMs(replay(everySecond(4)), 3_000, options)).toBeUndefined();
    expect(nextVerdictMs(replay(everySecond(6)), 5_000, options)).toBe(10);
    expect(nextVerdictMs(replay(everySecond(7)), 6_000, options)).toBeUndefined();
  });
});
