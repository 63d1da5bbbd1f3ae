/**
 * What this node tells its reverse hosts for the case that it is lost: how long to spread their coming
 * again. It counts on as many hosts as it has to expect, not only those that are here already: a node that has
 * just started tells the first ones the same as the last.
 */
import type { Clock } from "../kernel/clock.ts";
import { lossSpreadMs, type AttachLimits } from "./attach-admission.ts";
import type { Slice } from "./slice.ts";

export interface LossSpreadPorts {
  readonly clock: Clock;
  readonly slot: string;
  readonly slice: () => Slice;
  readonly linkCount: () => number;
}

const countEveryMs = 10_000;

export class LossSpread {
  readonly #ports: LossSpreadPorts;
  readonly #limits: Pick<AttachLimits, "attachesPerSecond">;
  #countedAtMs = -Infinity;
  #ownCount = 0;

  constructor(ports: LossSpreadPorts, limits: Pick<AttachLimits, "attachesPerSecond">) {
    this.#ports = ports;
    this.#limits = limits;
  }

  ms(): number {
    const { slot, slice, linkCount } = this.#ports;
    const others = slice().view.members.filter(
      (member) => member.slot !== slot && member.state === "active",
    ).length;
    return lossSpreadMs(Math.max(linkCount(), this.#owned()), others, this.#limits);
  }

  /** Hosts served here that may attach, as of some seconds ago. */
  #owned(): number {
    const atMs = this.#ports.clock.monotonicMs();
    if (atMs - this.#countedAtMs < countEveryMs) return this.#ownCount;
    const slice = this.#ports.slice();
    this.#countedAtMs = atMs;
    this.#ownCount = 0;
    for (const partition of slice.servedPartitions()) {
      for (const { modes } of slice.hostsOf(partition)) {
        if (modes.includes("reverse")) this.#ownCount += 1;
      }
    }
    return this.#ownCount;
  }
}
