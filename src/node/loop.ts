/**
 * A loop of the node: turn, wait, turn, until told to stop. An operating error (the store is away)
 * is logged once until it passes, and the next turn tries again; a defect ends the loop.
 */
import type { Clock } from "../kernel/clock.ts";
import { isCoxswainError, messageOf } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";

export interface LoopOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** From the end of one turn to the start of the next. */
  readonly everyMs: number;
  readonly turn: () => Promise<void> | void;
}

/** Resolves when `signal` aborts; rejects with the first error that is no operating error. */
export async function runLoop({ clock, log, signal, everyMs, turn }: LoopOptions): Promise<void> {
  let lastMessage: string | undefined;
  while (!signal.aborted) {
    try {
      await turn();
      if (lastMessage !== undefined) log.info({}, "working again");
      lastMessage = undefined;
    } catch (error) {
      if (signal.aborted) return;
      if (!isCoxswainError(error)) throw error;
      if (error.message !== lastMessage) log.warn({ err: messageOf(error) }, "turn failed");
      lastMessage = error.message;
    }
    await waitFor(clock, everyMs, signal);
  }
}

async function waitFor(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  try {
    await clock.sleep(delayMs, signal);
  } catch (error) {
    // Aborting is how the loop ends, not a failure.
    if (!signal.aborted) throw error;
  }
}
