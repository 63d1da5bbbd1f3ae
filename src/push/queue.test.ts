import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { lanes, pools, PushQueue, QueueSlot, type Lane, type Pool } from "./queue.ts";

class Slot<Value> extends QueueSlot<Slot<Value>> {
  readonly value: Value;

  constructor(value: Value) {
    super();
    this.value = value;
  }
}

function emptyQueue() {
  return { queue: new PushQueue<Slot<string>>(), slot: (value: string) => new Slot(value) };
}

/** The obvious queue: one array of what is ready, one of what waits. */
class NaiveQueue {
  ready: { host: number; lane: Lane; pool: Pool }[] = [];
  waiting: { host: number; lane: Lane; pool: Pool; dueMs: number }[] = [];
  inFlight = new Map<number, { lane: Lane; pool: Pool } | undefined>();

  add(host: number, lane: Lane, pool: Pool): void {
    if (this.inFlight.has(host)) {
      const wanted = this.inFlight.get(host);
      const lane2 = wanted === undefined ? lane : strongerOf(wanted.lane, lane);
      this.inFlight.set(host, { lane: lane2, pool });
      return;
    }
    this.waiting = this.waiting.filter((entry) => entry.host !== host);
    const present = this.ready.find((entry) => entry.host === host);
    const merged = present === undefined ? lane : strongerOf(present.lane, lane);
    if (present !== undefined && present.lane === merged && present.pool === pool) return;
    this.ready = this.ready.filter((entry) => entry.host !== host);
    this.ready.push({ host, lane: merged, pool });
  }

  wait(host: number, lane: Lane, pool: Pool, dueMs: number): void {
    if (this.inFlight.has(host) || this.ready.some((entry) => entry.host === host)) return;
    this.waiting = this.waiting.filter((entry) => entry.host !== host);
    this.waiting.push({ host, lane, pool, dueMs });
  }

  release(atMs: number): void {
    const due = this.waiting
      .filter((entry) => entry.dueMs <= atMs)
      .toSorted((left, right) => left.dueMs - right.dueMs);
    for (const { host, lane, pool } of due) this.add(host, lane, pool);
  }

  take(lane: Lane, pool: Pool): number | undefined {
    const index = this.ready.findIndex((entry) => entry.lane === lane && entry.pool === pool);
    const [taken] = index === -1 ? [] : this.ready.splice(index, 1);
    if (taken !== undefined) this.inFlight.set(taken.host, undefined);
    return taken?.host;
  }

  complete(host: number, pool: Pool): boolean {
    const wanted = this.inFlight.get(host);
    this.inFlight.delete(host);
    if (wanted !== undefined) this.add(host, wanted.lane, pool);
    return wanted !== undefined;
  }

  remove(host: number): void {
    if (this.inFlight.has(host)) this.inFlight.set(host, undefined);
    this.ready = this.ready.filter((entry) => entry.host !== host);
    this.waiting = this.waiting.filter((entry) => entry.host !== host);
  }
}

function strongerOf(left: Lane, right: Lane): Lane {
  return lanes.indexOf(left) < lanes.indexOf(right) ? left : right;
}

