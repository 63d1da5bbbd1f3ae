/**
 * Who waits for a config where the control plane sets the pace: each host at most once, first come,
 * first served, and no more a second than the pace.
 *
 * A host that wants something again while it waits changes nothing: it will get the newest. So there is
 * never more to do than one config a host, however much is asked for.
 */
/**
 * What may be caught up after a rest, as time of the pace: a process that waited for a processor. It is still
 * rendered one by one.
 */
const burstMs = 250;

export class WantedHosts {
  readonly #perMs: number;
  readonly #waiting = new Set<number>();
  #tokens = 0;
  #refilledMs: number;

  constructor(pacePerSecond: number, atMs: number) {
    this.#perMs = pacePerSecond / 1_000;
    this.#refilledMs = atMs;
  }

  get length(): number {
    return this.#waiting.size;
  }

  want(host: number): void {
    this.#waiting.add(host);
  }

  /** The next host, where there is one and the pace allows. */
  take(atMs: number): number | undefined {
    this.#refill(atMs);
    if (this.#tokens < 1) return undefined;
    for (const host of this.#waiting) {
      this.#waiting.delete(host);
      this.#tokens--;
      return host;
    }
    return undefined;
  }

  /** How long until the pace allows the next. */
  waitMs(atMs: number): number {
    this.#refill(atMs);
    return Math.max(0, (1 - this.#tokens) / this.#perMs);
  }

  #refill(atMs: number): void {
    const burst = Math.max(1, burstMs * this.#perMs);
    const earned = Math.max(0, atMs - this.#refilledMs) * this.#perMs;
    this.#tokens = Math.min(burst, this.#tokens + earned);
    this.#refilledMs = Math.max(this.#refilledMs, atMs);
  }
}
