import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { limits } from "../protocol/limits.ts";
import { fold, initialFold } from "./fold.ts";
import { membershipDefaults as options } from "./options.ts";
import { buildSituation, builtVersion, type MemberSetting } from "./situation-builder.ts";
import type { Situation } from "./situation.ts";

/** Folds once to start the waits and once when they are over; ranks included. */
function settle(situation: Situation) {
  const first = fold(situation, initialFold, options, 0);
  if (first.proposal !== undefined) return first;
  const second = fold(situation, first.state, options, options.joinQuietMs);
  if (second.proposal !== undefined) return second;
  return fold(situation, second.state, options, options.joinQuietMs + 100 * options.rankDelayMs);
}

function nextOf(settings: readonly MemberSetting[]): string[] | undefined {
  const next = settle(buildSituation(settings)).proposal?.next;
  return next?.members.map(({ slot, incarnation, state }) => `${slot}${incarnation} ${state}`);
}

const joiner = { slot: "b", intent: "join", inView: "absent" } as const;

/** On probation up to its present beat, 10, and including it. */
const parked = { evictedAtBeats: [10], untilBeat: 11, beats: 30 };

describe("the next view", () => {
  it.each<[string, string[] | undefined, MemberSetting[]]>([
    ["none while nothing is due", undefined, [{ slot: "a" }, { slot: "b" }]],
    ["a joiner", ["a1 active", "b1 active"], [{ slot: "a" }, joiner]],
    ["itself, joining", ["a1 active"], [{ slot: "a", inView: "absent", is: "unproven" }]],
    ["no row left by the dead", undefined, [{ slot: "a" }, { ...joiner, is: "stale" }]],
    ["no row not seen to move", undefined, [{ slot: "a" }, { ...joiner, is: "unproven" }]],
    [
      "a member that restarts, as it is (R10)",
      undefined,
      [{ slot: "a" }, { slot: "b", intent: "restart", graceMs: 30_000 }],
    ],
    [
      "no slot that restarts and is in no view (R10)",
      undefined,
      [{ slot: "a" }, { ...joiner, intent: "restart", graceMs: 30_000 }],
    ],
    ["no joiner on probation (R14)", undefined, [{ slot: "a" }, { ...joiner, flaps: parked }]],
    [
      "a joiner whose probation is served (R14)",
      ["a1 active", "b1 active"],
      [{ slot: "a" }, { ...joiner, beat: 11, flaps: parked }],
    ],
    [
      "a joiner on probation where nobody else lives (R14)",
      ["b1 active", "c1 active"],
      [
        { slot: "b", inView: "absent", intent: "join", flaps: parked },
        { slot: "c", is: "silent" },
      ],
    ],
    [
      "no new life on probation of a slot that was evicted (R14)",
      ["a1 active"],
      [{ slot: "a" }, { slot: "b", incarnation: 2, viewIncarnation: 1, flaps: parked }],
    ],
    [
      "no member that was marked for a stall (R15)",
      ["a1 active"],
      [{ slot: "a" }, { slot: "b", evicting: "1:10", evictReason: "stalled" }],
    ],
    [
      "no member that was marked by command (R15)",
      ["a1 active"],
      [{ slot: "a" }, { slot: "b", evicting: "1:10", evictReason: "command" }],
    ],
    ["no silent joiner", undefined, [{ slot: "a" }, { ...joiner, is: "silent" }]],
    ["no marked joiner", undefined, [{ slot: "a" }, { ...joiner, evicting: "1:10" }]],
    ["no joiner that leaves again", undefined, [{ slot: "a" }, { ...joiner, intent: "leave" }]],
    [
      "a restarted slot under its new incarnation",
      ["a1 active", "b2 active"],
      [{ slot: "a" }, { slot: "b", incarnation: 2, viewIncarnation: 1 }],
    ],
    [
      "a slot restarted while it was leaving",
      ["a1 active", "b2 active"],
      [{ slot: "a" }, { slot: "b", incarnation: 2, viewIncarnation: 1, inView: "leaving" }],
    ],
    [
      "a leaver for as long as its successors place hosts differently (R5)",
      undefined,
      [
        { slot: "a" },
        { slot: "b", inView: "leaving", intent: "leave" },
        { slot: "c", placementHash: "other" },
      ],
    ],
    [
      "a leaver, still there but leaving",
      ["a1 active", "b1 leaving"],
      [{ slot: "a" }, { slot: "b", intent: "leave" }],
    ],
    [
      "no marked member",
      ["a1 active"],
      [{ slot: "a" }, { slot: "b", evicting: "1:10", is: "silent" }],
    ],
    [
      "a member whose mark is of another beat",
      undefined,
      [{ slot: "a" }, { slot: "b", evicting: "1:9" }],
    ],
    ["a silent member that nobody marked", undefined, [{ slot: "a" }, { slot: "b", is: "silent" }]],
    [
      "no leaver whose successors have the view",
      ["a1 active"],
      [{ slot: "a" }, { slot: "b", inView: "leaving", intent: "leave" }],
    ],
    [
      "a leaver whose successor has an older view",
      undefined,
      [
        { slot: "a", viewSeen: { generation: 1, version: builtVersion - 1 } },
        { slot: "b", inView: "leaving", intent: "leave" },
      ],
    ],
    [
      "a leaver whose successor has loaded nothing yet",
      undefined,
      [
        { slot: "a", viewSeen: null },
        { slot: "b", inView: "leaving", intent: "leave" },
      ],
    ],
    [
      "a leaver whose successor has restarted and not loaded",
      undefined,
      [
        { slot: "a" },
        { slot: "b", inView: "leaving", intent: "leave" },
        { slot: "c", incarnation: 2, viewIncarnation: 1, is: "stale" },
      ],
    ],
    ["nobody, when the last one leaves", [], [{ slot: "a", inView: "leaving", intent: "leave" }]],
    [
      "an eviction and a joiner in one",
      ["a1 active", "c1 active"],
      [
        { slot: "a" },
        { slot: "b", evicting: "1:10", is: "silent" },
        { slot: "c", intent: "join", inView: "absent" },
      ],
    ],
  ])("holds %s", (_, expected, settings) => {
    expect(nextOf(settings)).toEqual(expected);
  });

  it("never has more members than the limit", () => {
    const rows = Array.from({ length: limits.nodesMax + 3 }, (_, index) => ({
      slot: `n${String(index).padStart(3, "0")}`,
      inView: index < limits.nodesMax - 1 ? ("active" as const) : ("absent" as const),
    }));
    const next = settle(buildSituation(rows)).proposal?.next.members ?? [];
    expect(next).toHaveLength(limits.nodesMax);
    const full = rows
      .slice(0, limits.nodesMax)
      .map((row) => ({ ...row, inView: "active" as const }));
    expect(nextOf([...full, { slot: "z", inView: "absent" }])).toBeUndefined();
  });
});

