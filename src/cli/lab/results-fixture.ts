/** Results as a run might have found them, for tests of what is made of them. */
import type { Counts } from "./goodput.ts";
import type { LabResults, LoadPoint, TriggerRun } from "./lab-results.ts";
import type { Shape, TriggerKind } from "./lab-scene.ts";

export function pointFixture(shape: Shape, load: number, good: number): LoadPoint {
  const offered = load * 100;
  return { shape, load, good, offered, tries: offered, renders: good, capacity: 100 };
}

const bucket = (good: number): Counts => ({ offered: 15, tries: 15, good });

export function runFixture(
  shape: Shape,
  trigger: TriggerKind,
  recoveredAfterMs: number | undefined,
): TriggerRun {
  const goods = [15, 15, 15, 15, 0, 0, 0, 0, ...Array.from({ length: 8 }, () => 15)];
  return {
    shape,
    trigger,
    capacity: 100,
    fromMs: 1_000,
    forMs: 1_000,
    buckets: goods.map((good, index) =>
      bucket(recoveredAfterMs === undefined && index > 7 ? 0 : good),
    ),
    beforePerSecond: 60,
    lowestPerSecond: 0,
    recoveredAfterMs,
    observedMs: 2_000,
  };
}

export function resultsFixture(change: Partial<LabResults> = {}): LabResults {
  return {
    options: {
      hosts: 600,
      render: "cpu",
      renderMs: 10,
      timeoutMs: 1_000,
      intervalMs: 10_000,
      shapes: ["naive", "push"],
      loads: [0.5, 2],
      triggers: ["outage"],
      isQuick: false,
    },
    machine: {
      processor: "Test <processor>",
      cores: 2,
      runtime: "Node 24",
      loadAverages: [0.1, 0.2],
      pinned: [0, 1],
      cpuRatio: 1,
    },
    capacityPerSecond: 100,
    pacePerSecond: 80,
    demandPerSecond: 60,
    triggerLoad: 0.6,
    points: [
      pointFixture("naive", 0.5, 50),
      pointFixture("naive", 2, 3),
      pointFixture("push", 0.5, 50),
      pointFixture("push", 2, 79),
    ],
    triggerRuns: [runFixture("naive", "outage", undefined), runFixture("push", "outage", 0)],
    ...change,
  };
}
