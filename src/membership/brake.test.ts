import { describe, expect, it } from "vitest";
import { brake, releasedBrake, type BrakeState } from "./brake.ts";

const holdMs = 25_000;
const togetherMs = 5_000;

/** Replays rounds `[atMs, silent, marked or gone]` over a view of slots a to `size`. */
function replay(size: number, rounds: readonly [number, string, string][]): number[] {
  const all = "abcdefghi".slice(0, size).split("");
  let state: BrakeState = releasedBrake;
  return rounds.map(([atMs, silent, gone]) => {
    const input = {
      silent: silent.split(""),
      unmarked: new Set(all.filter((slot) => !gone.includes(slot))),
      memberCount: size - gone.length,
    };
    const result = brake(state, input, { holdMs, togetherMs }, atMs);
    state = result.state;
    return result.allowance;
  });
}

describe("the brake", () => {
  it.each<[string, number, [number, string, string][], number[]]>([
    ["lets one of two go", 2, [[0, "a", ""]], [1]],
    ["lets one of three go", 3, [[0, "a", ""]], [1]],
    ["lets a third go", 9, [[0, "abc", ""]], [3]],
    [
      "holds two of three",
      3,
      [
        [0, "ab", ""],
        [24_999, "ab", ""],
      ],
      [0, 0],
    ],
    [
      "holds deaths of one moment that are noticed one after the other",
      5,
      [
        [0, "a", ""],
        [1_000, "b", "a"],
        [2_000, "bc", "a"],
        [26_000, "bc", "a"],
      ],
      [1, 0, 0, 1],
    ],
    [
      "lets one go after the other when they are further apart",
      5,
      [
        [0, "a", ""],
        [1_000, "", "a"],
        [6_000, "b", "a"],
      ],
      [1, 0, 1],
    ],
    [
      "forgets a member that came back by itself",
      3,
      [
        [0, "a", ""],
        [1_000, "", "a"],
        [2_000, "", ""],
        [3_000, "b", ""],
      ],
      [1, 0, 0, 1],
    ],
    [
      "lets the first step go after the hold",
      3,
      [
        [0, "ab", ""],
        [25_000, "ab", ""],
      ],
      [0, 1],
    ],
    [
      "counts what was evicted against the step",
      6,
      [
        [0, "abcd", ""],
        [25_000, "abcd", ""],
        [26_000, "cd", "ab"],
        [51_000, "cd", "ab"],
      ],
      [0, 2, 0, 2],
    ],
    [
      "keeps the step of a view that has shrunk to two",
      3,
      [
        [0, "ab", ""],
        [25_000, "ab", ""],
        [25_100, "b", "a"],
        [50_099, "b", "a"],
        [50_100, "b", "a"],
      ],
      [0, 1, 0, 0, 1],
    ],
    [
      "lets go when enough came back",
      5,
      [
        [0, "abc", ""],
        [1_000, "a", ""],
      ],
      [0, 1],
    ],
    [
      "starts a new hold for a new episode",
      5,
      [
        [0, "abc", ""],
        [1_000, "", ""],
        [30_000, "abc", ""],
      ],
      [0, 0, 0],
    ],
  ])("%s", (_, size, rounds, allowances) => {
    expect(replay(size, rounds)).toEqual(allowances);
  });
});
