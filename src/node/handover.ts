/**
 * Who may let a partition go and who may take one up, as functions of what the members report.
 *
 * Both rest on all nodes computing the same placement from the same view. Each report carries a hash
 * of it, and nodes that differ must not hand partitions to each other: what one lets go the other
 * would not take up. The smaller side takes up nothing new; everyone keeps what it has.
 */
import type { MemberReport } from "../membership/member.ts";
import { hasReached } from "../membership/situation.ts";
import type { MembershipSnapshot } from "../membership/snapshot.ts";
import type { View } from "../ring/view.ts";

/**
 * How far a successor is. `cannot`: it is away for a restart, or places hosts differently, so that
 * waiting for it has no end of its own.
 */
export function successorOf(
  report: MemberReport | undefined,
  view: View,
  placementHash: string,
): "loaded" | "loading" | "cannot" {
  if (report?.intent === "restart") return "cannot";
  if (!hasReached(report?.viewSeen ?? null, view)) return "loading";
  return differs(report, view, placementHash) ? "cannot" : "loaded";
}

/**
 * True where at least as many living members report another placement of `view` as report this one;
 * undefined where none reports any.
 */
export function isOutvoted(
  { members, silentSlots, self }: MembershipSnapshot,
  view: View,
  placementHash: string,
): boolean | undefined {
  const others = view.members.filter(
    ({ slot, state }) => state === "active" && slot !== self.slot && !silentSlots.has(slot),
  );
  if (others.length === 0) return false;
  const counts = new Map([[placementHash, 1]]);
  for (const { slot, incarnation } of others) {
    const report = members.get(slot);
    if (report?.incarnation !== incarnation || !isOf(report, view)) continue;
    const hash = report.placementHash;
    if (hash !== null) counts.set(hash, (counts.get(hash) ?? 0) + 1);
  }
  const own = counts.get(placementHash) ?? 1;
  counts.delete(placementHash);
  if (counts.size === 0) return own > 1 ? false : undefined;
  return Math.max(...counts.values()) >= own;
}

function differs(report: MemberReport | undefined, view: View, placementHash: string): boolean {
  const hash = report?.placementHash ?? null;
  return hash !== null && isOf(report, view) && hash !== placementHash;
}

function isOf(report: MemberReport | undefined, { generation, version }: View): boolean {
  const seen = report?.viewSeen;
  return seen?.generation === generation && seen.version === version;
}

/** True where the view has this very process life as a member. */
export function isOwnView({ view, self }: MembershipSnapshot): boolean {
  return view.members.some(
    (member) => member.slot === self.slot && member.incarnation === self.incarnation,
  );
}
