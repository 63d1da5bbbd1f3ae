/**
 * A histogram for the hot path: a child per label value, made once, whose observation is two additions.
 *
 * prom-client's own histogram validates and hashes its labels for each observation; with three of
 * them a push that is several percent of what a push costs. What is exported is the same: cumulative
 * buckets, sum and count.
 */
import type { Metric, Registry } from "prom-client";

export interface Observer {
  observe(seconds: number): void;
}

export interface SecondsHistogramConfig {
  readonly name: string;
  readonly help: string;
  /** Upper bounds in seconds, rising. */
  readonly buckets: readonly number[];
  /** At most one. */
  readonly labelName?: string;
  readonly registry: Registry;
}

interface Sample {
  readonly metricName: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

export class SecondsHistogram {
  readonly name: string;
  readonly help: string;
  readonly type = "histogram";
  readonly aggregator = "sum";
  readonly labelNames: readonly string[];
  readonly #buckets: readonly number[];
  readonly #children = new Map<string, Child>();

  constructor({ name, help, buckets, labelName, registry }: SecondsHistogramConfig) {
    this.name = name;
    this.help = help;
    this.labelNames = labelName === undefined ? [] : [labelName];
    this.#buckets = buckets;
    // The registry needs no more than name, help, type and `get`; its types name its own classes.
    registry.registerMetric(this as unknown as Metric);
  }

  /** What counts for one value of the label; keep it. */
  labels(value = ""): Observer {
    let child = this.#children.get(value);
    if (child === undefined) {
      child = new Child(this.#buckets);
      this.#children.set(value, child);
    }
    return child;
  }

  get(): Promise<{
    name: string;
    help: string;
    type: string;
    aggregator: string;
    values: Sample[];
  }> {
    const { name, help, type, aggregator } = this;
    const values = [...this.#children].flatMap(([value, child]) => this.#samples(value, child));
    return Promise.resolve({ name, help, type, aggregator, values });
  }

  /** Forgets what was observed; children stay valid. */
  reset(): void {
    for (const child of this.#children.values()) child.reset();
  }

  #samples(value: string, { counts, sum }: Child): Sample[] {
    const [labelName] = this.labelNames;
    const labels = labelName === undefined ? {} : { [labelName]: value };
    let count = 0;
    const buckets = counts.map((inBucket, index): Sample => {
      count += inBucket;
      const le = this.#buckets[index] ?? "+Inf";
      return { metricName: `${this.name}_bucket`, labels: { le, ...labels }, value: count };
    });
    return [
      ...buckets,
      { metricName: `${this.name}_sum`, labels, value: sum },
      { metricName: `${this.name}_count`, labels, value: count },
    ];
  }
}

class Child implements Observer {
  readonly #bounds: readonly number[];
  /** Not cumulative; the last is for what is above all bounds. */
  readonly counts: number[];
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.counts = Array.from({ length: bounds.length + 1 }, () => 0);
  }

  observe(seconds: number): void {
    const bounds = this.#bounds;
    let index = 0;
    while (index < bounds.length && seconds > (bounds[index] ?? 0)) index++;
    this.counts[index] = (this.counts[index] ?? 0) + 1;
    this.sum += seconds;
  }

  reset(): void {
    this.counts.fill(0);
    this.sum = 0;
  }
}
