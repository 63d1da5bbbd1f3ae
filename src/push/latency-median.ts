/**
 * The median of reply times, in constant memory.
 *
 * A median and not a mean: a few hosts that take seconds must not look like a fleet that became slow.
 * Times fall into buckets that grow by a ninth, which is as exact as a comparison of two medians needs.
 */
const bucketsPerOctave = 8;
const leastMs = 1 / 16;
/** Up to 131 seconds; longer counts as that. */
const bucketCount = 21 * bucketsPerOctave;

export class LatencyMedian {
  readonly #counts = new Uint32Array(bucketCount);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(latencyMs: number): void {
    const octaves = Math.log2(Math.max(leastMs, latencyMs) / leastMs);
    const bucket = Math.min(bucketCount - 1, Math.floor(octaves * bucketsPerOctave));
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#count++;
  }

  /** Milliseconds, the middle of the bucket that holds the median; 0 where nothing was added. */
  get medianMs(): number {
    let left = this.#count / 2;
    for (const [bucket, count] of this.#counts.entries()) {
      left -= count;
      if (count > 0 && left <= 0) return leastMs * 2 ** ((bucket + 0.5) / bucketsPerOctave);
    }
    return 0;
  }

  clear(): void {
    this.#counts.fill(0);
    this.#count = 0;
  }
}
