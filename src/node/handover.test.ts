import { describe, expect, test } from "vitest";
import type { MemberReport } from "../membership/member.ts";
import { isOutvoted, successorOf } from "./handover.ts";
import { snapshotOf } from "./node-fixture.ts";

const view = { generation: 1, version: 2, members: [] };
const reportOf = (
  version: number,
  placementHash: string | null,
  more: Partial<MemberReport> = {},
) =>
  ({
    incarnation: 1,
    intent: "run",
    viewSeen: { generation: 1, version },
    placementHash,
    ...more,
  }) as MemberReport;

describe("a successor", () => {
  test.each([
    ["loading", "without a report", undefined],
    ["loading", "that has an older view", reportOf(1, "own")],
    ["loaded", "that has this view", reportOf(2, "own")],
    ["loaded", "that has a newer view, placed as it may be", reportOf(3, "other")],
    ["cannot", "that places this view differently (R5)", reportOf(2, "other")],
    ["cannot", "that is away for a restart (R10)", reportOf(2, "own", { intent: "restart" })],
  ])("is %s %s", (expected, _, report) => {
    expect(successorOf(report, view, "own")).toBe(expected);
  });
});

describe("a node (R5)", () => {
  const slots = ["a", "b", "c", "d"];
  /** What b, c and d report. */
  const votes = (...hashes: (string | null)[]) => {
    const snapshot = snapshotOf(2, slots);
    const members = new Map(hashes.map((hash, index) => ["bcd".charAt(index), reportOf(2, hash)]));
    return { ...snapshot, members };
  };

  test.each<[boolean | undefined, string, (string | null)[]]>([
    [undefined, "while nobody has reported", []],
    [undefined, "while nobody has placed it", [null]],
    [false, "where one agrees", ["own"]],
    [true, "where one differs and nobody agrees", ["other"]],
    [false, "where more agree than differ", ["own", "other"]],
    [true, "where as many differ", ["own", "other", "other"]],
    [true, "where all differ", ["other", "other", "other"]],
    [false, "where the others differ among themselves", ["own", "x", "y"]],
  ])("is outvoted: %s %s", (expected, _, hashes) => {
    const snapshot = votes(...hashes);
    expect(isOutvoted(snapshot, snapshot.view, "own")).toBe(expected);
  });

  test("is not outvoted by the silent, by earlier lives, or by reports of other views", () => {
    const { view: own, ...rest } = votes("other", "other", "other");
    const silent = { ...rest, view: own, silentSlots: new Set(["b", "c", "d"]) };
    expect(isOutvoted(silent, own, "own")).toBe(false);
    const others = new Map([
      ["b", reportOf(2, "other", { incarnation: 7 })],
      ["c", reportOf(1, "other")],
    ]);
    expect(isOutvoted({ ...rest, view: own, members: others }, own, "own")).toBeUndefined();
  });
});
