import { describe, expect, test } from "vitest";

import {
  interleave,
  machine,
  markdownTable,
  median,
  medianRatio,
  percentile,
  retainedBytes,
  timedMs,
} from "./measure.ts";

describe("percentile and median", () => {
  test("assert that there is something to measure", () => {
    expect(() => median([])).toThrow("Expected at least one value");
    expect(() => percentile([1], 1.5)).toThrow("Expected `share` to be from 0 to 1, got 1.5");
  });

  test.each([
    [[3, 1, 2], 0.5, 2],
    [[4, 1, 2, 3], 0.5, 2.5],
    [[10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0], 0.9, 9],
    [[5], 0.99, 5],
    [[2, 100], 0, 2],
    [[2, 100], 1, 100],
  ])("of %j at %d is %d", (values, share, expected) => {
    expect(percentile(values, share)).toBeCloseTo(expected, 12);
  });
});

describe("interleave", () => {
  test("asserts that names differ, so that no variant hides another", async () => {
    const variant = { name: "same", run: () => 1 };
    await expect(interleave([variant, variant], 1)).rejects.toThrow("different names");
  });

  test("runs variants in turn, every other round backwards, warm-up uncounted", async () => {
    const order: string[] = [];
    const variant = (name: string) => ({ name, run: () => order.push(name) });
    const measured = await interleave([variant("a"), variant("b")], 2, { warmupRounds: 1 });
    expect(order).toEqual(["b", "a", "a", "b", "b", "a"]);
    expect(measured).toEqual(
      new Map([
        ["a", [3, 6]],
        ["b", [4, 5]],
      ]),
    );
  });

  test("waits for one variant before it starts the next", async () => {
    let runningCount = 0;
    const run = async (): Promise<number> => {
      runningCount += 1;
      await Promise.resolve();
      return runningCount--;
    };
    const measured = await interleave(
      [
        { name: "a", run },
        { name: "b", run },
      ],
      3,
    );
    expect([...measured.values()].flat()).toEqual([1, 1, 1, 1, 1, 1]);
  });
});

describe("medianRatio", () => {
  test("compares rounds, not medians", () => {
    expect(medianRatio([1, 20, 300], [1, 10, 100])).toBe(2);
  });

  test("asserts that every round has both", () => {
    expect(() => medianRatio([1], [1, 2])).toThrow("Expected equally many rounds, got 1 and 2");
  });
});

describe("markdownTable", () => {
  test("pads cells to their column and takes columns from the first row", () => {
    expect(
      markdownTable([
        { nodes: 3, name: "us" },
        { nodes: 100, name: "them", extra: 1 },
      ]),
    ).toBe(
      ["| nodes | name |", "| ----- | ---- |", "| 3     | us   |", "| 100   | them |"].join("\n"),
    );
  });
});

test("timedMs covers what a promise waits for", async () => {
  let isDone = false;
  const elapsedMs = await timedMs(async () => {
    await Promise.resolve();
    isDone = true;
  });
  expect(isDone).toBe(true);
  expect(elapsedMs).toBeGreaterThan(0);
});

test("retainedBytes counts what is kept, buffers included", () => {
  const bytes = retainedBytes(() => new Uint8Array(1_000_000), 10);
  expect(bytes).toBeGreaterThan(900_000);
  expect(bytes).toBeLessThan(1_100_000);
});

test("machine names runtime and processor", () => {
  expect(machine()).toMatch(/^Node\.js v\d+\.\d+\.\d+, \d+ x .+, \d+ GB, \w+ \w+$/);
});
