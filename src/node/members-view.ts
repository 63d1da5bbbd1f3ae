/**
 * The members as people see them: the view, what each member reports, and its share; then those that
 * beat and are in no view yet.
 */
import type { MemberReport, ViewNumber } from "../membership/member.ts";
import { isOnProbation } from "../membership/probation.ts";
import type { MembershipSnapshot } from "../membership/snapshot.ts";
import type { Placement } from "../ring/placement.ts";

export interface MemberView {
  readonly slot: string;
  readonly incarnation: number;
  readonly state: string;
  readonly url: string;
  readonly fleetUrl: string;
  readonly weight: number;
  readonly zone: string;
  readonly partitions: number;
  readonly hosts: number;
  readonly beat: number | null;
  readonly viewSeen: { readonly generation: number; readonly version: number } | null;
  readonly placementHash: string | null;
}

/**
 * One view and the members of that view, never of two: whoever waits for all to have loaded it compares
 * its number with theirs. `placement` may still be that of the view before, while this node takes up the new one.
 */
export function membersOfView(
  snapshot: MembershipSnapshot,
  placement: Placement,
): { readonly view: ViewNumber; readonly members: MemberView[] } {
  const { generation, version } = snapshot.view;
  return { view: { generation, version }, members: memberViews(snapshot, placement) };
}

/** Ascending by slot. */
function memberViews(snapshot: MembershipSnapshot, placement: Placement): MemberView[] {
  return snapshot.view.members.map((member) => {
    const report = snapshot.members.get(member.slot);
    const isSame = report?.incarnation === member.incarnation;
    return {
      slot: member.slot,
      incarnation: member.incarnation,
      state: isSame && report.intent === "restart" ? "restarting" : member.state,
      url: member.url,
      fleetUrl: member.fleetUrl,
      weight: member.weight,
      zone: member.zone,
      partitions: placement.countOf(member.slot),
      hosts: isSame ? report.hosts : 0,
      beat: isSame ? report.beat : null,
      viewSeen: isSame ? (report.viewSeen ?? null) : null,
      placementHash: isSame ? report.placementHash || null : null,
    };
  });
}

/** Living processes that no view holds, ascending by slot. */
export function waitingViews({ view, members, silentSlots }: MembershipSnapshot): MemberView[] {
  const inView = new Set(view.members.map(({ slot }) => slot));
  return [...members.values()]
    .filter(({ slot, intent }) => intent === "join" && !inView.has(slot) && !silentSlots.has(slot))
    .toSorted((left, right) => (left.slot < right.slot ? -1 : 1))
    .map(waitingView);
}

function waitingView(report: MemberReport): MemberView {
  const { slot, incarnation, url, fleetUrl, weight, zone, beat, viewSeen } = report;
  return {
    slot,
    incarnation,
    state: isOnProbation(report) ? "probation" : "joining",
    url,
    fleetUrl,
    weight,
    zone,
    partitions: 0,
    hosts: 0,
    beat,
    viewSeen,
    placementHash: null,
  };
}
