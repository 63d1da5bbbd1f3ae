import { expect, test } from "vitest";
import type { RolloutView } from "./api-shapes.ts";
import { parseGoal } from "./parse-arguments.ts";
import { judgeGoal } from "./rollout-goal.ts";

function rollout(applied: number, total: number, more: Partial<RolloutView> = {}): RolloutView {
  return {
    id: "r-1",
    config: "a.conf",
    digest: null,
    selector: "",
    state: "running",
    author: "jo",
    at: "2026-11-23T06:00:00.000Z",
    counts: { total, applied, pending: total - applied, rejected: 0, unreachable: 0, neverSeen: 0 },
    missing: [],
    ...more,
  };
}

test.each([
  { goal: "100%", applied: 199, total: 200, kind: "waiting" },
  { goal: "100%", applied: 200, total: 200, kind: "reached" },
  { goal: "99.5%", applied: 198, total: 200, kind: "waiting" },
  { goal: "99.5%", applied: 199, total: 200, kind: "reached" },
  { goal: "99.5%", applied: 2, total: 3, kind: "waiting" },
  { goal: "29%", applied: 29, total: 100, kind: "reached" },
  { goal: "0%", applied: 0, total: 3, kind: "reached" },
  { goal: "100%", applied: 0, total: 0, kind: "reached" },
  { goal: "3", applied: 3, total: 200, kind: "reached" },
  { goal: "4", applied: 3, total: 3, kind: "waiting" },
])("$applied of $total hosts for $goal: $kind", ({ goal, applied, total, kind }) => {
  expect(judgeGoal(rollout(applied, total), parseGoal(goal)).kind).toBe(kind);
});

test("a share of incomplete counts is never reached", () => {
  const partial = rollout(100, 100, { missing: ["node-2"] });
  expect(judgeGoal(partial, parseGoal("50%")).kind).toBe("waiting");
  const { counts: _counts, ...uncounted } = rollout(0, 0);
  expect(judgeGoal(uncounted, parseGoal("0%")).kind).toBe("waiting");
});

test("a rollout that was replaced ends the wait unless it got there", () => {
  const goal = parseGoal("100%");
  expect(judgeGoal(rollout(1, 2, { state: "superseded" }), goal)).toEqual({
    kind: "ended",
    state: "superseded",
  });
  expect(judgeGoal(rollout(2, 2, { state: "superseded" }), goal).kind).toBe("reached");
});
