/**
 * Writes that may be repeated until the store answers.
 *
 * Only for writes whose repetition is harmless: absolute values without a condition that the first
 * try would break. Three tries cover a lost connection; more would hide that the store is ill.
 */
import { CoxswainError } from "../kernel/errors.ts";
import type { WriteOutcome } from "../store/store.ts";

export const writeTriesMax = 3;

/** Repeats `write` while its outcome is unknown. Throws STORE_UNKNOWN_OUTCOME after three tries. */
export async function writeUntilAnswered(
  what: string,
  write: () => Promise<WriteOutcome>,
): Promise<"written" | "refused"> {
  let cause: unknown;
  for (let tries = 0; tries < writeTriesMax; tries++) {
    const outcome = await write();
    if (outcome.kind !== "unknown") return outcome.kind;
    cause = outcome.cause;
  }
  throw unknownOutcome(what, cause);
}

export function unknownOutcome(what: string, cause: unknown): CoxswainError {
  return new CoxswainError(
    "STORE_UNKNOWN_OUTCOME",
    `Expected an answer to the write of ${what}, got none in ${writeTriesMax} tries`,
    { details: { what }, cause },
  );
}
