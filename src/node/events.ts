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

/** Some events of one node, and where to go on reading. */
export interface EventPage {
  readonly events: readonly NodeEvent[];
  /** Number of events that the node has emitted in all. */
  readonly last: number;
}

const keptCount = 256;

/** A bounded history and its subscribers. */
export class EventLog {
  readonly #clock: Clock;
  readonly #node: string;
  readonly #recent: NodeEvent[] = [];
  readonly #listeners = new Set<(event: NodeEvent) => void>();
  #emittedCount = 0;

  constructor(clock: Clock, node: string) {
    this.#clock = clock;
    this.#node = node;
  }

  emit(type: string, fields: Readonly<Record<string, unknown>>): void {
    const at = new Date(this.#clock.wallMs()).toISOString();
    const event: NodeEvent = { type, at, node: this.#node, ...fields };
    this.#emittedCount += 1;
    this.#recent.push(event);
    if (this.#recent.length > keptCount) this.#recent.shift();
    for (const listener of this.#listeners) listener(event);
  }

  /**
   * The events after the first `after`, oldest first, `keptCount` at most. A number from another life
   * of the process is beyond what this one has emitted: then all that are kept.
   */
  page(after: number): EventPage {
    const last = this.#emittedCount;
    const missed = after > last ? last : last - after;
    return { events: missed === 0 ? [] : this.#recent.slice(-missed), last };
  }

  /** Calls `listener` with every later event until the returned function is called. */
  subscribe(listener: (event: NodeEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }
}
