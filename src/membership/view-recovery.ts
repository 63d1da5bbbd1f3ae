/**
 * The way back after the table was emptied or rolled back under running nodes.
 *
 * A view that goes back is never adopted: its numbers were used before, for other members. Instead
 * the nodes first write back what they know (see StoreRecovery in src/node), say so in their
 * items, and only when every member that still beats has said it, one of them writes the view it
 * holds with a raised generation. So whoever reads the new view finds a table that has all that the
 * running nodes knew, and hosts take the new generation without having to go back in rules:
 * `fleetRevisionMin` of the view forbids to push rules older than the newest that a member knew.
 */
import type { View } from "../ring/view.ts";
import { isSilent } from "./detector.ts";
import type { MemberReport } from "./member.ts";
import type { MembershipOptions } from "./options.ts";
import { hasReached, rankOf, takeTurn, type Situation, type Turn } from "./situation.ts";

export interface LossState {
  /** Successful reads in a row that found the view missing or older. */
  readonly reads: number;
  readonly lastRaiseMs: number;
  readonly turn: Turn | undefined;
}

export interface RaisePlan {
  readonly state: LossState;
  /** To be written IF the stored view is still the one that was read. */
  readonly next: View | undefined;
  readonly waitMs: number | undefined;
}

export const noLoss: LossState = {
  reads: 0,
  lastRaiseMs: Number.NEGATIVE_INFINITY,
  turn: undefined,
};

/** Pure. `hostGeneration` is the highest that any host has shown to this node. */
export function planRaise(
  situation: Situation,
  stored: View | undefined,
  hostGeneration: number,
  state: LossState,
  options: MembershipOptions,
  atMs: number,
): RaisePlan {
  const isSoon = atMs - state.lastRaiseMs < options.raiseMinMs;
  // One odd answer is no loss.
  const isLost = state.reads >= options.lossReadsMin;
  if (!isLost || isSoon || !isAllRestored(situation, options)) {
    return { state: { ...state, turn: undefined }, next: undefined, waitMs: undefined };
  }
  const { view } = situation;
  const what = `${view.generation}.${view.version}`;
  const { turn, waitMs } = takeTurn(state.turn, what, rankOf(situation, options), atMs, options);
  if (waitMs > 0) return { state: { ...state, turn }, next: undefined, waitMs };
  const next = raise(situation, stored, hostGeneration);
  return { state: { ...state, turn, lastRaiseMs: atMs }, next, waitMs: undefined };
}

function raise(
  { view, members }: Situation,
  stored: View | undefined,
  hostGeneration: number,
): View {
  const rows = [...members.values()];
  const generations = rows.map(({ viewSeen }) => viewSeen?.generation ?? 0);
  const known = Math.max(view.generation, stored?.generation ?? 0, hostGeneration, ...generations);
  const revisions = rows.map(({ restored }) => restored?.fleetRevision ?? 0);
  return {
    generation: known + 1,
    version: Math.max(view.version, stored?.version ?? 0) + 1,
    fleetRevisionMin: Math.max(view.fleetRevisionMin ?? 0, ...revisions),
    members: view.members,
  };
}

/** This node has, and every other member of the view that still beats. */
function isAllRestored(
  { view, members, self, corrupt, detector }: Situation,
  options: MembershipOptions,
): boolean {
  const hasRestored = (member: MemberReport | undefined) =>
    hasReached(member?.restored?.view ?? null, view);
  if (!hasRestored(members.get(self.slot))) return false;
  return view.members.every(
    ({ slot }) =>
      hasRestored(members.get(slot)) ||
      corrupt.has(slot) ||
      isSilent(detector.tracks.get(slot), options),
  );
}
