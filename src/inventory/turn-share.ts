/**
 * Turns of the event loop, shared: answers that arrive at the same moment are worked on a bounded amount
 * a turn, so that beats and replies in between are not late.
 *
 * Whoever has work asks for its amount first. When the amount of a turn is spent, all further work waits
 * for the next one, in the order in which it asked. The amount is counted and not timed, so that a run on virtual
 * time stays a function of its inputs.
 */
import type { Clock } from "../kernel/clock.ts";

export class TurnShare {
  readonly #clock: Pick<Clock, "sleep">;
  readonly #amountPerTurn: number;
  #spent = 0;
  #nextTurn: Promise<void> | undefined;

  constructor(clock: Pick<Clock, "sleep">, amountPerTurn: number) {
    this.#clock = clock;
    this.#amountPerTurn = amountPerTurn;
  }

  /** Resolves in a turn that has something left. The last one in it may pass its end by its own `amount`. */
  async take(amount: number): Promise<void> {
    while (this.#spent >= this.#amountPerTurn) await (this.#nextTurn ??= this.#renew());
    this.#spent += amount;
  }

  async #renew(): Promise<void> {
    await this.#clock.sleep(0);
    this.#spent = 0;
    this.#nextTurn = undefined;
  }
}
