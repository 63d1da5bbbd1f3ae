import { describe, expect, it } from "vitest";
import { createRender, measureCapacity } from "./renderer.ts";

describe("a render that occupies the processor", () => {
  it("takes about the processor time it was asked for", () => {
    const render = createRender("cpu", 5);
    const before = process.threadCpuUsage();
    let doneCount = 0;
    for (let count = 0; count < 40; count++) render(() => doneCount++);
    const { user, system } = process.threadCpuUsage(before);
    expect(doneCount).toBe(40);
    expect((user + system) / 40_000).toBeGreaterThan(2);
    expect((user + system) / 40_000).toBeLessThan(12);
  });

  it("costs what it was asked for in the long run, too", async () => {
    const render = createRender("cpu", 3);
    const costMs = async () => {
      const { capacityPerSecond, cpuRatio } = await measureCapacity("cpu", render, 400);
      return (cpuRatio * 1_000) / capacityPerSecond;
    };
    for (let second = 0; second < 4; second++) await costMs();
    const laterMs = await costMs();
    expect(laterMs).toBeGreaterThan(1.5);
    expect(laterMs).toBeLessThan(6);
  });
});

describe("a render that occupies the renderer alone", () => {
  it("makes up for late timers, so that the capacity is what its cost says", async () => {
    const render = createRender("wait", 5);
    const { capacityPerSecond, cpuRatio } = await measureCapacity("wait", render, 500);
    expect(capacityPerSecond).toBeLessThan(215);
    expect(capacityPerSecond).toBeGreaterThan(60);
    expect(cpuRatio).toBe(1);
  });
});
