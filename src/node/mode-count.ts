/** How many hosts served here have a mode, as of some seconds ago: counting walks through all of them. */
import type { Clock } from "../kernel/clock.ts";
import type { HostMode } from "../protocol/host-mode.ts";
import type { Slice } from "./slice.ts";

const countEveryMs = 10_000;

export class ModeCount {
  readonly #clock: Clock;
  readonly #slice: () => Slice;
  readonly #mode: HostMode;
  #countedAtMs = -Infinity;
  #hostsCount = 0;

  constructor({ clock, slice }: { clock: Clock; slice: () => Slice }, mode: HostMode) {
    this.#clock = clock;
    this.#slice = slice;
    this.#mode = mode;
  }

  get(): number {
    const atMs = this.#clock.monotonicMs();
    if (atMs - this.#countedAtMs < countEveryMs) return this.#hostsCount;
    const slice = this.#slice();
    this.#countedAtMs = atMs;
    this.#hostsCount = 0;
    for (const partition of slice.servedPartitions()) {
      for (const { modes } of slice.hostsOf(partition)) {
        if (modes.includes(this.#mode)) this.#hostsCount += 1;
      }
    }
    return this.#hostsCount;
  }
}