describe("the quiet period", () => {
  const situation = buildSituation([{ slot: "a" }, joiner]);

  it("ends after the last newcomer", () => {
    const first = fold(situation, initialFold, options, 0);
    expect(first).toMatchObject({ proposal: undefined, waitMs: options.joinQuietMs });
    const more = buildSituation([{ slot: "a" }, joiner, { ...joiner, slot: "c" }]);
    const second = fold(more, first.state, options, 400);
    expect(second).toMatchObject({ proposal: undefined, waitMs: options.joinQuietMs });
    const third = fold(more, second.state, options, 400 + options.joinQuietMs);
    expect(third.proposal?.changes).toHaveLength(2);
  });

  it("ends at its maximum when newcomers keep coming", () => {
    let state = initialFold;
    for (let index = 0; ; index++) {
      const atMs = index * 400;
      const rows = Array.from({ length: index + 1 }, (_, n) => ({ ...joiner, slot: `j${n}` }));
      const result = fold(buildSituation([{ slot: "a" }, ...rows]), state, options, atMs);
      state = result.state;
      if (result.proposal === undefined) continue;
      expect(atMs).toBeGreaterThanOrEqual(options.joinQuietMaxMs);
      expect(atMs).toBeLessThan(options.joinQuietMaxMs + 400);
      break;
    }
  });

  it("is not lengthened by rows that the dead left behind", () => {
    const rows = [{ slot: "a" }, joiner, { ...joiner, slot: "c", is: "stale" as const }];
    const first = fold(buildSituation(rows), initialFold, options, 0);
    const second = fold(buildSituation(rows), first.state, options, options.joinQuietMs);
    expect(second.proposal?.changes).toEqual([{ slot: "b", reason: "join" }]);
  });

  it("waits for a row that may yet move", () => {
    const rows = [{ slot: "a" }, joiner, { ...joiner, slot: "c", is: "unproven" as const }];
    const first = fold(buildSituation(rows), initialFold, options, 0);
    const second = fold(buildSituation(rows), first.state, options, options.joinQuietMs);
    expect(second.proposal).toBeUndefined();
  });

  it("does not hold up an eviction", () => {
    const evicted = buildSituation([{ slot: "a" }, { slot: "b", evicting: "1:10", is: "silent" }]);
    expect(fold(evicted, initialFold, options, 0).proposal?.changes).toEqual([
      { slot: "b", reason: "evict" },
    ]);
  });
});

describe("every proposal", () => {
  const row = fc.record({
    is: fc.constantFrom("living", "silent", "unproven", "stale"),
    inView: fc.constantFrom("active", "leaving", "absent"),
    intent: fc.constantFrom("join", "run", "leave"),
    incarnation: fc.constantFrom(1, 2),
    viewIncarnation: fc.constantFrom(1, 2),
    evicting: fc.constantFrom(undefined, "1:10"),
    viewSeen: fc.constantFrom(null, { generation: 1, version: builtVersion }),
  });
  const rows = fc
    .array(row, { minLength: 1, maxLength: 6 })
    .map((list) => list.map((each, index) => ({ ...each, slot: "abcdef".charAt(index) })));

  it("raises the version by one, is sorted, changes something, and drops nobody unmarked", () => {
    fc.assert(
      fc.property(rows, (settings) => {
        const situation = buildSituation(settings);
        const next = settle(situation).proposal?.next;
        if (next === undefined) return;
        expect(next.version).toBe(situation.view.version + 1);
        const slots = next.members.map((member) => member.slot);
        expect(slots).toEqual([...new Set(slots)].toSorted());
        expect(next.members).not.toEqual(situation.view.members);
        const gone = situation.view.members.filter(({ slot }) => !slots.includes(slot));
        const unexplained = gone.filter(
          ({ slot, state }) =>
            situation.members.get(slot)?.evicting === undefined && state !== "leaving",
        );
        expect(unexplained).toEqual([]);
      }),
    );
  });

  it("is the same in whatever order members are listed", () => {
    fc.assert(
      fc.property(rows, (settings) => {
        const situation = buildSituation(settings);
        const reversed = {
          ...situation,
          members: new Map([...situation.members].toReversed()),
        };
        expect(settle(reversed).proposal).toEqual(settle(situation).proposal);
      }),
    );
  });
});
