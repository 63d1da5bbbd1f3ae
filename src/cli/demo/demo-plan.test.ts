import { expect, test } from "vitest";
import { basePorts, hostsMax, nodesMax, planDemo, portsOf, routesOf } from "./demo-plan.ts";

test("no two things of the largest demo share a port, a folder or an id", () => {
  const plan = planDemo("/demo", 7400, { nodesCount: nodesMax, hostsCount: hostsMax });
  const ports = portsOf(plan);
  expect(ports).toHaveLength(2 * nodesMax + 1 + hostsMax);
  expect(new Set(ports).size).toBe(ports.length);
  expect(new Set(plan.hosts.map(({ dir }) => dir)).size).toBe(hostsMax);
  expect(new Set(plan.hosts.map(({ id }) => id)).size).toBe(hostsMax);
});

test("every base port keeps the demo below the ports that systems hand out", () => {
  for (const base of basePorts) {
    const plan = planDemo("/demo", base, { nodesCount: nodesMax, hostsCount: hostsMax });
    expect(Math.max(...portsOf(plan))).toBeLessThan(32_768);
  }
});

test("hosts have roles and zones, and releases differ", () => {
  const { hosts } = planDemo("/demo", 7400, { nodesCount: 1, hostsCount: 6 });
  expect(hosts.map(({ labels }) => `${labels["role"]}/${labels["zone"]}`)).toEqual([
    "core/a",
    "edge/b",
    "edge/c",
    "edge/a",
    "edge/b",
    "core/c",
  ]);
  expect(JSON.parse(routesOf(2).toString())).toMatchObject({ release: 2 });
  expect(routesOf(1).equals(routesOf(2))).toBe(false);
});
