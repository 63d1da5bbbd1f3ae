/**
 * Probation: a slot that comes and goes is not given partitions each time it comes.
 *
 * Each eviction of a slot is noted in its own item, by the process that registers next, as the beat
 * at which it happened. Three within ten minutes of beats mean probation: the slot is not folded into
 * a view for 30 beats, and for twice as many after each further one, up to 300. Beats in probation
 * do not age the record. A process that starts or pauses during probation begins it anew, so only a
 * member that beats without a break gets back in. Everything is a count of the member's own beats
 * in the member's own item: all observers agree, and no clock takes part.
 * Source: damping of flapping members in ringpop (Uber), after BGP route flap damping.
 */
import type { MembershipOptions } from "./options.ts";

/** `silent`: it did not beat. `stalled`: it did not push. `command`: a person said so. */
export type EvictReason = "silent" | "stalled" | "command";

export interface FlapRecord {
  /** Ascending; moved on by each probation, so that differences are beats in service. */
  readonly evictedAtBeats: readonly number[];
  /** First beat at which the member may be folded in. */
  readonly untilBeat: number;
  /** Length of the last probation. */
  readonly beats: number;
}

export const noFlaps: FlapRecord = Object.freeze({ evictedAtBeats: [], untilBeat: 0, beats: 0 });

/** More tell nothing: the longest probation is reached before. */
export const flapsKeptMax = 16;

type ProbationOptions = Pick<
  MembershipOptions,
  "flapWindowBeats" | "flapEvictionsMin" | "probationBeatsMin" | "probationBeatsMax"
>;

/** True while the member must not be given partitions. */
export function isOnProbation({ beat, flaps }: { beat: number; flaps: FlapRecord }): boolean {
  return beat < flaps.untilBeat;
}

/** The record after an eviction that the member, or its successor in the slot, learns of at `beat`. */
export function afterEviction(
  record: FlapRecord,
  reason: EvictReason,
  beat: number,
  options: ProbationOptions,
): FlapRecord {
  const recent = record.evictedAtBeats.filter((at) => beat - at <= options.flapWindowBeats);
  const evictedAtBeats = [...recent, beat].slice(-flapsKeptMax);
  return impose(
    { ...record, evictedAtBeats },
    lengthOf(reason, evictedAtBeats.length, options),
    beat,
  );
}

/** The record of a member whose probation was broken by a new start or a pause before `beat`. */
export function afterBreak(record: FlapRecord, beat: number): FlapRecord {
  return beat < record.untilBeat ? impose(record, record.beats, beat) : record;
}

function lengthOf(reason: EvictReason, count: number, options: ProbationOptions): number {
  const { flapEvictionsMin, probationBeatsMin, probationBeatsMax } = options;
  // Whoever took it out by hand needs time to end the process.
  if (reason === "command") return probationBeatsMax;
  const beyond = reason === "stalled" ? count - 1 : count - flapEvictionsMin;
  return beyond < 0 ? 0 : Math.min(probationBeatsMax, probationBeatsMin * 2 ** beyond);
}

function impose(record: FlapRecord, beats: number, beat: number): FlapRecord {
  const untilBeat = Math.max(record.untilBeat, beat + beats);
  const shift = untilBeat - Math.max(record.untilBeat, beat);
  return { evictedAtBeats: record.evictedAtBeats.map((at) => at + shift), untilBeat, beats };
}
