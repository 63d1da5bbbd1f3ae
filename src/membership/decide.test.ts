import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { releasedBrake } from "./brake.ts";
import { judge, type JudgeState } from "./decide.ts";
import { membershipDefaults as options } from "./options.ts";
import { buildSituation, type MemberSetting } from "./situation-builder.ts";
import type { Situation } from "./situation.ts";

const initial: JudgeState = { brake: releasedBrake, turn: undefined };
const verdictOf = (situation: Situation) => judge(situation, initial, options, 0);
const marksOf = (settings: readonly MemberSetting[], isTrusted = true) =>
  verdictOf(buildSituation(settings, isTrusted)).marks.map(({ slot }) => slot);

const agreeing = { slot: "b", suspects: { c: "1:10" } };
const dead = { slot: "c", is: "silent" } as const;
const stalled = { slot: "c", queued: 3, stalledBeats: options.stallBeats } as const;

describe("a mark", () => {
  it.each<[string, string[], MemberSetting[]]>([
    ["nobody while everyone beats", [], [{ slot: "a" }, { slot: "b" }, { slot: "c" }]],
    ["nobody on one vote of three", [], [{ slot: "a" }, { slot: "b" }, dead]],
    ["the silent one on two votes", ["c"], [{ slot: "a" }, agreeing, dead]],
    [
      "the refused one on two votes",
      ["c"],
      [{ slot: "a" }, agreeing, { slot: "c", is: "refused" }],
    ],
    ["the other one in a view of two", ["b"], [{ slot: "a" }, { slot: "b", is: "silent" }]],
    [
      "nobody on a vote for another beat",
      [],
      [{ slot: "a" }, { slot: "b", suspects: { c: "1:9" } }, dead],
    ],
    [
      "nobody on the vote of a silent member alone",
      [],
      [
        { slot: "a" },
        { ...agreeing, is: "silent" },
        dead,
        { slot: "d" },
        { slot: "e" },
        { slot: "f" },
      ],
    ],
    ["nobody whom only others hold silent", [], [{ slot: "a" }, agreeing, { slot: "c" }]],
    ["nobody twice", [], [{ slot: "a" }, agreeing, { ...dead, evicting: "1:10" }]],
    [
      "a member whose item is gone",
      ["c"],
      [{ slot: "a" }, { slot: "b", suspects: { c: "absent" } }, { ...dead, hasItem: false }],
    ],
    [
      "a leaving member that died",
      ["c"],
      [{ slot: "a" }, agreeing, { ...dead, inView: "leaving" }],
    ],
    [
      "the silent one on one vote where the only other member restarts (R10)",
      ["c"],
      [{ slot: "a" }, { slot: "b", intent: "restart", graceMs: 30_000 }, dead],
    ],
    ["a member that stalls (R15)", ["c"], [{ slot: "a" }, { slot: "b" }, stalled]],
    [
      "nobody who stalled a beat less (R15)",
      [],
      [{ slot: "a" }, { slot: "b" }, { ...stalled, stalledBeats: options.stallBeats - 1 }],
    ],
    ["the other one of two that stalls (R15)", ["c"], [{ slot: "a" }, stalled]],
    ["nobody while an observer stalls too (R15)", [], [{ ...stalled, slot: "a" }, stalled]],
    [
      "nobody while more than a third stalls, or is half way (R15)",
      [],
      [{ slot: "a" }, { ...stalled, slot: "b", stalledBeats: options.stallBeats / 2 + 1 }, stalled],
    ],
    [
      "nobody who stalls by an observer that stalls too (R15)",
      [],
      [
        { ...stalled, slot: "a" },
        { slot: "b" },
        stalled,
        { slot: "d" },
        { slot: "e" },
        { slot: "f" },
      ],
    ],
    [
      "nobody who stalled in an earlier life (R15)",
      [],
      [{ slot: "a" }, { slot: "b" }, { ...stalled, incarnation: 2, viewIncarnation: 1 }],
    ],
    ["nobody outside the view", [], [{ slot: "a" }, agreeing, { ...dead, inView: "absent" }]],
    [
      "nobody by an observer outside the view",
      [],
      [{ slot: "a", inView: "absent" }, agreeing, dead],
    ],
    [
      "nobody by an observer whom another suspects at its present beat",
      [],
      [{ slot: "a" }, { slot: "b", suspects: { c: "1:10", a: "1:10" } }, dead],
    ],
    [
      "the silent one by an observer whom another suspected at an older beat",
      ["c"],
      [{ slot: "a" }, { slot: "b", suspects: { c: "1:10", a: "1:9" } }, dead],
    ],
    ["nobody by an observer that is marked", [], [{ slot: "a", evicting: "1:10" }, agreeing, dead]],
    [
      "nobody when more than a third is silent",
      [],
      [
        { slot: "a" },
        { slot: "b", suspects: { c: "1:10", d: "1:10" } },
        dead,
        { slot: "d", is: "silent" },
      ],
    ],
  ])("meets %s", (_, expected, settings) => {
    expect(marksOf(settings)).toEqual(expected);
  });

  it("meets nobody who stalls where only a leaver works, whatever its turn (R15)", () => {
    const situation = buildSituation([{ slot: "a", inView: "leaving" }, stalled]);
    const first = judge(situation, initial, options, 0);
    const later = judge(situation, first.state, options, 100 * options.rankDelayMs);
    expect([first.stalled, first.marks, later.marks]).toEqual([["c"], [], []]);
  });

  it("is not set by an observer that does not trust its own round", () => {
    expect(marksOf([{ slot: "a" }, agreeing, dead], false)).toEqual([]);
  });

  it("is not set on a member whose row cannot be read", () => {
    const situation = buildSituation([{ slot: "a" }, { slot: "b" }, dead]);
    expect(verdictOf({ ...situation, corrupt: new Set(["c"]) })).toMatchObject({
      marks: [],
      suspects: {},
    });
  });

  it("waits for the members before it in rank, from the moment it became possible", () => {
    const situation = {
      ...buildSituation([{ slot: "b" }, { slot: "a", suspects: { c: "1:10" } }, dead]),
    };
    const first = judge(situation, initial, options, 1_000);
    expect(first).toMatchObject({ marks: [], waitMs: options.rankDelayMs });
    const later = judge(situation, first.state, options, 1_000 + options.rankDelayMs);
    expect(later.marks.map(({ slot }) => slot)).toEqual(["c"]);
  });
});

