/**
 * Who is silent, judged by the reader's own reads and the reader's own monotonic clock.
 *
 * For every slot the detector keeps the last beat it read and, across rounds, how many reads and
 * how much time passed without a change. A read never resets a count (silence always expires), a
 * change always does. Whatever makes this reader unreliable does not count against others: a gap
 * between its own rounds, failed or slow reads, failed own beats.
 *
 * A refused connection at the member's own address, for exactly the beat that stands still, is a
 * second witness and shortens the wait: a process that is gone has no listener. A member that said
 * it restarts is silent only after the grace it named, whatever its address says.
 * Source: observed-change liveness of the DynamoDB lock client; suspicion shortening of Lifeguard.
 */
import type { MembershipOptions } from "./options.ts";

export interface Track {
  /** Beat key last read; `absentKey` where a member of the view has no item. */
  readonly key: string;
  /** Reads that count, since this key was first read, that found it unchanged. */
  readonly reads: number;
  /** End of the read that first found this key. */
  readonly sinceMs: number;
  /** From `sinceMs` to the start of the last read that counted: never more than truly passed. */
  readonly unchangedMs: number;
  /** Seen to be written between two own reads: alive then, not a row left by the dead. */
  readonly isProven: boolean;
  /** The member's address refused a connection while this key stood. */
  readonly isRefused: boolean;
  /** Grace of a member that restarts; 0 for all others. */
  readonly graceMs: number;
}

export interface DetectorState {
  readonly tracks: ReadonlyMap<string, Track>;
  readonly lastAttemptMs: number | undefined;
  readonly lastCountedMs: number;
  readonly failedReads: number;
  /** True where the last round was one to judge by. */
  readonly isTrusted: boolean;
}

/** One attempt to read the members; `keys` is undefined where it failed. */
export interface Round {
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
  /** Slot -> beat key, of every member item and every member of the view. */
  readonly keys: ReadonlyMap<string, string> | undefined;
  /** Slot -> grace, of the members that restart. */
  readonly gracesMs?: ReadonlyMap<string, number>;
  /** False while this node's own beats do not get through. */
  readonly isOwnBeatHealthy: boolean;
}

export const absentKey = "absent";

export const initialDetector: DetectorState = {
  tracks: new Map(),
  lastAttemptMs: undefined,
  lastCountedMs: Number.NEGATIVE_INFINITY,
  failedReads: 0,
  isTrusted: false,
};

/** Takes one round into account. */
export function observe(
  state: DetectorState,
  round: Round,
  options: MembershipOptions,
): DetectorState {
  const { startedAtMs, finishedAtMs, keys } = round;
  if (keys === undefined) {
    const failedReads = state.failedReads + 1;
    return { ...state, lastAttemptMs: startedAtMs, failedReads, isTrusted: false };
  }
  const { beatIntervalMs } = options;
  const isRestart =
    state.lastAttemptMs === undefined ||
    startedAtMs - state.lastAttemptMs > 2 * beatIntervalMs ||
    state.failedReads >= failedReadsMax;
  const isSlow = finishedAtMs - startedAtMs > beatIntervalMs;
  const isTrusted = !isRestart && !isSlow && round.isOwnBeatHealthy;
  // Hints make rounds more frequent than beats; such reads tell nothing about missed beats.
  const counts = isTrusted && startedAtMs - state.lastCountedMs >= beatIntervalMs / 2;
  const next = { startedAtMs, finishedAtMs, isRestart, counts };
  const tracks = new Map(
    [...keys].map(([slot, key]) => {
      const graceMs = round.gracesMs?.get(slot) ?? 0;
      return [slot, advance(state.tracks.get(slot), key, { ...next, graceMs })];
    }),
  );
  const lastCountedMs = counts || isRestart ? startedAtMs : state.lastCountedMs;
  return { tracks, lastAttemptMs: startedAtMs, lastCountedMs, failedReads: 0, isTrusted };
}

/** One failed read may be the store's; two in a row mean that the others' beats failed as well. */
const failedReadsMax = 2;

function advance(
  track: Track | undefined,
  key: string,
  round: {
    readonly startedAtMs: number;
    readonly finishedAtMs: number;
    readonly isRestart: boolean;
    readonly counts: boolean;
    readonly graceMs: number;
  },
): Track {
  const { startedAtMs, finishedAtMs, isRestart, counts, graceMs } = round;
  if (isRestart || track?.key !== key) {
    const isProven = !isRestart && key !== absentKey;
    const none = { reads: 0, unchangedMs: 0, isRefused: false };
    return { key, ...none, sinceMs: finishedAtMs, isProven, graceMs };
  }
  if (!counts) return track;
  return { ...track, reads: track.reads + 1, unchangedMs: startedAtMs - track.sinceMs };
}

/** Records a refused connection; void unless `key` is still the last beat read. */
export function witnessRefusal(state: DetectorState, slot: string, key: string): DetectorState {
  const track = state.tracks.get(slot);
  if (track?.key !== key) return state;
  return { ...state, tracks: new Map(state.tracks).set(slot, { ...track, isRefused: true }) };
}

/** True once both the reads and the time ran out, or the refusal stands for this very beat. */
export function isSilent(track: Track | undefined, options: MembershipOptions): boolean {
  if (track === undefined) return false;
  if (track.isRefused && track.graceMs === 0) return true;
  return track.reads >= options.silenceReadsMin && track.unchangedMs >= silenceOf(track, options);
}

function silenceOf(track: Track, options: MembershipOptions): number {
  return Math.max(options.silenceMs, track.graceMs);
}

/** True once enough beats were missed to ask the member's own address. */
export function isOverdue(track: Track | undefined, options: MembershipOptions): boolean {
  if (track === undefined || track.graceMs > 0) return false;
  return track.reads >= options.probeAfterMissedBeats;
}

/** Time until a round could find the next slot silent, or undefined; rounds on time act on time. */
export function nextVerdictMs(
  state: DetectorState,
  atMs: number,
  options: MembershipOptions,
): number | undefined {
  let nextMs: number | undefined;
  for (const track of state.tracks.values()) {
    if (isSilent(track, options) || track.reads < options.silenceReadsMin - 1) continue;
    const dueMs = track.sinceMs + silenceOf(track, options) - atMs;
    if (dueMs > 0 && (nextMs === undefined || dueMs < nextMs)) nextMs = dueMs;
  }
  return nextMs;
}
