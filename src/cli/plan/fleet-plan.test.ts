import { expect, test } from "vitest";
import { planFleet, type PlanInput } from "./fleet-plan.ts";

const calm: PlanInput = {
  nodes: 20,
  hosts: 100_000,
  partitions: 4_096,
  beatIntervalMs: 1_000,
  fleetPollMs: 1_000,
  headPollMs: 10_000,
  storeCallMs: 5,
  contentBytes: 20 * 1_024,
  pushesPerSecond: 2_000,
  sweepIntervalMs: 60_000,
  sockets: 4_096,
  rulesBytes: 2_048,
};

test("a fleet within its limits gets no warning, and figures that follow from its size", () => {
  const plan = planFleet(calm);
  expect(plan.warnings).toEqual([]);
  expect(plan.hostsPerNode).toBe(5_300);
  expect(plan.fullPushSeconds).toBeCloseTo(2.65, 10);
  expect(plan.sweepSeconds).toBeCloseTo(60, 10);
  expect(plan.takeoverHosts).toBe(Math.ceil(5_000 / 19));
  expect(planFleet({ ...calm, hosts: 200_000 }).memoryBytes).toBeGreaterThan(plan.memoryBytes);
});

test.each<[string, Partial<PlanInput>, RegExp]>([
  [
    "too many hosts a partition",
    { hosts: 10_000_000, nodes: 200, partitions: 4_096 },
    /init with --partitions 32768/,
  ],
  [
    "more hosts than a cluster holds",
    { hosts: 150_000_000, nodes: 200, partitions: 65_536 },
    /holds at most 65536 partitions: split the fleet/,
  ],
  ["few partitions for the nodes", { partitions: 1_024 }, /1024 partitions are few for 20 nodes/],
  [
    "rules over the limit",
    { rulesBytes: 400_000 },
    /rules of 400000 bytes exceed the limit of 307200/,
  ],
  [
    "a sweep that cannot keep up",
    { hosts: 1_000_000 },
    /a sweep takes 265 s instead of 60 s.*--pace 8834/,
  ],
  ["a pace above one core", { pushesPerSecond: 30_000 }, /use --pace \d+, or more nodes/],
  ["memory over the heap", { hosts: 100_000_000, partitions: 65_536 }, /GB: take \d+ nodes/],
])("%s is warned of with what to do", (_what, change, says) => {
  expect(planFleet({ ...calm, ...change }).warnings.join("\n")).toMatch(says);
});

test("one node has nobody to take over from it", () => {
  const plan = planFleet({ ...calm, nodes: 1, hosts: 1_000 });
  expect([plan.hostsPerNode, plan.hostsPerNodeAfterLoss]).toEqual([1_000, 1_000]);
});
