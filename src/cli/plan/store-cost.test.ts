import { expect, test } from "vitest";
import {
  hostChangeUnits,
  idleUnits,
  rolloutUnits,
  sumUnits,
  type StoreLoad,
} from "./store-cost.ts";

const polls = { beatIntervalMs: 1_000, fleetPollMs: 1_000, headPollMs: 10_000, storeCallMs: 4 };
const load = (nodes: number, partitions: number, hosts = 3_000): StoreLoad => ({
  nodes,
  partitions,
  hosts,
  ...polls,
});
const unitsOf = (nodes: number, what: string) =>
  idleUnits(load(nodes, 16_384)).find((row) => row.what === what)?.units ?? 0;
const within5Percent = (formula: number, found: number) => Math.abs(formula / found - 1) <= 0.05;

// What `npm run bench -- cost` counted on virtual time, the shipped nodes and DynamoDB's rules.
test.each([
  { nodes: 3, partitions: 1_024, reads: 63.65, writes: 2.98, rollout: 971 },
  { nodes: 10, partitions: 2_048, reads: 139.4, writes: 9.97, rollout: 1_589 },
])("with $nodes nodes the formula is within 5 % of what was counted", (found) => {
  const units = idleUnits(load(found.nodes, found.partitions));
  const rollout = rolloutUnits(load(found.nodes, found.partitions), 1_024);
  expect(within5Percent(sumUnits(units, "read"), found.reads)).toBe(true);
  expect(within5Percent(sumUnits(units, "write"), found.writes)).toBe(true);
  expect(within5Percent(sumUnits(rollout, "write"), found.rollout)).toBe(true);
});

test("reads of the members' rows grow with the square of the nodes, beats in a straight line", () => {
  const rows = "reads of all members' rows";
  expect(unitsOf(200, rows) / unitsOf(100, rows)).toBe(4);
  expect(unitsOf(200, "beats") / unitsOf(100, "beats")).toBe(2);
});

test("a longer beat interval costs less in proportion, larger rules cost their polls more", () => {
  const slower = idleUnits({ ...load(10, 2_048), beatIntervalMs: 2_000 });
  expect(sumUnits(slower, "write")).toBe(5);
  const [larger, usual] = [{ rulesBytes: 300_000 }, {}].map((rules) =>
    idleUnits({ ...load(10, 2_048), ...rules }).find(({ kind }) => kind === "fleet"),
  );
  expect(larger?.units).toBeCloseTo((usual?.units ?? 0) * 74, 6);
});

test("a fleet without hosts writes no checkpoint and re-reads no host", () => {
  const empty = load(3, 1_024, 0);
  const rows = [...idleUnits(empty), ...rolloutUnits(empty, 1_024)];
  expect(rows.find(({ kind }) => kind === "checkpoint")?.units).toBe(0);
  expect(rows.find(({ kind }) => kind === "host")?.units).toBe(0);
  expect(sumUnits(hostChangeUnits(empty), "write")).toBe(5);
});
