/**
 * Verdicts about what nodes report of themselves: the alarms of docs/operations.md, by their metrics,
 * and members in a state that somebody should know of.
 */
import type { MemberFacts } from "./facts.ts";
import { findingsOf, listed, type Finding } from "./finding.ts";

const finding = findingsOf("alarms");

interface Alarm {
  readonly check: string;
  readonly metric: string;
  readonly isRaised: (value: number) => boolean;
  readonly verdict: "warn" | "fail";
  readonly seen: string;
  readonly advice: string;
}

const section = 'docs/operations.md, "Watch"';
const isAbove = (limit: number) => (value: number) => value > limit;

/** One row an alarm; a test proves that each is in docs/operations.md. */
export const alarms: readonly Alarm[] = [
  {
    check: "alarms.store",
    metric: "coxswain_store_reachable",
    isRaised: (value) => value === 0,
    verdict: "fail",
    seen: "cannot reach the store",
    advice: `Look at the table, its throttling, the network and the rights of that node: ${section}.`,
  },
  {
    check: "alarms.storeBehind",
    metric: "coxswain_store_behind",
    isRaised: isAbove(0),
    verdict: "fail",
    seen: "the table was emptied or rolled back",
    advice: `Nodes write back what they know, within seconds; if it stays: ${section}.`,
  },
  {
    check: "alarms.evictionHeld",
    metric: "coxswain_eviction_held",
    isRaised: isAbove(0),
    verdict: "fail",
    seen: "mass silence: evictions are held",
    advice: `Look for what the silent members share (network, store) before you evict anybody: ${section}.`,
  },
  {
    check: "alarms.stalled",
    metric: "coxswain_members_stalled",
    isRaised: isAbove(0),
    verdict: "fail",
    seen: "members beat and finish no push",
    advice: `Look at those members' way to their hosts and their open files: ${section}.`,
  },
  {
    check: "alarms.placement",
    metric: "coxswain_placement_mismatch",
    isRaised: isAbove(0),
    verdict: "fail",
    seen: "members compute other owners",
    advice: `Stop the upgrade and report it: ${section}.`,
  },
  {
    check: "alarms.memberItems",
    metric: "coxswain_member_items_corrupt",
    isRaised: isAbove(0),
    verdict: "fail",
    seen: "member rows that cannot be read",
    advice: `The node's log names the slot: ${section}.`,
  },
  {
    check: "alarms.loopLag",
    metric: "coxswain_loop_lag_seconds",
    isRaised: isAbove(0.5),
    verdict: "warn",
    seen: "the process is starved (event loop more than 0.5 s late)",
    advice: `Give it CPU or lower --pushes-per-second: ${section}.`,
  },
];

export function diagnoseAlarms(members: readonly MemberFacts[]): Finding[] {
  if (members.length === 0) return [];
  const asked = members.flatMap(({ slot, gauges }) =>
    gauges.kind === "answered" ? [{ slot, gauges: gauges.value }] : [],
  );
  const raised = alarms.flatMap(({ check, metric, isRaised, verdict, seen, advice }) => {
    const slots = asked
      .filter(({ gauges }) => isRaised(gauges.get(metric) ?? Number.NaN))
      .map(({ slot }) => slot);
    return slots.length === 0 ? [] : [finding(verdict, check, `${listed(slots)}: ${seen}`, advice)];
  });
  const states = stateFindings(members);
  if (asked.length === 0) {
    const reasons = members.map(
      ({ slot, gauges }) => `${slot} (${gauges.kind === "failed" ? gauges.reason : "not asked"})`,
    );
    const seen = `no node's metrics could be read: ${listed(reasons)}`;
    const advice = "Needs a node that answers on its api address.";
    return [finding("skipped", "alarms.raised", seen, advice), ...states];
  }
  if (raised.length > 0 || states.length > 0) return [...raised, ...states];
  const count = asked.length === 1 ? "1 node" : `${asked.length} nodes`;
  return [finding("ok", "alarms.raised", `none is raised on ${count}`, "")];
}

const stateAdvice: Readonly<Record<string, string>> = {
  restarting: "It said that it comes back: start it before its grace is over.",
  probation:
    'It came and went too often, or was evicted by hand: docs/operations.md, "A node comes and goes".',
  joining: "Normal for seconds. If it stays, look at that node's log.",
  leaving: "Normal while it drains, at most its drainTimeout.",
};

function stateFindings(members: readonly MemberFacts[]): Finding[] {
  const byState = Map.groupBy(members, ({ state }) => state);
  return [...byState.keys()]
    .filter((state) => state !== "active")
    .toSorted()
    .map((state) => {
      const slots = (byState.get(state) ?? []).map(({ slot }) => slot);
      const advice = stateAdvice[state] ?? "Look at `coxswain members`.";
      return finding("warn", `alarms.${state}`, `${state}: ${listed(slots)}`, advice);
    });
}
