import { expect, test } from "vitest";
import { createMetrics } from "./metrics.ts";

test("two nodes in one process count apart", async () => {
  const [left, right] = [createMetrics(), createMetrics()];
  left.driftTotal.inc();
  expect(await left.registry.metrics()).toContain("coxswain_drift_total 1");
  expect(await right.registry.metrics()).toContain("coxswain_drift_total 0");
});

test("every metric has the prefix, help, and the unit its kind asks for", async () => {
  const metrics = await createMetrics().registry.getMetricsAsJSON();
  expect(metrics.length).toBeGreaterThan(20);
  for (const { name, help, type } of metrics) {
    expect(name).toMatch(/^coxswain_[a-z]+(_[a-z]+)*$/);
    expect([name, help]).toEqual([name, expect.stringMatching(/\.$/)]);
    expect([name, name.endsWith("_total")]).toEqual([name, String(type) === "counter"]);
    const isHistogram = String(type) === "histogram";
    expect([name, !isHistogram || name.endsWith("_seconds")]).toEqual([name, true]);
  }
});

test("no label can grow with the fleet", async () => {
  const metrics = createMetrics();
  const labelled = Object.values(metrics).flatMap((metric) =>
    "labelNames" in metric ? (metric.labelNames as string[]) : [],
  );
  const bounded = new Set([
    "state",
    "reason",
    "outcome",
    "reachability",
    "lane",
    "direction",
    "call",
    "kind",
    "route",
    "status",
  ]);
  expect(labelled.filter((label) => !bounded.has(label))).toEqual([]);
  expect(labelled).toContain("lane");
});
