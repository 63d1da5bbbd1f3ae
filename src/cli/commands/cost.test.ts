import { expect, test } from "vitest";
import { runCommand, startScriptedApi } from "../cli-fixture.ts";

test.each([
  { args: ["cost", "--nodes", "201"], says: "Expected --nodes to be an integer from 1 to 200" },
  {
    args: ["cost", "--partitions", "1000"],
    says: "to be a power of two from 64 to 65536, got 1000",
  },
  { args: ["cost", "--price-read", "cheap"], says: "Expected --price-read to be a number" },
  { args: ["cost", "--utilization", "0"], says: "Expected --utilization to be an integer from 1" },
  { args: ["cost", "--beat-interval", "0s"], says: "Expected --beat-interval to be a duration" },
  { args: ["cost", "--size", "2MB"], says: "Expected --size to be a size such as 20KB" },
  { args: ["plan", "--hosts", "1e6"], says: "Expected --hosts to be an integer" },
  { args: ["plan", "--size", "0"], says: "Expected --size to be a size such as 20KB" },
  { args: ["plan", "--pace", "0"], says: "Expected --pace to be an integer from 1" },
])("wrong usage $args is refused with the rule and the value", async ({ args, says }) => {
  const run = await runCommand(args);
  expect([run.code, run.stdout]).toEqual([64, ""]);
  expect(run.stderr).toContain(says);
});

test("a planned cluster's money is its units times the prices given", async () => {
  const args = ["cost", "--nodes", "10", "--hosts", "0", "--rollouts-per-day", "0"];
  const more = ["--changes-per-day", "0", "--price-read", "0", "--price-write", "1"];
  const run = await runCommand([...args, ...more, "--output", "json"]);
  const { perSecond, bill } = JSON.parse(run.stdout) as {
    perSecond: { writes: number };
    bill: { onDemand: number };
  };
  expect(perSecond.writes).toBe(10);
  // A month has 730 hours.
  expect(bill.onDemand).toBeCloseTo((10 * 730 * 3_600) / 1e6, 6);
});

test("a plan shows its figures and warns on standard output", async () => {
  const run = await runCommand(["plan", "--hosts", "1000000", "--nodes", "20", "--size", "20KB"]);
  expect(run).toMatchObject({ code: 0, stderr: "" });
  expect(run.stdout).toMatch(/^full push +26\.5 s/m);
  expect(run.stdout).toMatch(/^! a sweep takes 265 s instead of 60 s/m);
});

const member = (url: string) => ({
  slot: "node-1",
  incarnation: 1,
  state: "active",
  weight: 1,
  zone: "",
  url,
  fleetUrl: url,
  partitions: 64,
  hosts: 0,
  beat: 7,
  viewSeen: { generation: 1, version: 1 },
  placementHash: null,
});

/** A node whose counter goes through `counts`, one a request. */
async function countingNode(...counts: number[]) {
  let url = "";
  const api = await startScriptedApi({
    "GET /v1/members": () => ({
      body: { view: { generation: 1, version: 1 }, members: [member(url)] },
    }),
    "GET /metrics": () => ({
      bytes: Buffer.from(
        `coxswain_store_units_total{call="get",kind="view"} ${counts.shift() ?? 0}\n`,
      ),
    }),
  });
  url = api.url;
  return api;
}

test("a running cluster's units are what its nodes counted meanwhile", async () => {
  await using api = await countingNode(100, 150);
  const args = ["cost", "--from-api", api.url, "--measure", "50ms", "--output", "json"];
  const run = await runCommand(args);
  const { rows } = JSON.parse(run.stdout) as { rows: { kind: string; units: number }[] };
  expect(rows).toMatchObject([{ kind: "view", access: "read" }]);
  expect(rows[0]?.units).toBeGreaterThan(0);
  expect(rows[0]?.units).toBeLessThanOrEqual(1_000);
});

test("a node that was restarted meanwhile makes the measurement void", async () => {
  await using api = await countingNode(150, 100);
  const run = await runCommand(["cost", "--from-api", api.url, "--measure", "10ms"]);
  expect(run.code).toBe(69);
  expect(run.stderr).toContain("node-1 was restarted while it was measured");
});
