/**
 * The next view: everything that is due, folded into one change.
 *
 * Marked members go, those whose new incarnation is on probation, and leaving ones whose successors have all loaded the view: at once. Joins,
 * restarts under the same slot (only the incarnation changes, so nothing moves) and wishes to leave
 * wait for a quiet period, so that a cold start or a rolling deploy makes few views. Anyone may
 * propose, whoever began: a proposal rests on rows that can only have been written under their
 * conditions, and the compare-and-set on the version settles races.
 */
import { limits } from "../protocol/limits.ts";
import type { View, ViewMember } from "../ring/view.ts";
import { isSilent } from "./detector.ts";
import { isMarked, type MemberReport } from "./member.ts";
import type { MembershipOptions } from "./options.ts";
import { isOnProbation } from "./probation.ts";
import {
  bySlot,
  hasLivingOther,
  hasReached,
  rankOf,
  takeTurn,
  type Situation,
  type Turn,
} from "./situation.ts";

export interface FoldState {
  /** What waits for the quiet period, as text; undefined where nothing does. */
  readonly waiting: string | undefined;
  readonly firstAtMs: number;
  readonly changedAtMs: number;
  readonly turn: Turn | undefined;
}

type ChangeReason =
  | "evict"
  | "stalled"
  | "command"
  | "drop"
  | "leave"
  | "join"
  | "restart"
  | "raise";

export interface Change {
  readonly slot: string;
  readonly reason: ChangeReason;
}

export interface Fold {
  readonly state: FoldState;
  readonly proposal: { readonly next: View; readonly changes: readonly Change[] } | undefined;
  /** Time until something waiting becomes due. */
  readonly waitMs: number | undefined;
}

export const initialFold: FoldState = {
  waiting: undefined,
  firstAtMs: 0,
  changedAtMs: 0,
  turn: undefined,
};

/** Pure: equal situations give equal proposals, in whatever order members are listed. */
export function fold(
  situation: Situation,
  state: FoldState,
  options: MembershipOptions,
  atMs: number,
): Fold {
  const urgent = urgentChanges(situation, options);
  const patient = patientChanges(situation, options);
  const quiet = waitForQuiet(state, patient, options, atMs);
  const ready = patient.filter((change) => change.isProven);
  const isDue = urgent.length > 0 || (ready.length > 0 && quiet.waitMs <= 0);
  if (!isDue) {
    const waitMs = patient.length > 0 && quiet.waitMs > 0 ? quiet.waitMs : undefined;
    return { state: { ...quiet.state, turn: undefined }, proposal: undefined, waitMs };
  }
  const { generation, version } = situation.view;
  const rank = rankOf(situation, options);
  const { turn, waitMs } = takeTurn(state.turn, `${generation}.${version}`, rank, atMs, options);
  const next = { ...quiet.state, turn };
  if (waitMs > 0) return { state: next, proposal: undefined, waitMs };
  const changes = [...urgent, ...ready.map(({ slot, reason }) => ({ slot, reason }))];
  return { state: next, proposal: { next: apply(situation, changes), changes }, waitMs: undefined };
}

/** Evictions that somebody marked, and leavers that nobody needs any more. */
function urgentChanges(situation: Situation, options: MembershipOptions): Change[] {
  const { view, members, self } = situation;
  const areReady = areSuccessorsReady(situation);
  const changes: Change[] = [];
  for (const { slot, incarnation, state } of view.members) {
    const member = members.get(slot);
    const isRestarted = member !== undefined && member.incarnation !== incarnation;
    const isParked =
      isRestarted && isOnProbation(member) && hasLivingOther(situation, slot, options);
    if (slot !== self.slot && member !== undefined && (isMarked(member) || isParked)) {
      changes.push({ slot, reason: evictReasons[member.evictReason ?? "silent"] });
    } else if (state === "leaving" && areReady && !isRestarted) {
      changes.push({ slot, reason: "drop" });
    }
  }
  return changes;
}

const evictReasons = { silent: "evict", stalled: "stalled", command: "command" } as const;

