/**
 * The server's queue in front of the renderer, plain or hardened.
 *
 * Plain: first in, first out, without end, and what is taken is rendered even if nobody waits for it any
 * more, as a server does that does not look. Hardened: a bound on the length, and nothing is taken whose
 * client has gone or could not get it in time.
 */
export interface QueuePolicy {
  readonly lengthMax: number;
  /** What a render takes, so that none is begun that ends too late; undefined: deadlines are not looked at. */
  readonly renderMs: number | undefined;
}

export const plainQueue: QueuePolicy = { lengthMax: Infinity, renderMs: undefined };

/** As long as half of the timeout's work: whoever is let in is served in time. */
export function hardenedQueue(capacityPerSecond: number, timeoutMs: number): QueuePolicy {
  const lengthMax = Math.max(1, Math.floor((capacityPerSecond * timeoutMs) / 2_000));
  return { lengthMax, renderMs: 1_000 / capacityPerSecond };
}

interface Job {
  /** When its client gives up. */
  readonly deadlineMs: number;
  /** Its client has closed the connection. */
  readonly isGone: boolean;
}

/** Taken jobs are cut off the front when this many have gathered. */
const compactFrom = 1_024;

export class RenderQueue<T extends Job> {
  readonly #policy: QueuePolicy;
  #jobs: T[] = [];
  #head = 0;

  constructor(policy: QueuePolicy) {
    this.#policy = policy;
  }

  get length(): number {
    return this.#jobs.length - this.#head;
  }

  /** False where the queue is full. */
  offer(job: T): boolean {
    if (this.length >= this.#policy.lengthMax) return false;
    this.#jobs.push(job);
    return true;
  }

  /** The next job to render; those that are passed over go to `drop`. */
  take(atMs: number, drop: (job: T) => void): T | undefined {
    for (let job = this.#shift(); job !== undefined; job = this.#shift()) {
      if (!this.#isLost(job, atMs)) return job;
      drop(job);
    }
    return undefined;
  }

  #isLost(job: T, atMs: number): boolean {
    const { renderMs } = this.#policy;
    return renderMs !== undefined && (job.isGone || atMs + renderMs > job.deadlineMs);
  }

  #shift(): T | undefined {
    const job = this.#jobs[this.#head];
    if (job === undefined) return undefined;
    this.#head++;
    if (this.#head >= compactFrom) {
      this.#jobs = this.#jobs.slice(this.#head);
      this.#head = 0;
    }
    return job;
  }
}
