/**
 * A counter for the hot path: a child per set of label values, made once, whose increment is one addition.
 *
 * prom-client's own counter hashes its labels at each increment, in a child that was made once, too. What is
 * exported is the same. seconds-histogram.ts is the same for histograms.
 */
import type { Metric, Registry } from "prom-client";

export interface Increment {
  inc(by?: number): void;
}

export interface LabelledCounterConfig<Label extends string> {
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly Label[];
  readonly registry: Registry;
}

interface Sample<Label extends string> {
  readonly labels: Readonly<Record<Label, string>>;
  readonly value: number;
}

export class LabelledCounter<Label extends string> {
  readonly name: string;
  readonly help: string;
  readonly type = "counter";
  readonly aggregator = "sum";
  readonly labelNames: readonly Label[];
  readonly #children = new Map<string, Child<Label>>();

  constructor({ name, help, labelNames, registry }: LabelledCounterConfig<Label>) {
    this.name = name;
    this.help = help;
    this.labelNames = labelNames;
    // The registry needs no more than name, help, type and `get`; its types name its own classes.
    registry.registerMetric(this as unknown as Metric);
  }

  /** What counts for these values; keep it. */
  labels(labels: Readonly<Record<Label, string>>): Increment {
    const key = this.labelNames.map((name) => labels[name]).join("\0");
    let child = this.#children.get(key);
    if (child === undefined) {
      child = new Child(labels);
      this.#children.set(key, child);
    }
    return child;
  }

  get(): Promise<{
    name: string;
    help: string;
    type: string;
    aggregator: string;
    values: Sample<Label>[];
  }> {
    const { name, help, type, aggregator } = this;
    const values = [...this.#children.values()].map(({ labels, value }) => ({ labels, value }));
    return Promise.resolve({ name, help, type, aggregator, values });
  }

  /** Forgets what was counted; children stay valid. */
  reset(): void {
    for (const child of this.#children.values()) child.value = 0;
  }
}

class Child<Label extends string> implements Increment {
  readonly labels: Readonly<Record<Label, string>>;
  value = 0;

  constructor(labels: Readonly<Record<Label, string>>) {
    this.labels = labels;
  }

  inc(by = 1): void {
    this.value += by;
  }
}
