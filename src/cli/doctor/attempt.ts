/**
 * One try of doctor: a value or a reason, never an exception, and never longer than all checks may take.
 */
import { isCoxswainError, messageOf } from "../../kernel/errors.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Tried } from "./facts.ts";

export interface AttemptPorts {
  readonly clock: Clock;
  /** Ends everything: Ctrl-C, or the time for all checks is over. */
  readonly signal: AbortSignal;
}

/** Runs `run` unless the time is over already; what it throws becomes the reason. */
export async function attempt<Value>(
  { clock, signal }: AttemptPorts,
  run: () => Promise<Value>,
): Promise<Tried<Value>> {
  if (signal.aborted) return { kind: "failed", reason: messageOf(signal.reason) };
  const startMs = clock.monotonicMs();
  try {
    const value = await raceWith(signal, run());
    return { kind: "answered", value, tookMs: Math.round(clock.monotonicMs() - startMs) };
  } catch (error) {
    // Whatever went wrong is what doctor was asked to find: it becomes a finding.
    return {
      kind: "failed",
      reason: reasonOf(error),
      code: isCoxswainError(error) ? error.code : undefined,
    };
  }
}

/** `run` over all of `items`, `atOnce` at a time, in their order. */
export async function inTurns<Item, Value>(
  items: readonly Item[],
  atOnce: number,
  run: (item: Item) => Promise<Value>,
): Promise<Value[]> {
  const values: Value[] = [];
  for (let from = 0; from < items.length; from += atOnce) {
    values.push(...(await Promise.all(items.slice(from, from + atOnce).map((item) => run(item)))));
  }
  return values;
}

/** A call that takes no signal ends by its own deadline; nobody waits for it beyond `signal`. */
async function raceWith<Value>(signal: AbortSignal, running: Promise<Value>): Promise<Value> {
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason as Error);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([running, promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** With one address, the words around it say nothing that the finding does not say. */
function reasonOf(error: unknown): string {
  return messageOf(error).replace(/^No node answered at [^\s;]+: (?=[^;]+$)/, "");
}