/** All have loaded this very view, and agree on who owns what in it. */
function areSuccessorsReady({ view, members }: Situation): boolean {
  const reports = view.members
    .filter((member) => member.state === "active")
    .map(({ slot, incarnation }) => ({ incarnation, member: members.get(slot) }));
  const hashes = new Set(reports.map(({ member }) => member?.placementHash));
  return (
    hashes.size <= 1 &&
    reports.every(
      ({ member, incarnation }) =>
        member?.incarnation === incarnation && hasReached(member.viewSeen, view),
    )
  );
}

interface PatientChange extends Change {
  readonly incarnation: number;
  /** False while the row may be one that a dead process left behind. */
  readonly isProven: boolean;
}

/** Joins, restarts and wishes to leave, by slot. */
function patientChanges(situation: Situation, options: MembershipOptions): PatientChange[] {
  const { view, members, self, detector } = situation;
  const inView = new Map(view.members.map((member) => [member.slot, member]));
  const changes: PatientChange[] = [];
  for (const member of members.values()) {
    const { slot, incarnation } = member;
    const track = detector.tracks.get(slot);
    const isSelf = slot === self.slot;
    if (isSelf ? incarnation !== self.incarnation : isSilent(track, options)) continue;
    if (isMarked(member) || member.intent === "restart") continue;
    if (isOnProbation(member) && hasLivingOther(situation, slot, options)) continue;
    const isProven = isSelf || track?.isProven === true;
    // Unmoved for this many reads: left behind by the dead. It counts again once it moves.
    if (!isProven && (track?.reads ?? 0) >= unprovenReadsMax) continue;
    const reason = reasonOf(member, inView.get(slot));
    if (reason !== undefined) changes.push({ slot, reason, incarnation, isProven });
  }
  const sorted = changes.toSorted((left, right) => bySlot(left.slot, right.slot));
  const room = limits.nodesMax - view.members.length;
  const joiners = new Set(sorted.filter(({ reason }) => reason === "join").slice(0, room));
  return sorted.filter((change) => change.reason !== "join" || joiners.has(change));
}

const unprovenReadsMax = 3;

function reasonOf(member: MemberReport, known: ViewMember | undefined): ChangeReason | undefined {
  if (member.intent === "leave") {
    const isActive = known?.incarnation === member.incarnation && known.state === "active";
    return isActive ? "leave" : undefined;
  }
  if (known === undefined) return "join";
  return known.incarnation === member.incarnation ? undefined : "restart";
}

function waitForQuiet(
  state: FoldState,
  changes: readonly PatientChange[],
  options: MembershipOptions,
  atMs: number,
): { readonly state: FoldState; readonly waitMs: number } {
  if (changes.length === 0) return { state: initialFold, waitMs: 0 };
  const waiting = changes
    .map(({ slot, reason, incarnation }) => `${slot}:${incarnation}:${reason}`)
    .join();
  const firstAtMs = state.waiting === undefined ? atMs : state.firstAtMs;
  const changedAtMs = state.waiting === waiting ? state.changedAtMs : atMs;
  const latestMs = firstAtMs + options.joinQuietMaxMs - atMs;
  // Rows not yet proven prove themselves within a beat or drop out of the list.
  const isComplete = changes.every((change) => change.isProven);
  const quietMs = changedAtMs + options.joinQuietMs - atMs;
  const waitMs = Math.min(latestMs, isComplete ? quietMs : options.beatIntervalMs);
  return { state: { waiting, firstAtMs, changedAtMs, turn: state.turn }, waitMs };
}

const outReasons: ReadonlySet<ChangeReason> = new Set(["evict", "stalled", "command", "drop"]);

function apply({ view, members }: Situation, changes: readonly Change[]): View {
  const next = new Map(view.members.map((member) => [member.slot, member]));
  for (const { slot, reason } of changes) {
    const known = next.get(slot);
    const member = members.get(slot);
    if (outReasons.has(reason)) next.delete(slot);
    else if (reason === "leave" && known !== undefined) {
      next.set(slot, { ...known, state: "leaving" });
    } else if (member !== undefined) {
      next.set(slot, toViewMember(member));
    }
  }
  return {
    ...view,
    version: view.version + 1,
    members: [...next.values()].toSorted((left, right) => bySlot(left.slot, right.slot)),
  };
}

function toViewMember(member: MemberReport): ViewMember {
  const { slot, incarnation, weight, zone, url, fleetUrl } = member;
  return { slot, incarnation, state: "active", weight, zone, url, fleetUrl };
}
