import { expect, test } from "vitest";
import { runCommand, startScriptedApi } from "../cli-fixture.ts";

const digest = `sha256:${"3b1f".repeat(16)}`;
const other = `sha256:${"99aa".repeat(16)}`;

function hostView(id: string, more: object = {}) {
  return {
    id,
    address: `http://10.0.0.1:9000`,
    labels: { zone: "a", role: "edge" },
    pins: {},
    partition: 77,
    owner: "node-1",
    fence: "1.4.2",
    desired: { manifest: digest },
    held: { manifest: digest },
    sync: "applied",
    reachability: "ok",
    lastContact: new Date().toISOString(),
    lastError: null,
    nextAttempt: null,
    ...more,
  };
}

test("hosts add sends address and labels and says what became of it", async () => {
  await using api = await startScriptedApi({
    "PUT /v1/hosts/edge%2F1": ({ body }) => ({
      status: 201,
      body: { id: "edge/1", revision: 3, pins: {}, outcome: "created", ...JSON.parse(body) },
    }),
  });
  const run = await runCommand([
    "hosts",
    "add",
    "edge/1",
    "http://10.0.0.1:9000",
    "--label",
    "role=edge",
    "zone=a",
    "--api",
    api.url,
  ]);
  expect(run).toEqual({
    code: 0,
    stdout: "created edge/1 http://10.0.0.1:9000 role=edge,zone=a\n",
    stderr: "",
  });
});

test("hosts ls passes the filters on and says that there is more", async () => {
  await using api = await startScriptedApi({
    "GET /v1/hosts": { body: { hosts: [hostView("h-1")], next: "h-1", missing: ["node-2"] } },
  });
  const run = await runCommand([
    "hosts",
    "ls",
    "-l",
    "role=edge,zone in (a,b)",
    "--sync",
    "applied",
    "--limit",
    "1",
    "--api",
    api.url,
  ]);
  const query = new URL(api.requests[0]?.url ?? "", api.url).searchParams;
  expect(Object.fromEntries(query)).toEqual({
    selector: "role=edge,zone in (a,b)",
    sync: "applied",
    limit: "1",
  });
  expect(run.stdout).toMatch(
    /^HOST +ADDRESS .*\nh-1 +http:\/\/10\.0\.0\.1:9000 +role=edge,zone=a +node-1 +applied +ok/,
  );
  expect(run.stderr).toContain("--cursor h-1");
  expect(run.stderr).toContain("node-2 does not answer");
});

test("hosts ls --all reads every page and JSON keeps all fields", async () => {
  await using api = await startScriptedApi({
    "GET /v1/hosts": ({ url }) =>
      url.includes("cursor=h-1")
        ? { body: { hosts: [hostView("h-2", { extra: 7 })], next: null, missing: [] } }
        : { body: { hosts: [hostView("h-1")], next: "h-1", missing: [] } },
  });
  const run = await runCommand(["hosts", "ls", "--all", "--output", "json", "--api", api.url]);
  const answer = JSON.parse(run.stdout) as { hosts: { id: string; extra?: number }[] };
  expect(answer.hosts.map(({ id, extra }) => [id, extra])).toEqual([
    ["h-1", undefined],
    ["h-2", 7],
  ]);
  expect(answer).toMatchObject({ next: null, missing: [] });
});

test("hosts show puts what it should hold beside what it holds, with the host's own words", async () => {
  const host = hostView("h-1", {
    sync: "rejected",
    pins: { "b.conf": other },
    desired: { manifest: digest, configs: [{ name: "a.conf", digest }] },
    held: {
      manifest: other,
      configs: [
        {
          name: "a.conf",
          digest: other,
          result: "rejected",
          message: "line 3:\n\u001b[31munknown",
        },
      ],
    },
    lastError: { class: "rejected", message: "check failed", at: new Date().toISOString() },
    state: { disk: { freeBytes: 5 } },
    via: "object",
  });
  await using api = await startScriptedApi({ "GET /v1/hosts/h-1": { body: host } });
  const { stdout } = await runCommand(["hosts", "show", "h-1", "--api", api.url]);
  expect(stdout).toContain("owner         node-1 (partition 77)");
  expect(stdout).toContain("pins          b.conf@99aa99aa99aa");
  expect(stdout).toMatch(/a\.conf +3b1f3b1f3b1f +99aa99aa99aa +rejected/);
  expect(stdout).toContain("a.conf:\n  line 3:\n  \\x1b[31munknown");
  expect(stdout).toContain("last error    rejected: check failed");
  expect(stdout).toContain('"freeBytes": 5');
  expect(stdout).toMatch(/last contact +\S+ ago by object\n/);
});

