import * as fc from "fast-check";
import { Counter, Registry } from "prom-client";
import { expect, test } from "vitest";
import { LabelledCounter } from "./labelled-counter.ts";

const shape = { name: "x_total", help: "Help." };

test("exports what prom-client's own counter exports", async () => {
  const label = fc.record({ lane: fc.constantFrom("a", "b"), outcome: fc.constantFrom("c", "d") });
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(label, fc.nat(3)), { maxLength: 20 }),
      async (increments) => {
        const [ours, theirs] = [new Registry(), new Registry()];
        const labelNames = ["lane", "outcome"] as const;
        const fast = new LabelledCounter({ ...shape, labelNames, registry: ours });
        const slow = new Counter({ ...shape, labelNames, registers: [theirs] });
        for (const [labels, by] of increments) {
          fast.labels(labels).inc(by);
          slow.inc(labels, by);
        }
        expect(await ours.metrics()).toBe(await theirs.metrics());
      },
    ),
    { numRuns: 50 },
  );
});

test("keeps its children through a reset", async () => {
  const registry = new Registry();
  const counter = new LabelledCounter({ ...shape, labelNames: ["lane"], registry });
  const child = counter.labels({ lane: "a" });
  child.inc(5);
  registry.resetMetrics();
  child.inc();
  expect((await counter.get()).values).toEqual([{ labels: { lane: "a" }, value: 1 }]);
  expect(counter.labels({ lane: "a" })).toBe(child);
});
