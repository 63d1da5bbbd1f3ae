/**
 * The verdict: whom this node holds silent, whose address it asks, whom it may mark for eviction.
 *
 * A mark needs two members that agree on the same beat (one in a view of one or two, or where
 * nobody else is alive). Votes carry the beat they are about, so they need no expiry: when the beat
 * moves they are void. A member that is itself suspected, paused, slow or unable to beat publishes
 * no vote and marks nobody.
 *
 * A stalled member (it beats and finishes no push, though hosts are queued) needs one witness: the
 * evidence is its own count in its own item, which all read alike. Where many are stalled at once the
 * fault is elsewhere, and none is marked; nor is one without whom nobody would be left to push.
 *
 * The mark is the first of two steps (see member.ts); the second, taking
 * the slot out of the view, is `fold` and open to everyone.
 */
import { brake, type BrakeState } from "./brake.ts";
import { absentKey, isOverdue, isSilent } from "./detector.ts";
import { beatKey, isMarked } from "./member.ts";
import type { MembershipOptions } from "./options.ts";
import type { EvictReason } from "./probation.ts";
import {
  bySlot,
  findSelf,
  isLiving,
  rankOf,
  takeTurn,
  type Situation,
  type Turn,
} from "./situation.ts";

export interface JudgeState {
  readonly brake: BrakeState;
  readonly turn: Turn | undefined;
}

/** One member and the beat (or absence) that a probe or a mark is about. */
export interface Target {
  readonly slot: string;
  readonly key: string;
  readonly fleetUrl: string;
}

export interface Mark extends Target {
  readonly reason: EvictReason;
}

export interface Verdict {
  readonly state: JudgeState;
  /** Slot -> beat key, to be published in the own item. */
  readonly suspects: Readonly<Record<string, string>>;
  readonly probes: readonly Target[];
  /** To be marked now; the marker must condition the write on the key. */
  readonly marks: readonly Mark[];
  /** True while the brake keeps silent members in the view. */
  readonly isHeld: boolean;
  /** Active members that stall, this node among them, by slot. */
  readonly stalled: readonly string[];
  /** Time until this node's turn to mark, where it is not yet. */
  readonly waitMs: number | undefined;
}

/** Pure: equal situations give equal verdicts, in whatever order members are listed. */
export function judge(
  situation: Situation,
  state: JudgeState,
  options: MembershipOptions,
  atMs: number,
): Verdict {
  const { detector } = situation;
  const stalled = stalledSlots(situation, options.stallBeats, options);
  if (!canJudge(situation, options)) {
    return { ...nothing, stalled, state: { brake: state.brake, turn: undefined } };
  }
  const targets = targetsOf(situation);
  const silent = targets.filter(({ slot }) => isSilent(detector.tracks.get(slot), options));
  const held = brake(
    state.brake,
    {
      silent: silent.map(({ slot }) => slot),
      unmarked: unmarkedSlots(situation),
      memberCount: situation.view.members.length,
    },
    { holdMs: options.massSilenceHoldMs, togetherMs: options.silenceMs },
    atMs,
  );
  const suspects = Object.fromEntries(silent.map(({ slot, key }) => [slot, key]));
  const probes = targets.filter((target) => needsProbe(situation, target, options));
  const agreed = silent.filter((target) => isAgreed(situation, target, options));
  const due: Mark[] = agreed
    .slice(0, held.allowance)
    .map((target) => ({ ...target, reason: "silent" }));
  const demoted = demotable(situation, stalled, options);
  for (const target of targets) {
    if (demoted.includes(target.slot)) due.push({ ...target, reason: "stalled" });
  }
  const result = { suspects, probes, stalled, isHeld: silent.length > held.allowance };
  if (due.length === 0) {
    const idle = { brake: held.state, turn: undefined };
    return { ...result, state: idle, marks: [], waitMs: undefined };
  }
  // The beat of a stalled member moves; the turn to mark it must not start again with each.
  const what = due
    .map(({ slot, key, reason }) => `${slot}=${reason === "silent" ? key : reason}`)
    .join();
  const { turn, waitMs } = takeTurn(state.turn, what, rankOf(situation, options), atMs, options);
  const next = { brake: held.state, turn };
  return waitMs > 0
    ? { ...result, state: next, marks: [], waitMs }
    : { ...result, state: next, marks: due, waitMs: undefined };
}

