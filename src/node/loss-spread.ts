/**
 * What this node tells its reverse hosts for the case that it is lost: how long to spread their coming
 * again. It counts on as many hosts as it has to expect, not only those that are here already: a node that has
 * just started tells the first ones the same as the last.
 */
import type { Clock } from "../kernel/clock.ts";
import { lossSpreadMs, type AttachLimits } from "./attach-admission.ts";
import { ModeCount } from "./mode-count.ts";
import type { Slice } from "./slice.ts";

export interface LossSpreadPorts {
  readonly clock: Clock;
  readonly slot: string;
  readonly slice: () => Slice;
  readonly linkCount: () => number;
}

export class LossSpread {
  readonly #ports: LossSpreadPorts;
  readonly #limits: Pick<AttachLimits, "attachesPerSecond">;
  /** Hosts served here that may attach. */
  readonly #ownHosts: ModeCount;

  constructor(ports: LossSpreadPorts, limits: Pick<AttachLimits, "attachesPerSecond">) {
    this.#ports = ports;
    this.#limits = limits;
    this.#ownHosts = new ModeCount(ports, "reverse");
  }

  ms(): number {
    const { slot, slice, linkCount } = this.#ports;
    const others = slice().view.members.filter(
      (member) => member.slot !== slot && member.state === "active",
    ).length;
    return lossSpreadMs(Math.max(linkCount(), this.#ownHosts.get()), others, this.#limits);
  }
}
