/**
 * What the rest of the node sees of membership: one immutable value, swapped by reference.
 */
import type { Metrics } from "../kernel/metrics.ts";
import type { View } from "../ring/view.ts";
import type { MemberReport } from "./member.ts";

export type MemberStatus = "joining" | "active" | "leaving" | "replaced" | "left";

export interface MembershipSnapshot {
  readonly view: View;
  /** Every readable member item, whether or not the view holds it. */
  readonly members: ReadonlyMap<string, MemberReport>;
  /** Slots that this node holds silent. */
  readonly silentSlots: ReadonlySet<string>;
  readonly self: {
    readonly slot: string;
    readonly incarnation: number;
    readonly status: MemberStatus;
  };
  readonly isStoreReachable: boolean;
  /** The table lacks the view that this node has: it was emptied or rolled back. */
  readonly isStoreBehind: boolean;
}

/** Sets the gauges that are functions of a snapshot; `own` is what this node itself has loaded. */
export function measureSnapshot(
  { view, members, isStoreReachable }: MembershipSnapshot,
  own: Pick<MemberReport, "viewSeen" | "placementHash">,
  metrics: Metrics,
): void {
  metrics.viewGeneration.set(view.generation);
  metrics.viewVersion.set(view.version);
  metrics.storeReachable.set(isStoreReachable ? 1 : 0);
  for (const state of ["active", "leaving"] as const) {
    metrics.viewMembers.set({ state }, view.members.filter((m) => m.state === state).length);
  }
  const differing = [...members.values()].filter(
    ({ viewSeen, placementHash }) =>
      viewSeen !== null &&
      viewSeen.generation === own.viewSeen?.generation &&
      viewSeen.version === own.viewSeen.version &&
      placementHash !== own.placementHash,
  );
  metrics.placementMismatch.set(differing.length);
}
