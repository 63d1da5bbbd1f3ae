/**
 * Which verified knocks wake a host: each counter once, each host once a second. Pure.
 *
 * The memory of counters is bounded and not durable: after a restart, or after an hour, an old knock
 * that somebody kept is taken once more. All it can do is make the owner call the host.
 */

interface Seen {
  readonly counter: bigint;
  readonly atMs: number;
}

/** About 100 bytes each. */
const hostsMax = 200_000;
const memoryMs = 60 * 60_000;
const wakeEveryMs = 1_000;

export type KnockVerdict = "wake" | "replayed" | "tooSoon";

export class KnockGate {
  /** Longest not heard first. */
  readonly #seen = new Map<string, Seen>();

  /** The verdict on a knock of `host`; a knock that wakes is remembered. */
  take(host: string, counter: bigint, atMs: number): KnockVerdict {
    const before = this.#seen.get(host);
    if (before !== undefined && atMs - before.atMs < memoryMs) {
      if (counter <= before.counter) return "replayed";
      if (atMs - before.atMs < wakeEveryMs) return "tooSoon";
    }
    this.#seen.delete(host);
    this.#seen.set(host, { counter, atMs });
    if (this.#seen.size > hostsMax) {
      const [oldest] = this.#seen.keys();
      if (oldest !== undefined) this.#seen.delete(oldest);
    }
    return "wake";
  }
}
