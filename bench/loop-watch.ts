/**
 * How late a timer would be: the event loop's delay as beats see it. A delay of 100 ms makes one late
 * sample where there should have been fifty, so the missed ones are filled in (each a period less
 * late than the one before): otherwise long delays would count least. The same in processor time of
 * this thread shows what other work on the machine does not change.
 */
import { percentile } from "./measure.ts";

const everyMs = 2;

export class LoopWatch {
  readonly #lagsMs: number[] = [];
  readonly #busyMs: number[] = [];
  #cpuMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #expectedMs = 0;

  start(): void {
    this.#expectedMs = performance.now() + everyMs;
    this.#cpuMs = threadCpuMs();
    this.#timer = setTimeout(() => this.#look(), everyMs);
  }

  /** Ends the watch. */
  stop(): { readonly lag: Delays; readonly busy: Delays } {
    clearTimeout(this.#timer);
    return { lag: delaysOf(this.#lagsMs), busy: delaysOf(this.#busyMs) };
  }

  #look(): void {
    addWithMissed(this.#lagsMs, Math.max(0, performance.now() - this.#expectedMs));
    addWithMissed(this.#busyMs, threadCpuMs() - this.#cpuMs);
    this.start();
  }
}

/** Milliseconds. */
export interface Delays {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

function addWithMissed(delaysMs: number[], delayMs: number): void {
  for (let missedMs = delayMs; missedMs >= 0; missedMs -= everyMs) delaysMs.push(missedMs);
}

function delaysOf(measuredMs: readonly number[]): Delays {
  const delaysMs = measuredMs.length === 0 ? [0] : measuredMs;
  return {
    p50: percentile(delaysMs, 0.5),
    p99: percentile(delaysMs, 0.99),
    max: delaysMs.reduce((most, delayMs) => Math.max(most, delayMs), 0),
  };
}

function threadCpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1_000;
}
