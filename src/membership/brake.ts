/**
 * The brake on evictions: many members silent at once are more likely a fault of the store, the
 * network or the reader than many deaths.
 *
 * More than max(1, a third) silent together opens an episode: nobody is evicted for one hold time,
 * then at most max(1, a third) per hold time. Deaths of one moment are noticed in different rounds, so
 * members that were marked a moment ago count as silent together with the others. Marks and evictions by anyone count, so several
 * observers share one allowance as far as they see the same rows. The episode ends when nobody is
 * silent any more, or when enough members came back by themselves.
 */
export interface BrakeState {
  /** Undefined outside an episode. */
  readonly sinceMs: number | undefined;
  /** Evictions allowed in each hold time, fixed by the size of the view at the start. */
  readonly limit: number;
  /** Slots that were silent in this episode or a moment ago, and when each was seen marked or gone. */
  readonly slots: ReadonlyMap<string, number | undefined>;
}

export interface BrakeInput {
  /** Silent, unmarked members of the view. */
  readonly silent: readonly string[];
  /** Members of the view that nobody marked. */
  readonly unmarked: ReadonlySet<string>;
  readonly memberCount: number;
}

export const releasedBrake: BrakeState = { sinceMs: undefined, limit: 0, slots: new Map() };

export interface BrakeTimes {
  /** Length of the hold, and of each step after it. */
  readonly holdMs: number;
  /** Silences that are noticed within this time of each other may have one cause. */
  readonly togetherMs: number;
}

/** Takes one round into account and says how many more may be evicted now. */
export function brake(
  state: BrakeState,
  input: BrakeInput,
  { holdMs, togetherMs }: BrakeTimes,
  atMs: number,
): { readonly state: BrakeState; readonly allowance: number } {
  const { silent, memberCount } = input;
  const slots = remembered(state, input, atMs);
  if (state.sinceMs === undefined) {
    for (const [slot, goneMs] of slots) {
      const isOld = goneMs !== undefined && atMs - goneMs >= togetherMs;
      // A member that is back in the view was no death.
      if (isOld || (goneMs !== undefined && input.unmarked.has(slot))) slots.delete(slot);
    }
    const goneCount = slots.size - silent.length;
    const limit = Math.max(1, Math.floor((memberCount + goneCount) / 3));
    if (slots.size > limit) return { state: { sinceMs: atMs, limit, slots }, allowance: 0 };
    return { state: { ...releasedBrake, slots }, allowance: silent.length };
  }
  const limit = Math.max(1, Math.floor(memberCount / 3));
  const gone = [...slots.values()].filter((goneMs) => goneMs !== undefined);
  const recent = gone.filter((goneMs) => atMs - goneMs < holdMs);
  const isOver = silent.length === 0 || (silent.length <= limit && recent.length === 0);
  const isHeld = atMs - state.sinceMs < holdMs;
  if (isOver && (gone.length === 0 || !isHeld)) {
    return { state: releasedBrake, allowance: silent.length };
  }
  const allowance = isHeld ? 0 : Math.max(0, state.limit - recent.length);
  return { state: { sinceMs: state.sinceMs, limit: state.limit, slots }, allowance };
}

function remembered(
  state: BrakeState,
  { silent, unmarked }: BrakeInput,
  atMs: number,
): Map<string, number | undefined> {
  const slots = new Map<string, number | undefined>(silent.map((slot) => [slot, undefined]));
  for (const [slot, goneMs] of state.slots) {
    if (goneMs !== undefined) slots.set(slot, goneMs);
    else if (!unmarked.has(slot)) slots.set(slot, atMs);
  }
  return slots;
}
