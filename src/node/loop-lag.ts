/** Event-loop delay: what makes beats late and answers slow, as a metric and as a reason to let nobody in. */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { systemClock } from "../kernel/clock.ts";
import type { Metrics } from "../kernel/metrics.ts";

const everyMs = 1_000;
const sampleEveryMs = 50;
/** One pause, such as a garbage collection, is not a loop that is too busy. */
const newShareRatio = 0.3;

export interface LoopLag {
  /** How late the loop is of late: a moving mean, and at least a part of what it is late by now. */
  lagMs(): number;
  stop(): void;
}

/** Publishes the largest delay of each second until it is stopped. */
export function watchLoopLag(metrics: Metrics): LoopLag {
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
  const timer = setInterval(() => {
    metrics.loopLagSeconds.set(delay.max / 1e9);
    delay.reset();
  }, everyMs);
  let expectedMs = systemClock.monotonicMs() + sampleEveryMs;
  let meanMs = 0;
  const withNow = () => {
    const lateMs = Math.max(0, systemClock.monotonicMs() - expectedMs);
    return (1 - newShareRatio) * meanMs + newShareRatio * lateMs;
  };
  const sampler = setInterval(() => {
    meanMs = withNow();
    expectedMs = systemClock.monotonicMs() + sampleEveryMs;
  }, sampleEveryMs);
  timer.unref();
  sampler.unref();
  return {
    lagMs: () => Math.max(meanMs, withNow()),
    stop() {
      clearInterval(timer);
      clearInterval(sampler);
      delay.disable();
    },
  };
}
