/**
 * Time as this process sees it, behind a port so that the same code runs on virtual time.
 *
 * Decisions never read a clock: they take `atMs`. Only loops (the effectful shell) hold a Clock.
 */

/** Time source of one process. All values are milliseconds. */
export interface Clock {
  /** Monotonic time, for elapsed time and every liveness decision; meaningless on another machine. */
  monotonicMs(): number;
  /** Wall clock, for people and logs only; never compared with another machine's value. */
  wallMs(): number;
  /** Resolves after `delayMs`; rejects with `signal.reason` when aborted and leaves no timer behind. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
  /** Runs `callback` once after `delayMs` unless the returned function is called first. */
  after(delayMs: number, callback: () => void): () => void;
}

/** The machine's own clock. `sleep` and `after` keep the process alive while they wait. */
export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  sleep: (delayMs, signal) => sleepWith(systemClock, delayMs, signal),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};

/** Builds `sleep` from `after`, so that every Clock aborts in the same way. */
export function sleepWith(
  clock: Pick<Clock, "after">,
  delayMs: number,
  signal?: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(asError(signal.reason));
      return;
    }
    const onAbort = () => {
      cancel();
      reject(asError(signal?.reason));
    };
    const cancel = clock.after(delayMs, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
