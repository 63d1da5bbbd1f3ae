/**
 * What hosts say about the node's own knowledge, at a rate that makes sense: one answer is enough to
 * read everything again, and a host that makes numbers up must not hide the others' words.
 */

const staleNewsPerSecondMax = 100;
const viewNewsEveryMs = 1_000;

export class Notices {
  #view = "";
  #viewMs = Number.NEGATIVE_INFINITY;
  #staleSecond = 0;
  #staleCount = 0;

  /** True where a view that a host has seen is worth a look. Not only ever higher ones: see above. */
  isViewNews(view: string, atMs: number): boolean {
    if (view === this.#view || atMs - this.#viewMs < viewNewsEveryMs) return false;
    this.#view = view;
    this.#viewMs = atMs;
    return true;
  }

  /** True where a push that was refused as going back is worth a look. */
  isStaleNews(atMs: number): boolean {
    const second = Math.floor(atMs / 1_000);
    if (second !== this.#staleSecond) {
      this.#staleSecond = second;
      this.#staleCount = 0;
    }
    return this.#staleCount++ < staleNewsPerSecondMax;
  }
}
