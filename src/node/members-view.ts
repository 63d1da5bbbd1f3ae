/** The members as people see them: the view, what each member reports, and its share. */
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

/** Ascending by slot. */
export function memberViews(snapshot: MembershipSnapshot, placement: Placement): MemberView[] {
  return snapshot.view.members.map((member) => {
    const report = snapshot.members.get(member.slot);
    const isSame = report?.incarnation === member.incarnation;
    return {
      slot: member.slot,
      incarnation: member.incarnation,
      state: member.state,
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
