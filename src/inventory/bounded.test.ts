import { describe, expect, it } from "vitest";
import { forEachBounded } from "./bounded.ts";

const turn = () =>
  new Promise<void>((resolve) => {
    setImmediate(resolve);
  });

describe("forEachBounded", () => {
  it("starts nothing more after the first failure, and throws that", async () => {
    const started: number[] = [];
    const run = forEachBounded([1, 2, 3, 4, 5, 6], 2, async (item) => {
      started.push(item);
      await turn();
      if (item === 2) throw new Error("two");
    });
    await expect(run).rejects.toThrow("two");
    for (let turns = 0; turns < 10; turns++) await turn();
    expect(started).toEqual([1, 2, 3]);
  });

  it("keeps to its bound and does everything", async () => {
    let underWay = 0;
    let most = 0;
    const done: [string, number][] = [];
    await forEachBounded(["a", "b", "c", "d"], 3, async (item, index) => {
      most = Math.max(most, ++underWay);
      await turn();
      underWay--;
      done.push([item, index]);
    });
    expect(most).toBe(3);
    expect(done).toHaveLength(4);
    expect(done).toContainEqual(["d", 3]);
  });

  it("does nothing with nothing", async () => {
    await expect(
      forEachBounded([], 4, () => Promise.reject(new Error("called"))),
    ).resolves.toBeUndefined();
  });
});
