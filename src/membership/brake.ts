/**
 * The brake on evictions: many members silent at once are more likely a fault of the store, the
 * network or the reader than many deaths.
 *
 * More than max(1, a third) silent together opens an episode: nobody is evicted for one hold time,
 * then at most max(1, a third) per hold time. Marks and evictions by anyone count, so several
 * observers share one allowance as far as they see the same rows. The episode ends when nobody is
 * silent any more, or when enough members came back by themselves.
 */
export interface BrakeState {
  /** Undefined outside an episode. */
  readonly sinceMs: number | undefined;
  /** Evictions allowed in each hold time, fixed by the size of the view at the start. */
  readonly limit: number;
  /** Every slot that was silent in this episode, and when it was first seen marked or gone. */
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

/** Takes one round into account and says how many more may be evicted now. */
export function brake(
  state: BrakeState,
  input: BrakeInput,
  holdMs: number,
  atMs: number,
): { readonly state: BrakeState; readonly allowance: number } {
  const { silent, memberCount } = input;
  const limit = Math.max(1, Math.floor(memberCount / 3));
  if (state.sinceMs === undefined) {
    if (silent.length <= limit) return { state: releasedBrake, allowance: silent.length };
    const slots = new Map(silent.map((slot) => [slot, undefined]));
    return { state: { sinceMs: atMs, limit, slots }, allowance: 0 };
  }
  const slots = new Map<string, number | undefined>(silent.map((slot) => [slot, undefined]));
  for (const [slot, goneMs] of state.slots) {
    if (goneMs !== undefined) slots.set(slot, goneMs);
    else if (!input.unmarked.has(slot)) slots.set(slot, atMs);
  }
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
