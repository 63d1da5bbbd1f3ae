/**
 * When an `insertMany` throws: where the store took none of its items, like any write that is known
 * not to have landed. As soon as one may have been written, each item has its outcome.
 */
import type { InsertOutcome } from "./store.ts";

/** Throws the error of the first of `outcomes` where all of them are `notWritten`. */
export function throwIfNoneTaken(outcomes: readonly InsertOutcome[]): void {
  const [first] = outcomes;
  if (first?.kind !== "notWritten") return;
  if (outcomes.every(({ kind }) => kind === "notWritten")) throw first.error;
}
