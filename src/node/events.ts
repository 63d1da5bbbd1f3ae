/**
 * Events: what a person watching the cluster wants to see once. They are a view of the system, never
 * an input to it: losing one loses nothing.
 */
import type { Clock } from "../kernel/clock.ts";

export type NodeEvent = {
  /** `view.changed`, `host.reachability`, `host.drift`, `rollout.started`, … */
  readonly type: string;
  /** ISO text, for people. */
  readonly at: string;
  /** Slot of the node that saw it. */
  readonly node: string;
} & Readonly<Record<string, unknown>>;

const keptCount = 256;

/** A bounded history and its subscribers. */
export class EventLog {
  readonly #clock: Clock;
  readonly #node: string;
  readonly #recent: NodeEvent[] = [];
  readonly #listeners = new Set<(event: NodeEvent) => void>();

  constructor(clock: Clock, node: string) {
    this.#clock = clock;
    this.#node = node;
  }

  emit(type: string, fields: Readonly<Record<string, unknown>>): void {
    const at = new Date(this.#clock.wallMs()).toISOString();
    const event: NodeEvent = { type, at, node: this.#node, ...fields };
    this.#recent.push(event);
    if (this.#recent.length > keptCount) this.#recent.shift();
    for (const listener of this.#listeners) listener(event);
  }

  /** The newest `keptCount` events, oldest first. */
  recent(): readonly NodeEvent[] {
    return [...this.#recent];
  }

  /** Calls `listener` with every later event until the returned function is called. */
  subscribe(listener: (event: NodeEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }
}
