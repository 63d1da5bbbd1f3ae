/** What the fleet counts in one bucket of time; taken when the bucket has passed. */
import type { Counts } from "./goodput.ts";

export class FleetCounter {
  #offered = 0;
  #tries = 0;
  #good = 0;

  offered(): void {
    this.#offered++;
  }

  tried(): void {
    this.#tries++;
  }

  arrived(): void {
    this.#good++;
  }

  /** What was counted since the last call. */
  take(): Counts {
    const counts = { offered: this.#offered, tries: this.#tries, good: this.#good };
    this.#offered = 0;
    this.#tries = 0;
    this.#good = 0;
    return counts;
  }
}
