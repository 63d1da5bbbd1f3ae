import { expect, test } from "vitest";
import { digestOf } from "../../protocol/digest.ts";
import { runCommand, startScriptedApi, type Reply } from "../cli-fixture.ts";

const digest = digestOf(Buffer.from("new\n"));

function counts(applied: number, total: number) {
  return { total, applied, pending: 0, rejected: total - applied, unreachable: 0, neverSeen: 0 };
}

function rollout(more: object = {}) {
  return {
    id: "r-1",
    config: "a.conf",
    digest,
    selector: "role=edge",
    state: "running",
    author: "jo",
    at: new Date().toISOString(),
    counts: counts(0, 3),
    problems: [],
    missing: [],
    ...more,
  };
}

const releases = {
  body: {
    releases: [{ name: "a.conf", digest, size: 4, author: "jo", at: "2026-11-23T06:00:00Z" }],
  },
};
const status = (total: number) => ({
  body: {
    cluster: { id: "c", partitions: 64 },
    node: { slot: "n" },
    view: { generation: 1, version: 1, members: [] },
    hosts: counts(total, total),
    missing: [],
  },
});

test("rollout start takes the newest release and says how many hosts match", async () => {
  await using api = await startScriptedApi({
    "GET /v1/configs/a.conf/releases": releases,
    "POST /v1/rollouts": { status: 201, body: rollout() },
  });
  const run = await runCommand(["rollout", "start", "a.conf", "-l", "role=edge", "--api", api.url]);
  expect(run.stdout).toBe(
    `started r-1: a.conf ${digest.slice(7, 19)} on role=edge, 3 hosts matched\n`,
  );
  expect(JSON.parse(api.requests.at(-1)?.body ?? "")).toEqual({
    config: "a.conf",
    digest,
    selector: "role=edge",
  });
});

test("rollout start --file publishes first; --remove sends no digest", async () => {
  await using api = await startScriptedApi({
    "POST /v1/configs/a.conf/releases": {
      body: { name: "a.conf", digest, size: 4, isNew: true },
    },
    "POST /v1/rollouts": { status: 201, body: rollout() },
  });
  await runCommand(["rollout", "start", "a.conf", "--file", "-", "--api", api.url], {
    stdin: "new\n",
  });
  await runCommand(["rollout", "start", "a.conf", "--remove", "--api", api.url]);
  expect(api.requests.map(({ body }) => body)).toEqual([
    "new\n",
    JSON.stringify({ config: "a.conf", digest, selector: "" }),
    JSON.stringify({ config: "a.conf", digest: null, selector: "" }),
  ]);
  const both = await runCommand(["rollout", "start", "a.conf", "--remove", "--digest", digest]);
  expect(both.code).toBe(64);
});

test("a person is asked before every host is changed, and no means nothing happens", async () => {
  await using api = await startScriptedApi({
    "GET /v1/status": status(3),
    "GET /v1/hosts": { body: { hosts: [], next: null, missing: [] } },
    "POST /v1/rollouts": { status: 201, body: rollout() },
  });
  const start = ["rollout", "start", "a.conf", "--digest", digest, "--api", api.url];
  const started = () => api.requests.filter(({ method }) => method === "POST").length;
  const declined = await runCommand(start, { confirms: false });
  expect(declined).toMatchObject({ code: 1, stderr: "Nothing was started.\n" });
  expect(started()).toBe(0);
  await runCommand(start, { confirms: true });
  expect(started()).toBe(1);
  await runCommand([...start, "--yes"], { confirms: false });
  expect(started()).toBe(2);
  // A selector that matches fewer than all hosts is what the person asked for.
  await runCommand([...start, "-l", "role=edge"], { confirms: false });
  expect(started()).toBe(3);
});

test("rollout show prints the hosts' own words under each problem", async () => {
  const problems = [
    {
      class: "rejected",
      message: "nginx: [emerg] bad\nnginx: test failed",
      count: 7,
      hosts: ["a", "b"],
    },
  ];
  await using api = await startScriptedApi({
    "GET /v1/rollouts/r-1": { body: rollout({ problems, missing: ["node-2"] }) },
  });
  const { stdout } = await runCommand(["rollout", "show", "r-1", "--api", api.url]);
  expect(stdout).toContain("3 hosts: 0 applied, 0 pending, 3 rejected");
  expect(stdout).toContain(
    "rejected: 7 hosts (a, b, …)\n  nginx: [emerg] bad\n  nginx: test failed",
  );
  expect(stdout).toContain("! node-2 does not answer");
});

test("rollout wait returns when enough hosts have it, across a node that fails in between", async () => {
  const readings: Reply[] = [
    { body: rollout({ counts: counts(1, 3) }) },
    { cut: true },
    { body: rollout({ counts: counts(2, 3) }) },
  ];
  await using api = await startScriptedApi({
    "GET /v1/rollouts/r-1": () => readings.shift() ?? { cut: true },
  });
  const run = await runCommand(["rollout", "wait", "r-1", "--for", "2", "--api", api.url]);
  expect(run.code).toBe(0);
  expect(run.stdout).toContain("3 hosts: 2 applied");
  expect(run.stderr).toContain("r-1: 1/2");
});

test("rollout wait that times out exits 75 with the split", async () => {
  const problems = [{ class: "refused", message: "connection refused", count: 1, hosts: ["h"] }];
  await using api = await startScriptedApi({
    "GET /v1/rollouts/r-1": { body: rollout({ counts: counts(2, 3), problems }) },
  });
  const wait = ["rollout", "wait", "r-1", "--timeout", "20ms", "--api", api.url];
  const run = await runCommand(wait);
  expect(run.code).toBe(75);
  expect(run.stdout).toContain("3 hosts: 2 applied, 0 pending, 1 rejected");
  expect(run.stdout).toContain("refused: 1 host (h)");
  expect(run.stderr).toContain("Expected 3 hosts to hold the release of r-1 within 20ms, got 2");
  const json = await runCommand([...wait, "--output", "json"]);
  expect(JSON.parse(json.stdout)).toMatchObject({ reached: false, rollout: { id: "r-1" } });
});

test("rollout wait ends at once for what will never come", async () => {
  await using api = await startScriptedApi({
    "GET /v1/rollouts/r-1": { body: rollout({ state: "superseded" }) },
  });
  const replaced = await runCommand(["rollout", "wait", "r-1", "--api", api.url]);
  expect(replaced.code).toBe(73);
  const unknown = await runCommand(["rollout", "wait", "r-9", "--api", api.url]);
  expect(unknown.code).toBe(66);
});

test("rollout ls and undo", async () => {
  await using api = await startScriptedApi({
    "GET /v1/rollouts": { body: { rollouts: [rollout({ digest: null, selector: "" })] } },
    "POST /v1/rollouts/r-1/undo": { status: 201, body: rollout({ id: "r-2", undoes: "r-1" }) },
  });
  const list = await runCommand(["rollout", "ls", "--api", api.url]);
  expect(list.stdout).toMatch(/r-1 +a\.conf +\(removal\) +all hosts +running +jo +0s/);
  const undo = await runCommand(["rollout", "undo", "r-1", "--api", api.url]);
  expect(undo.stdout).toContain("started r-2: ");
});
