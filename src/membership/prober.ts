/** Probes under way: at most one of each address, each with a deadline, none of them throws. */
import type { Clock } from "../kernel/clock.ts";
import type { Logger } from "../kernel/log.ts";
import { withDeadline } from "./bounded-store.ts";
import type { Probe } from "./claim.ts";
import type { Target } from "./decide.ts";

export class Prober {
  readonly #ports: { readonly clock: Clock; readonly log: Logger; readonly probe: Probe };
  readonly #timeoutMs: number;
  readonly #onRefused: (target: Target) => void;
  readonly #underWay = new Map<string, Promise<void>>();

  constructor(
    ports: { readonly clock: Clock; readonly log: Logger; readonly probe: Probe },
    timeoutMs: number,
    onRefused: (target: Target) => void,
  ) {
    this.#ports = ports;
    this.#timeoutMs = timeoutMs;
    this.#onRefused = onRefused;
  }

  /** Asks the member's address, unless that is being asked already. */
  ask(target: Target, signal: AbortSignal): void {
    if (this.#underWay.has(target.slot)) return;
    this.#underWay.set(target.slot, this.#ask(target, signal));
  }

  /** Resolves when no probe is under way. */
  async idle(): Promise<void> {
    await Promise.all(this.#underWay.values());
  }

  async #ask(target: Target, signal: AbortSignal): Promise<void> {
    const { clock, probe, log } = this.#ports;
    try {
      const answer = await withDeadline(
        () => probe(target.fleetUrl, this.#timeoutMs),
        clock,
        2 * this.#timeoutMs,
        signal,
        () => "unknown",
      );
      if (answer === "refused") this.#onRefused(target);
    } catch (error) {
      // A probe that fails proves nothing; the reads go on counting.
      log.debug({ err: error, slot: target.slot }, "probe failed");
    } finally {
      this.#underWay.delete(target.slot);
    }
  }
}
