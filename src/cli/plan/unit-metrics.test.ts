import { expect, test } from "vitest";
import { createMetrics } from "../../kernel/metrics.ts";
import { addUnits, parseUnits, unitsBetween } from "./unit-metrics.ts";

const row = (kind: string, units: number) => ({ what: kind, kind, access: "read", units }) as const;

test("units are read from a node's own metrics, by kind and access", async () => {
  const metrics = createMetrics();
  metrics.storeUnitsTotal.labels({ call: "get", kind: "view" }).inc(3);
  metrics.storeUnitsTotal.labels({ call: "query", kind: "member" }).inc(2.5);
  metrics.storeUnitsTotal.labels({ call: "getMany", kind: "head" }).inc(1e21);
  metrics.storeUnitsTotal.labels({ call: "update", kind: "member" }).inc(1);
  metrics.storeUnitsTotal.labels({ call: "increment", kind: "head" }).inc(4);
  expect([...parseUnits(await metrics.registry.metrics())]).toEqual([
    ["view read", 3],
    ["member read", 2.5],
    ["head read", 1e21],
    ["member write", 1],
    ["head write", 4],
  ]);
});

test("what is no such line is left out", () => {
  const text = 'coxswain_store_units_total 4\ncoxswain_store_units_total{call="get"} 4\nx 1';
  expect(parseUnits(text).size).toBe(0);
});

test("two readings give units a second; a counter that went back gives nothing", () => {
  const before = new Map([["view read", 10]]);
  const after = new Map([
    ["view read", 30],
    ["head read", 4],
  ]);
  expect(unitsBetween(before, after, 2_000)).toMatchObject([
    { kind: "view", access: "read", units: 10 },
    { kind: "head", access: "read", units: 2 },
  ]);
  expect(unitsBetween(after, before, 2_000)).toBeUndefined();
});

test("nodes add up, largest first, without what is zero", () => {
  expect(
    addUnits([
      [row("view", 1), row("head", 5)],
      [row("view", 2), row("fleet", 0)],
    ]),
  ).toEqual([row("head", 5), row("view", 3)]);
});
