/**
 * The view: the agreed, numbered list of members.
 *
 * One item in the store, changed by compare-and-set; `version` only grows within a generation.
 * Everything that decides who owns what is a pure function of this value, so nodes that have the
 * same number have the same answer, and nodes that differ can tell.
 */

/** `active` members own partitions; a `leaving` one owns none and serves until its successors do. */
export type MemberState = "active" | "leaving";

export interface ViewMember {
  /** Stable name; placement hashes it, so a restart under the same slot moves nothing. */
  readonly slot: string;
  /** One process life; grows with every start under this slot. */
  readonly incarnation: number;
  readonly state: MemberState;
  /** Share of the partitions, 1 to 100. */
  readonly weight: number;
  readonly zone: string;
  /** Base URL of the member's api listener, for people and programs. */
  readonly url: string;
  /** Base URL of the member's fleet listener, for agents and peers. */
  readonly fleetUrl: string;
}

export interface View {
  readonly generation: number;
  readonly version: number;
  /** Rules of a lower revision must not be pushed in this generation; missing: all may. */
  readonly fleetRevisionMin?: number;
  /** Sorted by slot. */
  readonly members: readonly ViewMember[];
}

export const emptyView: View = { generation: 1, version: 0, members: [] };

/** Orders views: a higher generation wins, then a higher version. */
export function isNewerView(candidate: View, current: View): boolean {
  if (candidate.generation !== current.generation) {
    return candidate.generation > current.generation;
  }
  return candidate.version > current.version;
}
