import { describe, expect, it } from "vitest";
import { hardenedQueue, plainQueue, RenderQueue } from "./render-queue.ts";

const job = (name: string, deadlineMs: number, isGone = false) => ({ name, deadlineMs, isGone });

function takeAll(queue: RenderQueue<ReturnType<typeof job>>, atMs: number) {
  const taken: string[] = [];
  const dropped: string[] = [];
  for (;;) {
    const next = queue.take(atMs, ({ name }) => dropped.push(name));
    if (next === undefined) return { taken, dropped };
    taken.push(next.name);
  }
}

describe("the plain queue", () => {
  it("renders in order, whoever has given up or gone", () => {
    const queue = new RenderQueue<ReturnType<typeof job>>(plainQueue);
    for (const one of [job("a", 10), job("b", 900), job("c", 900, true)]) queue.offer(one);
    expect(takeAll(queue, 500)).toEqual({ taken: ["a", "b", "c"], dropped: [] });
  });

  it("takes in without end and loses nothing on the way", () => {
    const queue = new RenderQueue<ReturnType<typeof job>>(plainQueue);
    for (let index = 0; index < 5_000; index++) expect(queue.offer(job(`${index}`, 0))).toBe(true);
    expect(queue.length).toBe(5_000);
    expect(takeAll(queue, 0).taken).toEqual(
      Array.from({ length: 5_000 }, (_, index) => `${index}`),
    );
    expect(queue.length).toBe(0);
  });
});

describe("the hardened queue", () => {
  it("is as long as half of the timeout's work", () => {
    expect(hardenedQueue(200, 1_000)).toEqual({ lengthMax: 100, renderMs: 5 });
    expect(hardenedQueue(1, 100).lengthMax).toBe(1);
  });

  it("refuses what does not fit, and has room again when something is taken", () => {
    const queue = new RenderQueue<ReturnType<typeof job>>({ lengthMax: 2, renderMs: 5 });
    expect(["a", "b", "c"].map((name) => queue.offer(job(name, 900)))).toEqual([true, true, false]);
    expect(queue.take(0, () => {})?.name).toBe("a");
    expect(queue.offer(job("d", 900))).toBe(true);
  });

  it("drops what would be ready too late, and whose client has gone", () => {
    const queue = new RenderQueue<ReturnType<typeof job>>({ lengthMax: 10, renderMs: 5 });
    for (const one of [job("late", 504), job("gone", 900, true), job("just", 505)])
      queue.offer(one);
    expect(takeAll(queue, 500)).toEqual({ taken: ["just"], dropped: ["late", "gone"] });
  });
});
