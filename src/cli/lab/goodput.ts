/**
 * Goodput: what arrived before its receiver gave up, counted in buckets of time.
 *
 * A trigger is judged by the goodput before it: the lowest second after it began, and how long after its
 * end a second began that reached nine tenths of it again, and half a second later another one. What
 * did not come within the observation is not said to come later.
 */
export const bucketMs = 250;
const windowBuckets = 4;
/** A second is believed when the one that begins so much later is as good. */
const confirmBuckets = 2;
const recoveredRatio = 0.9;

export interface Counts {
  /** Configs wanted, first calls only. */
  readonly offered: number;
  /** Calls made, retries included. */
  readonly tries: number;
  /** Configs that arrived in time. */
  readonly good: number;
}

export const noCounts: Counts = { offered: 0, tries: 0, good: 0 };

/** Mean of the values a second over the whole buckets from `fromMs` to `toMs`. */
export function meanPerSecond(values: readonly number[], fromMs: number, toMs: number): number {
  const window = values.slice(Math.ceil(fromMs / bucketMs), Math.floor(toMs / bucketMs));
  if (window.length === 0) return 0;
  return (sum(window) * 1_000) / (window.length * bucketMs);
}

export interface Recovery {
  readonly beforePerSecond: number;
  /** Mean of the worst second since the trigger began. */
  readonly lowestPerSecond: number;
  /** From the trigger's end to the first second at nine tenths of what was before; undefined: not seen. */
  readonly recoveredAfterMs: number | undefined;
  /** How long after the trigger's end was looked. */
  readonly observedMs: number;
}

export interface TriggerWindow {
  /** From here to the trigger counts as before. */
  readonly settledMs: number;
  readonly fromMs: number;
  readonly untilMs: number;
}

/** `good` by bucket, up to now. */
export function recoveryOf(good: readonly number[], window: TriggerWindow): Recovery {
  const { settledMs, fromMs, untilMs } = window;
  const beforePerSecond = meanPerSecond(good, settledMs, fromMs);
  const seconds = movingSeconds(good);
  const fromBucket = Math.floor(fromMs / bucketMs);
  const endBucket = Math.ceil(untilMs / bucketMs);
  const since = seconds.slice(fromBucket);
  const wanted = Math.max(1, recoveredRatio * beforePerSecond);
  const isBack = (at: number) => (seconds[at] ?? 0) >= wanted;
  let recoveredAfterMs: number | undefined;
  for (let at = endBucket; at + confirmBuckets < seconds.length; at++) {
    if (!isBack(at) || !isBack(at + confirmBuckets)) continue;
    recoveredAfterMs = (at - endBucket) * bucketMs;
    break;
  }
  return {
    beforePerSecond,
    lowestPerSecond: since.length === 0 ? 0 : Math.min(...since),
    recoveredAfterMs,
    observedMs: Math.max(0, good.length * bucketMs - untilMs),
  };
}

/** Value a second of the second that begins with each bucket; as far as whole seconds are there. */
export function movingSeconds(values: readonly number[]): number[] {
  const starts = Math.max(0, values.length - windowBuckets + 1);
  return Array.from({ length: starts }, (_, at) => sum(values.slice(at, at + windowBuckets)));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
