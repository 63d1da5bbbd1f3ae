/**
 * What one node knows after one read round: the value that all decisions are functions of.
 *
 * Ranks turn many willing proposers into a queue: the first living member acts at once, the others
 * only if it has not. They are a courtesy that saves writes; correctness rests on conditions.
 */
import type { View, ViewMember } from "../ring/view.ts";
import { isSilent, type DetectorState } from "./detector.ts";
import { isMarked, type MemberReport, type ViewNumber } from "./member.ts";
import type { MembershipOptions } from "./options.ts";

export interface Situation {
  readonly view: View;
  readonly self: { readonly slot: string; readonly incarnation: number };
  readonly members: ReadonlyMap<string, MemberReport>;
  /** Slots whose row could not be read: neither judged nor counted as judges. */
  readonly corrupt: ReadonlySet<string>;
  readonly detector: DetectorState;
}

/** The member of `view` that is this very process life. */
export function findSelf(
  view: View,
  self: { readonly slot: string; readonly incarnation: number },
): ViewMember | undefined {
  return view.members.find(
    (member) => member.slot === self.slot && member.incarnation === self.incarnation,
  );
}

/** Alive as far as this node can tell; it is always alive to itself. */
export function isLiving(situation: Situation, slot: string, options: MembershipOptions): boolean {
  if (slot === situation.self.slot) return true;
  if (situation.corrupt.has(slot)) return false;
  const member = situation.members.get(slot);
  if (member === undefined || isMarked(member) || member.intent === "restart") return false;
  return !isSilent(situation.detector.tracks.get(slot), options);
}

/** True where someone other than `slot` is in the view, active and alive. */
export function hasLivingOther(
  situation: Situation,
  slot: string,
  options: MembershipOptions,
): boolean {
  return situation.view.members.some(
    (member) =>
      member.slot !== slot &&
      member.state === "active" &&
      isLiving(situation, member.slot, options),
  );
}

/** True where `seen` is at least `view`. */
export function hasReached(seen: ViewNumber | null, view: ViewNumber): boolean {
  if (seen === null) return false;
  if (seen.generation !== view.generation) return seen.generation > view.generation;
  return seen.version >= view.version;
}

/** 0 for the first: living active members of the view by slot, then everyone else by slot. */
export function rankOf(situation: Situation, options: MembershipOptions): number {
  const active = situation.view.members
    .filter((member) => member.state === "active")
    .map((member) => member.slot);
  const living = [...situation.members.keys()].filter((slot) => isLiving(situation, slot, options));
  const first = active.filter((slot) => isLiving(situation, slot, options));
  const rest = living.filter((slot) => !active.includes(slot));
  const queue = [...first.toSorted(bySlot), ...rest.toSorted(bySlot)];
  const rank = queue.indexOf(situation.self.slot);
  return rank === -1 ? queue.length : rank;
}

/** Since when something could be done, so that ranks wait from the same moment. */
export interface Turn {
  readonly what: string;
  readonly sinceMs: number;
}

/** The turn that continues `previous` where it is about the same thing. */
export function takeTurn(
  previous: Turn | undefined,
  what: string,
  rank: number,
  atMs: number,
  options: MembershipOptions,
): { readonly turn: Turn; readonly waitMs: number } {
  const turn = previous?.what === what ? previous : { what, sinceMs: atMs };
  return { turn, waitMs: turn.sinceMs + rank * options.rankDelayMs - atMs };
}

/** Order by UTF-16 code units: the same on every platform, unlike a locale's. */
export function bySlot(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
