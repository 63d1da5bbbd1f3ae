import { expect, test } from "vitest";
import { member, refused, worked } from "./facts-fixture.ts";
import type { Facts, MemberFacts } from "./facts.ts";
import { missesOf, type Row } from "./row-fixture.ts";

const gauges = (name: string, value: number) => ({
  gauges: { ...worked, value: new Map([[`coxswain_${name}`, value]]) },
});

const second = (change: Partial<MemberFacts>, self = {}): Partial<Facts> => ({
  members: [member(1), member(2, change, self), member(3)],
});

const rows: readonly Row[] = [
  {
    of: "a store that a node does not reach",
    change: second(gauges("store_reachable", 0)),
    check: "alarms.store",
    verdict: "fail",
    seen: "node-2: cannot reach the store",
    advice: "docs/operations.md",
  },
  {
    of: "a table that went back",
    change: second(gauges("store_behind", 1)),
    check: "alarms.storeBehind",
    verdict: "fail",
    seen: "node-2",
    advice: "docs/operations.md",
  },
  {
    of: "mass silence",
    change: second(gauges("eviction_held", 1)),
    check: "alarms.evictionHeld",
    verdict: "fail",
    seen: "node-2: mass silence",
    advice: "docs/operations.md",
  },
  {
    of: "stalled members",
    change: second(gauges("members_stalled", 2)),
    check: "alarms.stalled",
    verdict: "fail",
    seen: "node-2",
    advice: "docs/operations.md",
  },
  {
    of: "a placement that differs",
    change: second(gauges("placement_mismatch", 1)),
    check: "alarms.placement",
    verdict: "fail",
    seen: "node-2",
    advice: "docs/operations.md",
  },
  {
    of: "a corrupt member row",
    change: second(gauges("member_items_corrupt", 1)),
    check: "alarms.memberItems",
    verdict: "fail",
    seen: "node-2",
    advice: "docs/operations.md",
  },
  {
    of: "a starved process",
    change: second(gauges("loop_lag_seconds", 0.6)),
    check: "alarms.loopLag",
    verdict: "warn",
    seen: "node-2",
    advice: "docs/operations.md",
  },
  {
    of: "metrics of nobody",
    change: { members: [member(1, { gauges: refused })] },
    check: "alarms.raised",
    verdict: "skipped",
    seen: "no node's metrics",
    advice: "api address",
  },
  {
    of: "a slot on probation",
    change: second({ state: "probation" }),
    check: "alarms.probation",
    verdict: "warn",
    seen: "node-2",
    advice: "docs/operations.md",
  },
  {
    of: "a slot within its grace",
    change: second({ state: "restarting", self: refused, fleet: refused }),
    check: "alarms.restarting",
    verdict: "warn",
    seen: "node-2",
    advice: "grace",
  },
  {
    of: "a state of a later version",
    change: second({ state: "resting" }),
    check: "alarms.resting",
    verdict: "warn",
    seen: "node-2",
    advice: "coxswain members",
  },
];

test.each(rows)("$check is $verdict with $of", (row) => {
  expect(missesOf(row)).toEqual([]);
});
