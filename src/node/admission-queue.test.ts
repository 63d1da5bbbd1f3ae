import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createRandom } from "../kernel/random.ts";
import { AdmissionQueue, type AdmissionOptions, type Caller } from "./admission-queue.ts";

const options: AdmissionOptions = {
  perSecond: 100,
  runningMax: 8,
  waitingMax: 50,
  lagMaxMs: 200,
  retryAfterMinMs: 1_000,
  retryAfterMaxMs: 300_000,
};

const caller = (deadlineMs: number, isGone = () => false): Caller => ({ deadlineMs, isGone });

describe("a caller is refused at once", () => {
  it("where the event loop is late", () => {
    const queue = new AdmissionQueue(options);
    expect(queue.offer(caller(10_000), 0, 200)).toBe("lag");
    expect(queue.offer(caller(10_000), 0, 199)).toBeUndefined();
  });

  it("where the queue is full", () => {
    const queue = new AdmissionQueue(options);
    for (let count = 0; count < 50; count++) queue.offer(caller(10_000), 0, 0);
    expect(queue.offer(caller(10_000), 0, 0)).toBe("full");
    expect(queue.waitingCount).toBe(50);
  });

  it("where its turn would come after it has given up", () => {
    const queue = new AdmissionQueue(options);
    for (let count = 0; count < 45; count++) queue.offer(caller(10_000), 0, 0);
    // 25 of them go at once, 21 places behind take 210 ms.
    expect(queue.offer(caller(400), 0, 0)).toBe("hopeless");
    expect(queue.offer(caller(440), 0, 0)).toBeUndefined();
  });
});

describe("a caller that waits", () => {
  it("is dropped once it has gone or waited for half its patience, and costs the pace nothing", () => {
    const queue = new AdmissionQueue({ ...options, runningMax: 1 });
    const first = caller(10_000);
    let isGone = false;
    const left = caller(10_000, () => isGone);
    const impatient = caller(500);
    const last = caller(10_000);
    for (const each of [first, left, impatient, last]) queue.offer(each, 0, 0);
    expect(queue.next(0)).toEqual({ run: [first], dropped: [] });
    isGone = true;
    queue.ended(1);
    expect(queue.next(300)).toEqual({ run: [last], dropped: [left, impatient] });
  });

  it("is woken when the pace has room for it", () => {
    const queue = new AdmissionQueue({ ...options, runningMax: 1_000 });
    for (let count = 0; count < 26; count++) queue.offer(caller(10_000), 0, 0);
    expect(queue.next(0).run).toHaveLength(25);
    expect(queue.wakeInMs()).toBe(10);
    expect(queue.next(9).run).toHaveLength(0);
    expect(queue.next(10).run).toHaveLength(1);
    expect(queue.wakeInMs()).toBeUndefined();
  });
});

it("refused callers are told to come back no faster than they can be served", () => {
  const queue = new AdmissionQueue({ ...options, waitingMax: 0 });
  const draws = createRandom("herd");
  const backAtMs = Array.from({ length: 5_000 }, () => {
    queue.offer(caller(10_000), 0, 0);
    return queue.retryAfterMs(draws.next());
  });
  const bySecond = new Map<number, number>();
  for (const atMs of backAtMs.map((ms) => Math.floor(ms / 1_000))) {
    bySecond.set(atMs, (bySecond.get(atMs) ?? 0) + 1);
  }
  expect(Math.max(...bySecond.values())).toBeLessThan(160);
  expect(bySecond.size).toBeGreaterThan(50);
});

const step = fc.record({
  arrivals: fc.integer({ min: 0, max: 80 }),
  patienceMs: fc.integer({ min: 1, max: 3_000 }),
  lagMs: fc.constantFrom(0, 50, 200, 500),
  waitMs: fc.integer({ min: 0, max: 400 }),
  endings: fc.integer({ min: 0, max: 20 }),
});

it("keeps its bounds whatever comes, and starts nothing that nobody waits for", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const queue = new AdmissionQueue(options);
      let atMs = 0;
      let started = 0;
      let accounted = 0;
      let offered = 0;
      for (const { arrivals, patienceMs, lagMs, waitMs, endings } of steps) {
        atMs += waitMs;
        for (let count = 0; count < arrivals; count++) {
          offered += 1;
          if (queue.offer(caller(atMs + patienceMs), atMs, lagMs) !== undefined) accounted += 1;
        }
        expect(queue.waitingCount).toBeLessThanOrEqual(50);
        for (let count = Math.min(endings, queue.runningCount); count > 0; count--) queue.ended(20);
        const { run, dropped } = queue.next(atMs);
        for (const { deadlineMs } of run) expect(deadlineMs).toBeGreaterThan(atMs);
        expect(queue.runningCount).toBeLessThanOrEqual(8);
        started += run.length;
        accounted += run.length + dropped.length;
        expect(started).toBeLessThanOrEqual(25 + Math.ceil(atMs / 10));
        const retryMs = queue.retryAfterMs(0.5);
        expect(retryMs).toBeGreaterThanOrEqual(1_000);
        expect(retryMs).toBeLessThanOrEqual(300_000);
      }
      expect(accounted + queue.waitingCount).toBe(offered);
    }),
  );
});

it("serves at its pace under ten times the load, and leaves half the patience for each answer", () => {
  const queue = new AdmissionQueue(options);
  let served = 0;
  for (let atMs = 0; atMs < 10_000; atMs++) {
    queue.offer(caller(atMs + 300), atMs, 0);
    for (const { deadlineMs } of queue.next(atMs).run) {
      expect(deadlineMs).toBeGreaterThanOrEqual(atMs + 150);
      served += 1;
      queue.ended(5);
    }
  }
  expect(served).toBeGreaterThan(980);
});
