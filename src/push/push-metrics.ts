/** The push metrics, with their label children looked up once: a push touches several of them. */
import type { Increment } from "../kernel/labelled-counter.ts";
import type { Metrics } from "../kernel/metrics.ts";
import type { Observer } from "../kernel/seconds-histogram.ts";
import type { OutcomeKind } from "./outcome.ts";
import { outOfSyncCount, type PushCounts } from "./push-counts.ts";
import type { PushLoop } from "./push-loop.ts";
import { lanes, type Lane, type PushQueue } from "./queue.ts";

export class PushMetrics {
  readonly #metrics: Metrics;
  readonly #pushSeconds: Readonly<Record<Lane, Observer>>;
  readonly #queueSeconds: Readonly<Record<Lane, Observer>>;
  readonly #convergenceSeconds: Observer;
  readonly #outcomes: Readonly<Record<Lane, Map<OutcomeKind, Increment>>>;

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
    this.#pushSeconds = perLane((lane) => metrics.pushSeconds.labels(lane));
    this.#queueSeconds = perLane((lane) => metrics.pushQueueSeconds.labels(lane));
    this.#convergenceSeconds = metrics.convergenceSeconds.labels();
    this.#outcomes = perLane(() => new Map());
  }

  started(lane: Lane, queuedMs: number): void {
    this.#queueSeconds[lane].observe(queuedMs / 1_000);
  }

  ended(lane: Lane, outcome: OutcomeKind, tookMs: number): void {
    this.#pushSeconds[lane].observe(tookMs / 1_000);
    const children = this.#outcomes[lane];
    let child = children.get(outcome);
    if (child === undefined) {
      child = this.#metrics.pushesTotal.labels({ lane, outcome });
      children.set(outcome, child);
    }
    child.inc();
  }

  converged(tookMs: number): void {
    this.#convergenceSeconds.observe(tookMs / 1_000);
  }

  drifted(): void {
    this.#metrics.driftTotal.inc();
  }

  wasStale(): void {
    this.#metrics.staleFenceTotal.inc();
  }

  /** Gauges; called at a steady interval and not per push. */
  sample(
    counts: PushCounts,
    queue: Pick<PushQueue<never>, "length">,
    loop: Pick<PushLoop, "inFlightCount" | "limits">,
    socketCount: number,
  ): void {
    for (const [reachability, count] of Object.entries(counts.reachability)) {
      this.#metrics.hostsByReachability.set({ reachability }, count);
    }
    this.#metrics.hostsOutOfSync.set(outOfSyncCount(counts));
    for (const lane of lanes) {
      const length = queue.length(lane, "steady") + queue.length(lane, "suspect");
      this.#metrics.pushQueueLength.set({ lane }, length);
    }
    this.#metrics.pushesInFlight.set(loop.inFlightCount);
    this.#metrics.pushInFlightLimit.set(loop.limits.inFlight);
    this.#metrics.pushRateLimit.set(loop.limits.perSecond);
    this.#metrics.pushSockets.set(socketCount);
  }
}

function perLane<Value>(make: (lane: Lane) => Value): Record<Lane, Value> {
  return {
    rollback: make("rollback"),
    record: make("record"),
    change: make("change"),
    sweep: make("sweep"),
    retry: make("retry"),
  };
}
