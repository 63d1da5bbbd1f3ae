import { describe, expect, it } from "vitest";
import type { View } from "../ring/view.ts";
import { membershipDefaults as options } from "./options.ts";
import { buildSituation, builtVersion, type MemberSetting } from "./situation-builder.ts";
import { noLoss, planRaise } from "./view-recovery.ts";

const lost = { ...noLoss, reads: options.lossReadsMin };
const view = { generation: 1, version: builtVersion };
const restored = { restored: { view, fleetRevision: 5 } };
const both = [
  { slot: "a", ...restored },
  { slot: "b", ...restored },
] as const;

const planOf = (
  settings: readonly MemberSetting[],
  stored?: View,
  state = lost,
  hostGeneration = 0,
  atMs = 100_000,
) => planRaise(buildSituation(settings), stored, hostGeneration, state, options, atMs);

describe("the generation (R12)", () => {
  it.each<[string, MemberSetting[]]>([
    ["this node has not written back", [{ slot: "a" }, both[1]]],
    [
      "this node has not written back, though no view holds it",
      [{ slot: "a", inView: "absent" }, both[1]],
    ],
    ["another living member has not written back", [both[0], { slot: "b" }]],
    [
      "another wrote back for an earlier view only",
      [
        both[0],
        { slot: "b", restored: { view: { ...view, version: builtVersion - 1 }, fleetRevision: 5 } },
      ],
    ],
  ])("is not raised while %s, whatever its turn", (_, settings) => {
    const first = planOf(settings);
    const laterMs = 100_000 + 100 * options.rankDelayMs;
    const later = planOf(settings, undefined, first.state, 0, laterMs);
    expect([first.next, later.next]).toEqual([undefined, undefined]);
  });

  it("is not raised on fewer reads than agreed, nor twice in half a minute", () => {
    expect(planOf(both, undefined, { ...lost, reads: options.lossReadsMin - 1 }).next).toBe(
      undefined,
    );
    const first = planOf(both);
    expect(first.next?.generation).toBe(2);
    const again = { ...first.state, turn: undefined };
    expect(planOf(both, undefined, again, 0, 100_000 + options.raiseMinMs - 1).next).toBe(
      undefined,
    );
    expect(planOf(both, undefined, again, 0, 100_000 + options.raiseMinMs).next).toBeDefined();
  });

  it("does not wait for a member that is silent", () => {
    expect(planOf([both[0], { slot: "b", is: "silent" }]).next).toBeDefined();
  });

  it("goes above everything that anybody has seen, with the members and newest rules known", () => {
    const stored = { generation: 3, version: 40, members: [] };
    const seen = { viewSeen: { generation: 5, version: 1 } };
    const settings = [
      both[0],
      { slot: "b", restored: { view, fleetRevision: 9 } },
      { slot: "c", inView: "absent", ...seen } as const,
    ];
    expect(planOf(settings, stored, lost, 4).next).toMatchObject({
      generation: 6,
      version: 41,
      fleetRevisionMin: 9,
      members: [{ slot: "a" }, { slot: "b" }],
    });
    expect(planOf(settings, stored, lost, 8).next?.generation).toBe(9);
  });
});
