/**
 * What people hear of a node's rounds: a gauge for each state, and one log line for each change of it,
 * however many rounds a state lasts.
 */
import type { CoxswainError } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";
import type { Metrics } from "../kernel/metrics.ts";
import type { Verdict } from "./decide.ts";

export class RoundAlarms {
  readonly #log: Logger;
  readonly #metrics: Metrics;
  #isReachable = true;
  #isHeld = false;
  #stalled = "";
  #corrupt: ReadonlyMap<string, CoxswainError> = new Map();

  constructor({ log, metrics }: { readonly log: Logger; readonly metrics: Metrics }) {
    this.#log = log;
    this.#metrics = metrics;
  }

  /** `failure` is undefined after a read that worked. */
  read(failure: CoxswainError | undefined): void {
    const isReachable = failure === undefined;
    if (isReachable === this.#isReachable) return;
    this.#isReachable = isReachable;
    if (isReachable) this.#log.info({}, "membership reads the store again");
    else this.#log.warn({ err: failure }, "membership cannot read the store: view kept");
  }

  corrupt(rows: ReadonlyMap<string, CoxswainError>): void {
    for (const [slot, error] of rows) {
      if (this.#corrupt.has(slot)) continue;
      this.#log.error({ err: error, slot }, "member item cannot be read");
    }
    this.#corrupt = rows;
    this.#metrics.memberItemsCorrupt.set(rows.size);
  }

  judged({ isHeld, state, suspects, stalled }: Verdict): void {
    this.#held(isHeld && state.brake.sinceMs !== undefined, Object.keys(suspects));
    this.#metrics.membersStalled.set(stalled.length);
    const text = stalled.join();
    if (text !== this.#stalled && text !== "") {
      this.#log.error({ slots: stalled }, "members beat and finish no push");
    }
    this.#stalled = text;
  }

  #held(isHeld: boolean, slots: readonly string[]): void {
    this.#metrics.evictionHeld.set(isHeld ? 1 : 0);
    if (isHeld && !this.#isHeld) this.#log.error({ slots }, "mass silence: evictions are held");
    if (!isHeld && this.#isHeld) this.#log.info({}, "evictions are held no more");
    this.#isHeld = isHeld;
  }
}
