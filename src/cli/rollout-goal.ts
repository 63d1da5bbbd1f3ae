/**
 * When a rollout has gone far enough: a pure decision over one reading of it.
 *
 * The denominator is the inventory. While a node does not answer, the counts lack its hosts, so a
 * share of them says nothing: the goal is then not reached, whatever the numbers are.
 */
import type { RolloutView } from "./api-shapes.ts";
import type { Goal } from "./parse-arguments.ts";

export type GoalVerdict =
  | { readonly kind: "reached"; readonly appliedCount: number; readonly neededCount: number }
  | { readonly kind: "waiting"; readonly appliedCount: number; readonly neededCount: number }
  /** The rollout was replaced or undone: its hosts get something else now. */
  | { readonly kind: "ended"; readonly state: string };

export function judgeGoal(rollout: RolloutView, goal: Goal): GoalVerdict {
  const { counts, missing = [], state } = rollout;
  const appliedCount = counts?.applied ?? 0;
  const neededCount =
    goal.kind === "count" ? goal.count : hostsOfShare(counts?.total ?? 0, goal.percent);
  if (counts !== undefined && missing.length === 0 && appliedCount >= neededCount) {
    return { kind: "reached", appliedCount, neededCount };
  }
  if (state === "superseded" || state === "undone") return { kind: "ended", state };
  return { kind: "waiting", appliedCount, neededCount };
}

/** Rounded up, so that 99.5% of 3 hosts are 3; the epsilon undoes binary rounding of the share. */
function hostsOfShare(totalCount: number, percent: number): number {
  return Math.ceil((totalCount * percent) / 100 - 1e-9);
}