describe("a vote", () => {
  it("is published with the beat seen, before others agree", () => {
    expect(verdictOf(buildSituation([{ slot: "a" }, { slot: "b" }, dead])).suspects).toEqual({
      c: "1:10",
    });
  });

  it("is published even while the brake holds", () => {
    const situation = buildSituation([{ slot: "a" }, { slot: "b", is: "silent" }, dead]);
    expect(verdictOf(situation)).toMatchObject({
      suspects: { b: "1:10", c: "1:10" },
      isHeld: true,
    });
  });
});

describe("a probe", () => {
  it.each<[string, string[], MemberSetting[]]>([
    [
      "a member that missed beats",
      ["c"],
      [{ slot: "a" }, { slot: "b" }, { slot: "c", is: "overdue" }],
    ],
    [
      "a member that another suspects at this beat",
      ["c"],
      [{ slot: "a" }, agreeing, { slot: "c" }],
    ],
    [
      "nobody whom another suspected at an older beat",
      [],
      [{ slot: "a" }, { slot: "b", suspects: { c: "1:9" } }, { slot: "c" }],
    ],
    ["nobody whose refusal is known", [], [{ slot: "a" }, agreeing, { slot: "c", is: "refused" }]],
  ])("asks %s", (_, expected, settings) => {
    const { probes } = verdictOf(buildSituation(settings));
    expect(probes.map(({ slot }) => slot)).toEqual(expected);
  });
});

describe("every verdict", () => {
  const setting = fc.record({
    is: fc.constantFrom("living", "silent", "overdue", "refused"),
    inView: fc.constantFrom("active", "active", "leaving", "absent"),
    suspected: fc.subarray(["a", "b", "c", "d", "e", "f"]),
  });
  const settings = fc.array(setting, { minLength: 1, maxLength: 6 }).map((rows) =>
    rows.map(({ suspected, ...row }, index) => ({
      ...row,
      slot: "abcdef".charAt(index),
      suspects: Object.fromEntries(suspected.map((slot) => [slot, "1:10"])),
    })),
  );

  it("is the same in whatever order members are listed", () => {
    fc.assert(
      fc.property(settings, (rows) => {
        const situation = buildSituation(rows);
        const reversed: Situation = {
          ...situation,
          view: { ...situation.view, members: situation.view.members.toReversed() },
          members: new Map([...situation.members].toReversed()),
          detector: {
            ...situation.detector,
            tracks: new Map([...situation.detector.tracks].toReversed()),
          },
        };
        expect(verdictOf(reversed)).toEqual(verdictOf(situation));
      }),
    );
  });

  it("never marks a member whose beat moved, nor itself, nor more than the brake allows", () => {
    fc.assert(
      fc.property(settings, (rows) => {
        const situation = buildSituation(rows);
        const { marks } = verdictOf(situation);
        for (const { slot } of marks) {
          expect(slot).not.toBe("a");
          expect(rows.find((row) => row.slot === slot)?.is).toMatch(/^(silent|refused)$/);
        }
        const third = Math.max(1, Math.floor(situation.view.members.length / 3));
        expect(marks.length).toBeLessThanOrEqual(third);
      }),
    );
  });
});
