/**
 * The network between nodes, hosts and the store: one-way messages with delay, loss, duplicates,
 * very late arrivals, and cuts in one direction.
 *
 * Endpoints are named `node-a`, `host:h1`, `store`. A cut drops what is sent while it lasts; a message
 * already on its way arrives. Reordering follows from independent delays.
 */
import type { Dice } from "./dice.ts";
import type { Timeline } from "./timeline.ts";

export interface NetworkWeights {
  readonly lossRatio: number;
  readonly duplicateRatio: number;
  /** Messages that arrive seconds to a minute late. */
  readonly lateRatio: number;
  readonly delayMinMs: number;
  readonly delayMaxMs: number;
}

const retransmitMinMs = 200;

export class Network {
  weights: NetworkWeights;
  readonly #timeline: Timeline;
  readonly #dice: Dice;
  readonly #calmWeights: NetworkWeights;
  /** Number of cuts that hold for each direction, by `from>to`. */
  readonly #cuts = new Map<string, number>();
  /** Directions in which connections are refused by something on the way. */
  readonly #refusals = new Map<string, number>();
  /** When the last refusal of a direction ended. */
  readonly #refusedUntilMs = new Map<string, number>();

  constructor(timeline: Timeline, dice: Dice, weights: NetworkWeights) {
    this.#timeline = timeline;
    this.#dice = dice;
    this.weights = weights;
    this.#calmWeights = { ...weights, lossRatio: 0, duplicateRatio: 0, lateRatio: 0 };
  }

  /** Sends one message; `deliver` runs at its arrival, once, twice or never. */
  send(from: string, to: string, deliver: () => void): void {
    const { lossRatio, duplicateRatio } = this.weights;
    if (this.isCut(from, to) || this.#dice.chance(lossRatio)) return;
    this.#timeline.after(this.#delayMs(), deliver);
    if (this.#dice.chance(duplicateRatio)) this.#timeline.after(this.#delayMs(), deliver);
  }

  /** Time of bytes on a connection: what is lost on the way is sent again. */
  streamDelayMs(): number {
    const { lossRatio, delayMinMs, delayMaxMs } = this.weights;
    let delayMs = this.#dice.between(delayMinMs, delayMaxMs);
    for (let waitMs = retransmitMinMs; this.#dice.chance(lossRatio); waitMs *= 2) delayMs += waitMs;
    return delayMs;
  }

  isCut(from: string, to: string): boolean {
    return (this.#cuts.get(`${from}>${to}`) ?? 0) > 0;
  }

  get hasRefusals(): boolean {
    return [...this.#refusals.values()].some((count) => count > 0);
  }

  isRefused(from: string, to: string): boolean {
    return (this.#refusals.get(`${from}>${to}`) ?? 0) > 0;
  }

  /** True where it is, or was so since then. */
  wasRefused(from: string, to: string, sinceMs: number): boolean {
    const untilMs = this.#refusedUntilMs.get(`${from}>${to}`) ?? -Infinity;
    return this.isRefused(from, to) || untilMs >= sinceMs;
  }

  /** Cuts `from` -> `to` until the returned function is called. */
  cut(from: string, to: string): () => void {
    return raise(this.#cuts, `${from}>${to}`);
  }

  /** Answers connections from `from` to `to` with a refusal until the returned function is called. */
  refuse(from: string, to: string): () => void {
    const end = raise(this.#refusals, `${from}>${to}`);
    return () => {
      end();
      this.#refusedUntilMs.set(`${from}>${to}`, this.#timeline.nowMs);
    };
  }

  /** No loss, no duplicates, nothing late. Cuts are ended by whoever made them. */
  calm(): void {
    this.weights = this.#calmWeights;
  }

  #delayMs(): number {
    const { delayMinMs, delayMaxMs, lateRatio } = this.weights;
    if (this.#dice.chance(lateRatio)) return this.#dice.between(1_000, 60_000);
    return this.#dice.between(delayMinMs, delayMaxMs);
  }
}

function raise(counts: Map<string, number>, key: string): () => void {
  let isRaised = true;
  counts.set(key, (counts.get(key) ?? 0) + 1);
  return () => {
    if (!isRaised) return;
    isRaised = false;
    counts.set(key, (counts.get(key) ?? 1) - 1);
  };
}