test("hosts ls says how a host was heard where it was not dialled", async () => {
  const hosts = [hostView("h-1", { via: "dial" }), hostView("h-2", { via: "object" })];
  await using api = await startScriptedApi({
    "GET /v1/hosts": { body: { hosts, next: null, missing: [] } },
  });
  const { stdout } = await runCommand(["hosts", "ls", "--api", api.url]);
  expect(stdout).toMatch(/h-1 .* ok +\S+ +-/);
  expect(stdout).toMatch(/h-2 .* ok +\S+ \(object\) +-/);
});

test("hosts rm stops at the first host that cannot be removed", async () => {
  await using api = await startScriptedApi({ "DELETE /v1/hosts/a": { status: 204 } });
  const run = await runCommand(["hosts", "rm", "a", "b", "c", "--api", api.url]);
  expect(run).toMatchObject({ code: 66, stdout: "removed a\n" });
  expect(api.requests.map(({ url }) => url)).toEqual(["/v1/hosts/a", "/v1/hosts/b"]);
});

test("hosts pin takes the first digits of a digest; unpin takes it away", async () => {
  const record = { id: "h", address: "http://x", labels: {}, pins: {}, revision: 4 };
  await using api = await startScriptedApi({
    "GET /v1/configs/web%2Fa.conf/releases": {
      body: { releases: [release(digest), release(other)] },
    },
    "PUT /v1/hosts/h/pins/web%2Fa.conf": { body: record },
    "DELETE /v1/hosts/h/pins/web%2Fa.conf": { body: record },
  });
  const pin = await runCommand(["hosts", "pin", "h", "web/a.conf", "99aa99", "--api", api.url]);
  const unpin = await runCommand(["hosts", "unpin", "h", "web/a.conf", "--api", api.url]);
  expect([pin.code, unpin.code]).toEqual([0, 0]);
  expect(api.requests.find(({ method }) => method === "PUT")?.body).toBe(
    JSON.stringify({ digest: other }),
  );
});

test("a digest that names no release, or two, is refused before anything is sent", async () => {
  await using api = await startScriptedApi({
    "GET /v1/configs/a/releases": {
      body: {
        releases: [
          release(`sha256:abcdef${"0".repeat(58)}`),
          release(`sha256:abcdef${"1".repeat(58)}`),
        ],
      },
    },
  });
  const none = await runCommand(["hosts", "pin", "h", "a", "123456", "--api", api.url]);
  const two = await runCommand(["hosts", "pin", "h", "a", "abcdef", "--api", api.url]);
  const short = await runCommand(["hosts", "pin", "h", "a", "abc", "--api", api.url]);
  expect([none.code, two.code, short.code]).toEqual([66, 66, 64]);
  expect(two.stderr).toContain("2 releases of a begin with `abcdef`");
  expect(api.requests.every(({ method }) => method === "GET")).toBe(true);
});

test("hosts sync asks for each host", async () => {
  await using api = await startScriptedApi({
    "POST /v1/hosts/a/sync": { status: 202 },
    "POST /v1/hosts/b/sync": { status: 202 },
  });
  const run = await runCommand(["hosts", "sync", "a", "b", "--output", "json", "--api", api.url]);
  expect(JSON.parse(run.stdout)).toEqual({ asked: ["a", "b"] });
  expect(api.requests).toHaveLength(2);
});

function release(releaseDigest: string) {
  return {
    name: "a",
    digest: releaseDigest,
    size: 1,
    author: "jo",
    at: "2026-11-23T06:00:00.000Z",
  };
}
