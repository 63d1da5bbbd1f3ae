import { describe, expect, it } from "vitest";
import {
  demandOf,
  fullLoads,
  fullTimes,
  planScenes,
  quickLoads,
  quickTimes,
  sceneOf,
  triggerLoadOf,
} from "./lab-plan.ts";
import { parseCores } from "./lab-process.ts";
import { isDuring, shapes, triggerKinds } from "./lab-scene.ts";
import { resultsFixture } from "./results-fixture.ts";

const { options } = resultsFixture();
const all = { ...options, shapes, loads: fullLoads, triggers: triggerKinds };
const place = { number: 1, dir: "/tmp/none" };

describe("the plan", () => {
  it("plays each shape under each load and through each trigger", () => {
    const plays = planScenes(all, fullTimes, 0.6);
    expect(plays).toHaveLength(shapes.length * (fullLoads.length + triggerKinds.length));
    expect(new Set(plays.map((play) => JSON.stringify(play))).size).toBe(plays.length);
  });

  it("fits into a minute when quick", () => {
    const quick = { ...all, loads: quickLoads, triggers: ["outage"] as const, timeoutMs: 300 };
    const plays = planScenes(quick, quickTimes, 0.6);
    const totalMs = plays.reduce((sum, { durationMs }) => sum + durationMs, 0);
    expect(totalMs).toBeLessThan(56_000);
  });

  it("lets a queue grow past the timeout before it counts", () => {
    const plays = planScenes({ ...all, triggers: [] }, fullTimes, 0.6);
    const naive = plays.find(({ shape, load }) => shape === "naive" && load === 2);
    expect(naive?.settledMs).toBeGreaterThan(1_000 + options.timeoutMs);
  });

  it("asks all shapes for the same, of the same control plane", () => {
    const plays = planScenes({ ...all, loads: [2], triggers: [] }, fullTimes, 0.6);
    for (const play of plays) {
      const scene = sceneOf(play, options, 100, place);
      expect(demandOf({ ...options, intervalMs: scene.intervalMs })).toBeCloseTo(200);
      expect(scene).toMatchObject({ hosts: 600, timeoutMs: 1_000, pacePerSecond: 80 });
    }
  });

  it("tries triggers at the reader's own load, but where something is left to lose", () => {
    expect(triggerLoadOf(options, 100)).toBeCloseTo(0.6);
    expect(triggerLoadOf(options, 20)).toBeCloseTo(0.7);
  });
});

describe("a trigger", () => {
  it("lasts from its beginning to just before its end", () => {
    const trigger = { kind: "outage", fromMs: 100, forMs: 50 } as const;
    const during = [99, 100, 149, 150].map((atMs) => isDuring(trigger, "outage", atMs));
    expect(during).toEqual([false, true, true, false]);
    expect(isDuring(trigger, "failures", 120)).toBe(false);
  });
});

describe("core numbers", () => {
  it.each([
    [" 0,1\n", [0, 1]],
    ["0-3,6", [0, 1, 2, 3, 6]],
    ["", [0]],
    ["none", []],
  ])("of %j", (text, cores) => {
    expect(parseCores(text)).toEqual(cores);
  });
});
