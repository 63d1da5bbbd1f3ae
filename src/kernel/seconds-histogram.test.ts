import * as fc from "fast-check";
import { Histogram, Registry } from "prom-client";
import { expect, test } from "vitest";
import { SecondsHistogram } from "./seconds-histogram.ts";

const shape = { name: "x_seconds", help: "Help.", buckets: [0.01, 0.1, 1] };

test("exports what prom-client's own histogram exports", async () => {
  const lane = fc.constantFrom("change", "sweep");
  const seconds = fc.oneof(fc.double({ min: 0, max: 2, noNaN: true }), fc.constantFrom(0.1, 1));
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(lane, seconds), { maxLength: 30 }), async (observations) => {
      const [ours, theirs] = [new Registry(), new Registry()];
      const fast = new SecondsHistogram({ ...shape, labelName: "lane", registry: ours });
      const slow = new Histogram({ ...shape, labelNames: ["lane"], registers: [theirs] });
      for (const [label, value] of observations) {
        fast.labels(label).observe(value);
        slow.labels(label).observe(value);
      }
      expect(await ours.metrics()).toBe(await theirs.metrics());
    }),
    { numRuns: 50 },
  );
});

test("needs no label, and starts anew after a reset", async () => {
  const registry = new Registry();
  const histogram = new SecondsHistogram({ ...shape, registry });
  const child = histogram.labels();
  child.observe(0.05);
  registry.resetMetrics();
  child.observe(5);
  const { values } = await histogram.get();
  expect(values.map(({ value }) => value)).toEqual([0, 0, 0, 1, 5, 1]);
  expect(histogram.labels()).toBe(child);
});