const nothing = { suspects: {}, probes: [], marks: [], isHeld: false, waitMs: undefined };

/** Active members that have beaten at least `beats` times without making progress, by slot. */
function stalledSlots(situation: Situation, beats: number, options: MembershipOptions): string[] {
  return situation.view.members
    .filter(({ slot, incarnation, state }) => {
      const member = situation.members.get(slot);
      return (
        state === "active" &&
        member?.incarnation === incarnation &&
        member.stalledBeats >= beats &&
        isLiving(situation, slot, options)
      );
    })
    .map(({ slot }) => slot)
    .toSorted(bySlot);
}

/** Stalled members that may be marked now. */
function demotable(
  situation: Situation,
  stalled: readonly string[],
  options: MembershipOptions,
): readonly string[] {
  const { members } = situation.view;
  // A common cause does not reach all at the same beat: who is half way there counts.
  const doubtful = stalledSlots(situation, Math.ceil(options.stallBeats / 2), options);
  if (doubtful.length > Math.max(1, Math.floor(members.length / 3))) return [];
  const isSomeoneWorking = members.some(
    ({ slot, state }) =>
      state === "active" && !doubtful.includes(slot) && isLiving(situation, slot, options),
  );
  return isSomeoneWorking && !doubtful.includes(situation.self.slot) ? stalled : [];
}

/** Other members of the view that could be judged at all, by slot. */
function targetsOf(situation: Situation): Target[] {
  const targets: Target[] = [];
  for (const { slot, fleetUrl } of situation.view.members) {
    if (slot === situation.self.slot || situation.corrupt.has(slot)) continue;
    const member = situation.members.get(slot);
    if (member !== undefined && isMarked(member)) continue;
    const key = member === undefined ? absentKey : beatKey(member);
    targets.push({ slot, key, fleetUrl: member?.fleetUrl ?? fleetUrl });
  }
  return targets.toSorted((left, right) => bySlot(left.slot, right.slot));
}

function unmarkedSlots({ view, members }: Situation): Set<string> {
  const slots = view.members.map((member) => member.slot);
  return new Set(
    slots.filter((slot) => {
      const member = members.get(slot);
      return member === undefined || !isMarked(member);
    }),
  );
}

function canJudge(situation: Situation, options: MembershipOptions): boolean {
  const { detector, members, self, view } = situation;
  if (!detector.isTrusted || findSelf(view, self) === undefined) return false;
  const own = members.get(self.slot);
  if (own === undefined || isMarked(own)) return false;
  return !voters(situation, options).some(
    (slot) => members.get(slot)?.suspects[self.slot] === beatKey(own),
  );
}

/** Living members of the view other than this one. */
function voters(situation: Situation, options: MembershipOptions): string[] {
  return situation.view.members
    .map((member) => member.slot)
    .filter((slot) => slot !== situation.self.slot && isLiving(situation, slot, options));
}

function votesOf(situation: Situation, target: Target, options: MembershipOptions): number {
  return voters(situation, options).filter(
    (slot) =>
      slot !== target.slot && situation.members.get(slot)?.suspects[target.slot] === target.key,
  ).length;
}

function isAgreed(situation: Situation, target: Target, options: MembershipOptions): boolean {
  if (situation.view.members.length <= 2) return true;
  const required = Math.min(options.observersMin, 1 + voters(situation, options).length);
  return 1 + votesOf(situation, target, options) >= required;
}

/** Overdue by own reads, or held silent by another at the very beat that stands here too. */
function needsProbe(situation: Situation, target: Target, options: MembershipOptions): boolean {
  const track = situation.detector.tracks.get(target.slot);
  if (track === undefined || track.isRefused || isSilent(track, options)) return false;
  return isOverdue(track, options) || votesOf(situation, target, options) > 0;
}