describe("the push queue", () => {
  it("never has two pushes in flight for one host, and remembers a change made meanwhile", () => {
    const { queue, slot } = emptyQueue();
    const host = slot("a");
    queue.add(host, "change", "steady", 0);
    expect(queue.take("change", "steady")).toBe(host);
    queue.add(host, "change", "steady", 1);
    expect(queue.take("change", "steady")).toBeUndefined();
    expect(queue.complete(host, "steady", 2)).toBe(true);
    expect(queue.take("change", "steady")).toBe(host);
    expect(queue.complete(host, "steady", 3)).toBe(false);
    expect(queue.take("change", "steady")).toBeUndefined();
  });

  it("raises the lane when it merges and never lowers it", () => {
    const { queue, slot } = emptyQueue();
    const host = slot("a");
    queue.add(host, "sweep", "steady", 0);
    queue.add(host, "rollback", "steady", 1);
    queue.add(host, "change", "steady", 2);
    expect(queue.length("rollback", "steady")).toBe(1);
    expect(queue.length("sweep", "steady") + queue.length("change", "steady")).toBe(0);
  });

  it("keeps the order within a lane when a host is added again", () => {
    const { queue, slot } = emptyQueue();
    const [first, second] = [slot("first"), slot("second")];
    queue.add(first, "change", "steady", 0);
    queue.add(second, "change", "steady", 1);
    queue.add(first, "change", "steady", 2);
    expect(queue.take("change", "steady")).toBe(first);
    expect(first.dueMs).toBe(0);
  });

  it("releases at most as many waiting hosts as it is told to, and says that more are due", () => {
    const { queue, slot } = emptyQueue();
    for (const dueMs of [5, 6, 7]) queue.wait(slot(String(dueMs)), "sweep", "steady", dueMs);
    expect(queue.release(10, 2)).toBe(true);
    expect(queue.length("sweep", "steady")).toBe(2);
    expect(queue.nextDueMs).toBe(7);
    expect(queue.release(10, 2)).toBe(false);
    expect(queue.length("sweep", "steady")).toBe(3);
  });

  it("keeps whole milliseconds: no wait is shorter than asked, no time in the lane longer than it was", () => {
    const { queue, slot } = emptyQueue();
    const host = slot("a");
    queue.wait(host, "sweep", "steady", 5.3);
    expect([queue.release(5.9, 1), queue.length("sweep", "steady")]).toEqual([false, 0]);
    queue.release(6, 1);
    expect([queue.length("sweep", "steady"), host.dueMs]).toEqual([1, 6]);
    queue.take("sweep", "steady");
    queue.complete(host, "steady", 7);
    queue.add(host, "change", "steady", 7.8);
    expect(host.dueMs).toBe(7);
  });

  it("behaves like the obvious queue for any sequence of calls", () => {
    const host = fc.nat(4);
    const lane = fc.constantFrom(...lanes);
    const pool = fc.constantFrom(...pools);
    const call = fc.oneof(
      fc.record({ kind: fc.constant("add" as const), host, lane, pool }),
      fc.record({ kind: fc.constant("wait" as const), host, lane, pool, afterMs: fc.nat(20) }),
      fc.record({ kind: fc.constant("take" as const), lane, pool }),
      fc.record({ kind: fc.constant("complete" as const), host, pool }),
      fc.record({ kind: fc.constant("remove" as const), host }),
      fc.record({ kind: fc.constant("advance" as const), byMs: fc.nat(15) }),
    );
    fc.assert(
      fc.property(fc.array(call, { maxLength: 60 }), (calls) => {
        const queue = new PushQueue<Slot<number>>();
        const slots = [0, 1, 2, 3, 4].map((value) => new Slot(value));
        const slotOf = (value: number) => slots[value] ?? new Slot(value);
        const naive = new NaiveQueue();
        let atMs = 0;
        for (const step of calls) {
          /** What the queue answered, and what the obvious one did. */
          let said: readonly [unknown, unknown] = [undefined, undefined];
          switch (step.kind) {
            case "add":
              queue.add(slotOf(step.host), step.lane, step.pool, atMs);
              naive.add(step.host, step.lane, step.pool);
              break;
            case "wait":
              queue.wait(slotOf(step.host), step.lane, step.pool, atMs + step.afterMs);
              naive.wait(step.host, step.lane, step.pool, atMs + step.afterMs);
              break;
            case "take":
              said = [queue.take(step.lane, step.pool)?.value, naive.take(step.lane, step.pool)];
              break;
            case "complete": {
              if (!naive.inFlight.has(step.host)) break;
              const isWanted = queue.complete(slotOf(step.host), step.pool, atMs);
              said = [isWanted, naive.complete(step.host, step.pool)];
              break;
            }
            case "remove":
              queue.remove(slotOf(step.host));
              naive.remove(step.host);
              break;
            case "advance":
              atMs += step.byMs;
              said = [queue.release(atMs, 100), false];
              naive.release(atMs);
              break;
          }
          expect(said[0]).toBe(said[1]);
          const dueMs = naive.waiting.map((entry) => entry.dueMs);
          expect(queue.nextDueMs).toBe(dueMs.length === 0 ? undefined : Math.min(...dueMs));
          for (const one of lanes) {
            for (const place of pools) {
              const ready = naive.ready.filter((e) => e.lane === one && e.pool === place);
              expect(queue.length(one, place)).toBe(ready.length);
            }
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});
