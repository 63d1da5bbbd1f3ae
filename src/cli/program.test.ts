import { expect, test } from "vitest";
import { errorRegistry } from "../kernel/errors.ts";
import { runCommand, startScriptedApi } from "./cli-fixture.ts";

const statusBody = {
  cluster: { id: "prod", partitions: 1024, version: 1 },
  node: { slot: "node-1" },
  view: { generation: 1, version: 17, members: [] },
  hosts: { total: 0, applied: 0, pending: 0, rejected: 0, unreachable: 0, neverSeen: 0 },
  missing: [],
};

/** A port on which nothing listens: it was bound and closed again. */
async function deadAddress(): Promise<string> {
  await using api = await startScriptedApi({});
  return api.url;
}

test.each([
  { args: ["statsu"], says: "unknown command 'statsu'" },
  { args: ["status", "--colour"], says: "unknown option '--colour'" },
  { args: ["hosts", "show"], says: "missing required argument 'id'" },
  { args: ["status", "--output", "yaml"], says: "Allowed choices are table, json" },
  { args: [], says: "Expected a command" },
  { args: ["rollout", "wait", "r-1", "--for", "101%"], says: "Expected --for to be a share" },
  { args: ["hosts", "ls", "--limit", "0"], says: "Expected --limit to be an integer from 1" },
])("wrong usage $args exits 64 and says what is wrong", async ({ args, says }) => {
  const run = await runCommand(args);
  expect(run.code).toBe(64);
  expect(run.stderr).toContain("error USAGE_INVALID: ");
  expect(run.stderr).toContain(says);
});

test.each([
  "demo",
  "init",
  "node",
  "agent",
  "hosts add",
  "hosts import",
  "hosts ls",
  "hosts show",
  "hosts rm",
  "hosts pin",
  "hosts unpin",
  "hosts sync",
  "config put",
  "config ls",
  "config show",
  "config diff",
  "rollout start",
  "rollout ls",
  "rollout show",
  "rollout wait",
  "rollout undo",
  "status",
  "doctor",
  "cost",
  "plan",
  "members",
  "members evict",
  "placement",
  "events",
])("%s --help shows an example and exits 0", async (command) => {
  const run = await runCommand([...command.split(" "), "--help"]);
  expect(run.code).toBe(0);
  expect(run.stdout).toMatch(new RegExp(`Examples:\\n.*coxswain ${command}`, "s"));
});

test("the top help lists every exit code that an error can end with", async () => {
  const { stdout } = await runCommand(["--help"]);
  for (const { exitCode } of Object.values(errorRegistry)) {
    expect(stdout).toMatch(new RegExp(`^ +${exitCode}  \\S`, "m"));
  }
});

test("the help of a node shows each option's variable and default", async () => {
  const { stdout } = await runCommand(["node", "--help"]);
  expect(stdout.replaceAll(/\s+/g, " ")).toContain("(default 1s, env COXSWAIN_BEAT_INTERVAL)");
});

test("no node at the address exits 69 and names the address and the reason", async () => {
  const address = await deadAddress();
  const run = await runCommand(["status", "--api", address]);
  expect(run.code).toBe(69);
  expect(run.stderr).toContain(
    `error API_UNREACHABLE: No node answered at ${address}: connection refused`,
  );
  expect(run.stderr).toContain("next: Check --api");
});

test("errors are JSON on standard error when JSON was asked for", async () => {
  const run = await runCommand(["status", "--output", "json", "--api", await deadAddress()]);
  expect(run.stdout).toBe("");
  expect(JSON.parse(run.stderr)).toMatchObject({
    error: { code: "API_UNREACHABLE", next: errorRegistry.API_UNREACHABLE.next },
  });
});

test("an error of the API keeps its code, message and exit code", async () => {
  await using api = await startScriptedApi({
    "GET /v1/hosts/ghost": {
      status: 404,
      body: {
        error: { code: "HOST_NOT_FOUND", message: "No host ghost", details: { id: "ghost" } },
      },
    },
  });
  const run = await runCommand(["hosts", "show", "ghost", "--api", api.url]);
  expect(run.code).toBe(66);
  expect(run.stderr).toContain("error HOST_NOT_FOUND: No host ghost\n  next: Add the host first");
});

test("something that is no Coxswain node is said to be none", async () => {
  await using other = await startScriptedApi({
    "GET /v1/members": { bytes: Buffer.from("<html>") },
  });
  const run = await runCommand(["members", "--api", other.url]);
  expect(run.code).toBe(69);
  expect(run.stderr).toContain(`${other.url}/v1/members did not answer as a node`);
});

test("addresses are tried in turn until one answers", async () => {
  const dead = await deadAddress();
  const isStopping = {
    status: 503,
    body: { error: { code: "NODE_STOPPED", message: "stopping" } },
  };
  await using stopping = await startScriptedApi({
    "GET /v1/status": isStopping,
    "GET /v1/hosts": isStopping,
  });
  await using api = await startScriptedApi({
    "GET /v1/status": { body: statusBody },
    "GET /v1/hosts": { body: { hosts: [], next: null, missing: [] } },
  });
  const run = await runCommand(["status"], {
    env: { COXSWAIN_API: `${dead}, ${stopping.url},${api.url}` },
  });
  expect(run).toMatchObject({ code: 0, stderr: "" });
  expect(run.stdout).toContain("No problems.");
});

test("a rollout that may have started is not started again at another node", async () => {
  await using first = await startScriptedApi({ "POST /v1/rollouts": { cut: true } });
  await using second = await startScriptedApi({ "POST /v1/rollouts": { body: {} } });
  const digest = `sha256:${"a".repeat(64)}`;
  const run = await runCommand([
    "rollout",
    "start",
    "a.conf",
    "--digest",
    digest,
    "--api",
    `${first.url},${second.url}`,
  ]);
  expect(run.code).toBe(69);
  expect(run.stderr).toContain("the request may have been carried out");
  expect(second.requests).toEqual([]);
});

test("the actor is the one named, else the variable, else the user", async () => {
  await using api = await startScriptedApi({ "DELETE /v1/hosts/a": { status: 204 } });
  const base = ["hosts", "rm", "a", "--api", api.url];
  await runCommand(base);
  await runCommand(base, { env: { COXSWAIN_ACTOR: "robot" } });
  await runCommand([...base, "--actor", "jo"], { env: { COXSWAIN_ACTOR: "robot" } });
  expect(api.requests.map(({ actor }) => actor)).toEqual(["tester", "robot", "jo"]);
});

test("an interrupted command exits 130 without an error", async () => {
  const interrupt = new AbortController();
  await using api = await startScriptedApi({
    "GET /v1/members": () => {
      interrupt.abort(new Error("interrupted"));
      return { cut: true };
    },
  });
  const run = await runCommand(["members", "--api", api.url], { signal: interrupt.signal });
  expect(run).toEqual({ code: 130, stdout: "", stderr: "" });
});
