import { expect, test } from "vitest";
import { runCommand, startScriptedApi } from "../cli-fixture.ts";

const member = {
  slot: "node-1",
  incarnation: 3,
  state: "active",
  url: "http://127.0.0.1:7400",
  partitions: 512,
  hosts: 100,
};
const leaving = { ...member, slot: "node-2", state: "leaving", partitions: 0, hosts: null };

const unreachable = {
  id: "h-3",
  address: "http://127.0.0.1:8403",
  labels: {},
  partition: 1,
  owner: "node-1",
  sync: "unreachable",
  reachability: "unreachable",
  lastContact: new Date(Date.now() - 90_000).toISOString(),
  lastError: { class: "refused", message: "connect ECONNREFUSED", at: new Date().toISOString() },
  nextAttempt: new Date(Date.now() + 30_000).toISOString(),
};

function startApi() {
  return startScriptedApi({
    "GET /v1/status": {
      body: {
        cluster: { id: "prod", partitions: 1024 },
        node: { slot: "node-1" },
        view: { generation: 1, version: 17, members: [member, leaving] },
        hosts: { total: 200, applied: 176, pending: 0, rejected: 0, unreachable: 24, neverSeen: 0 },
        missing: ["node-2"],
      },
    },
    "GET /v1/hosts": ({ url }) => ({
      body: {
        hosts: url.includes("sync=unreachable") ? [unreachable] : [],
        next: null,
        missing: [],
      },
    }),
  });
}

test("status begins with what is wrong and ends with the unreachable hosts", async () => {
  await using api = await startApi();
  const { stdout } = await runCommand(["status", "--api", api.url]);
  const order = [
    "! node-2 does not answer",
    "! 24 hosts unreachable",
    "! node-2 is leaving",
    "200 hosts: 176 applied, 0 pending, 0 rejected, 24 unreachable, 0 never seen",
    "Cluster prod, view 1.17 as node-1 sees it",
    "Unreachable hosts:",
    "… and 23 more: coxswain hosts ls --sync unreachable",
  ].map((text) => stdout.indexOf(text));
  expect(order).toEqual(order.toSorted((left, right) => left - right));
  expect(order[0]).toBe(0);
  expect(stdout).toMatch(/node-2 +leaving +3 +0 +\? /);
  expect(stdout).toMatch(
    /h-3 +http:\/\/127\.0\.0\.1:8403 +9\ds ago +in (30|2\d)s +refused: connect ECONNREFUSED/,
  );
});

test("status as JSON has the answer and the problem hosts", async () => {
  await using api = await startApi();
  const { stdout } = await runCommand(["status", "--output", "json", "--api", api.url]);
  expect(JSON.parse(stdout)).toMatchObject({
    view: { version: 17 },
    problems: { unreachable: [{ id: "h-3" }], rejected: [] },
  });
});

test("members and placement are tables", async () => {
  await using api = await startScriptedApi({
    "GET /v1/members": {
      body: {
        view: { generation: 1, version: 17 },
        members: [
          {
            ...member,
            fleetUrl: "http://127.0.0.1:7401",
            weight: 2,
            zone: "",
            beat: 41,
            viewSeen: { generation: 1, version: 16 },
            placementHash: "0123456789abcdef",
          },
        ],
      },
    },
    "GET /v1/placement": ({ url }) =>
      url.includes("host=h+1")
        ? {
            body: {
              host: "h 1",
              partition: 9,
              owner: null,
              view: { generation: 1, version: 2 },
              placementHash: "x",
            },
          }
        : {
            body: {
              partitions: 1024,
              view: { generation: 1, version: 2 },
              placementHash: "x",
              slots: [{ slot: "node-1", partitions: 256 }],
            },
          },
  });
  const members = await runCommand(["members", "--api", api.url]);
  expect(members.stdout).toMatch(
    /^View 1\.17\n.*\nnode-1#3 +active +41 +1\.16 +0123456789ab +2 +- +512 +100 /,
  );
  const all = await runCommand(["placement", "--api", api.url]);
  expect(all.stdout).toMatch(/node-1 +256 +25\.0%/);
  const one = await runCommand(["placement", "--host", "h 1", "--api", api.url]);
  expect(one.stdout).toContain("owner      nobody");
});

test("members evict says since which view the slot is out", async () => {
  await using api = await startScriptedApi({
    "POST /v1/members/node-2/evict": {
      body: { slot: "node-2", view: { generation: 1, version: 18 } },
    },
  });
  const run = await runCommand(["members", "evict", "node-2", "--api", api.url]);
  expect([run.code, run.stdout]).toEqual([0, "node-2 is out of the view since 1.18.\n"]);
});
