/**
 * Virtual time: one ordered list of events for the whole simulated world.
 *
 * Events happen in the total order (time, creation), one at a time. Between two events the event
 * loop is given a macrotask turn, so that every promise chain an event started has settled before
 * the next one happens. That makes a run a function of its seed alone.
 */
interface TimelineEvent {
  readonly dueMs: number;
  readonly sequence: number;
  callback: (() => void) | undefined;
}

/** Immediates queued together: promises settle between any two, and the loop polls less often. */
const stepsPerTurnDefault = 64;

export class Timeline {
  readonly #stepsPerTurn: number;
  #nowMs = 0;
  #sequence = 0;
  #stepCount = 0;
  readonly #heap: TimelineEvent[] = [];

  /** 1: what an event leaves to an immediate of its own happens before the next event, too. */
  constructor(stepsPerTurn = stepsPerTurnDefault) {
    this.#stepsPerTurn = stepsPerTurn;
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Events that have happened so far. */
  get stepCount(): number {
    return this.#stepCount;
  }

  /** Runs `callback` at `dueMs` (never before now) unless the returned function is called first. */
  at(dueMs: number, callback: () => void): () => void {
    const event: TimelineEvent = {
      dueMs: Math.max(this.#nowMs, dueMs),
      sequence: this.#sequence++,
      callback,
    };
    this.#push(event);
    return () => {
      event.callback = undefined;
    };
  }

  after(delayMs: number, callback: () => void): () => void {
    return this.at(this.#nowMs + delayMs, callback);
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.after(delayMs, resolve);
    });
  }

  /** Lets events happen until `untilMs` or until `isOver` says so after one of them. */
  run(untilMs: number, isOver: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      let isDone = false;
      const finish = (end: () => void) => {
        isDone = true;
        end();
      };
      const step = () => {
        if (isDone) return;
        if (isOver()) {
          finish(resolve);
          return;
        }
        const event = this.#takeDue(untilMs);
        if (event === undefined) {
          this.#nowMs = Math.max(this.#nowMs, untilMs);
          finish(resolve);
          return;
        }
        this.#nowMs = event.dueMs;
        this.#stepCount++;
        try {
          event.callback?.();
        } catch (error) {
          finish(() => reject(error instanceof Error ? error : new Error(String(error))));
        }
      };
      const turn = () => {
        if (isDone) return;
        for (let count = 0; count < this.#stepsPerTurn; count++) setImmediate(step);
        setImmediate(turn);
      };
      turn();
    });
  }

  #takeDue(untilMs: number): TimelineEvent | undefined {
    for (;;) {
      const first = this.#heap[0];
      if (first === undefined || first.dueMs > untilMs) return undefined;
      this.#pop();
      if (first.callback !== undefined) return first;
    }
  }

  #push(event: TimelineEvent): void {
    const heap = this.#heap;
    let index = heap.length;
    heap.push(event);
    while (index > 0) {
      const parentIndex = (index - 1) >> 1;
      const parent = heap[parentIndex];
      if (parent === undefined || isBefore(parent, event)) break;
      heap[index] = parent;
      index = parentIndex;
    }
    heap[index] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let index = 0;
    for (;;) {
      let childIndex = 2 * index + 1;
      let child = heap[childIndex];
      if (child === undefined) break;
      const right = heap[childIndex + 1];
      if (right !== undefined && isBefore(right, child)) {
        child = right;
        childIndex++;
      }
      if (isBefore(last, child)) break;
      heap[index] = child;
      index = childIndex;
    }
    heap[index] = last;
  }
}

function isBefore(left: TimelineEvent, right: TimelineEvent): boolean {
  return left.dueMs === right.dueMs ? left.sequence < right.sequence : left.dueMs < right.dueMs;
}
