/** Draws from a random stream: everything that chance decides in a simulated run. */
import { createRandom, type Random } from "../src/kernel/random.ts";

export class Dice {
  readonly random: Random;

  constructor(random: Random) {
    this.random = random;
  }

  static of(seed: number, label: string): Dice {
    return new Dice(createRandom(`sim/${seed}/${label}`));
  }

  chance(ratio: number): boolean {
    return ratio > 0 && this.random.next() < ratio;
  }

  between(low: number, high: number): number {
    return low + this.random.next() * (high - low);
  }

  /** A whole number from `low` to `high`, both included. */
  whole(low: number, high: number): number {
    return low + Math.floor(this.random.next() * (high - low + 1));
  }

  pick<T>(options: readonly T[]): T | undefined {
    return options[Math.floor(this.random.next() * options.length)];
  }

  /** `count` different ones, in random order. */
  some<T>(options: readonly T[], count: number): T[] {
    const left = [...options];
    const chosen: T[] = [];
    while (chosen.length < count && left.length > 0) {
      chosen.push(...left.splice(Math.floor(this.random.next() * left.length), 1));
    }
    return chosen;
  }

  /** Time to the next event of a Poisson process. */
  gapMs(perMinute: number): number {
    return (-Math.log(1 - this.random.next()) * 60_000) / perMinute;
  }
}
