/** Event-loop delay as a metric: what makes beats late and answers slow. */
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { Metrics } from "../kernel/metrics.ts";

const everyMs = 1_000;

/** Publishes the largest delay of each second until the returned function is called. */
export function watchLoopLag(metrics: Metrics): () => void {
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
  const timer = setInterval(() => {
    metrics.loopLagSeconds.set(delay.max / 1e9);
    delay.reset();
  }, everyMs);
  timer.unref();
  return () => {
    clearInterval(timer);
    delay.disable();
  };
}
