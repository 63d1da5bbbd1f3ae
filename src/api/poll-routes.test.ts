import type { FastifyInstance } from "fastify";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { silentLogger } from "../kernel/log.ts";
import { manifestDigestOf } from "../protocol/digest.ts";
import { bearerOf, hostKeyOf } from "../protocol/host-key.ts";
import { limits } from "../protocol/limits.ts";
import { manifestPath, reportPath } from "../protocol/poll.ts";
import { cluster, startTestNode, until, type TestNode } from "./api-fixture.ts";
import { createFleetServer } from "./fleet-server.ts";

const secret = Buffer.alloc(32, 7);
const empty = manifestDigestOf([]);

let running: TestNode;
/** The same node behind a listener that asks for proofs. */
let fleet: FastifyInstance;

beforeAll(async () => {
  running = await startTestNode();
  fleet = createFleetServer(() => running.node, silentLogger, secret);
  for (const [id, body] of [
    ["h1", { mode: ["poll"] }],
    ["h2", { mode: ["object"] }],
    ["h3", { mode: ["poll"] }],
  ] as const) {
    await running.api.inject({ method: "PUT", url: `/v1/hosts/${id}`, payload: body });
  }
  await until(async () => (await poll("h3")).status === 200);
});

afterAll(async () => {
  await fleet.close();
  await running.stop();
});

function headersOf(host: string, more: Record<string, string> = {}): Record<string, string> {
  const authorization = bearerOf(hostKeyOf(secret, host));
  return { "coxswain-cluster": cluster, authorization, ...more };
}

async function poll(host: string, headers: Record<string, string> = {}) {
  const url = manifestPath(host);
  const reply = await fleet.inject({ method: "GET", url, headers: headersOf(host, headers) });
  const { statusCode: status, body } = reply;
  return { status, body, headers: reply.headers };
}

const replyOf = (host: string, fence: string) => ({
  host,
  boot: "b1",
  agent: "test/1",
  fence,
  view: "1",
  manifest: empty,
  configs: [],
});

async function report(host: string, body: object, headers: Record<string, string> = {}) {
  const reply = await fleet.inject({
    method: "POST",
    url: reportPath,
    headers: headersOf(host, { "coxswain-host": host, "coxswain-status": "200", ...headers }),
    payload: body,
  });
  return { status: reply.statusCode, body: reply.json<Record<string, unknown>>() };
}

describe("a poll", () => {
  it("gets what a push carries, its ETag and when to ask again; reported, it is unchanged", async () => {
    const first = await poll("h1");
    expect(first.status).toBe(200);
    expect(JSON.parse(first.body)).toEqual({ manifest: empty, configs: [] });
    const fence = String(first.headers["coxswain-fence"]);
    expect(first.headers).toMatchObject({
      etag: `"${fence}/${empty}"`,
      "coxswain-cluster": cluster,
      "coxswain-host": "h1",
      "coxswain-node": "node-1",
      "content-type": "application/json",
    });
    expect(first.headers["accept-encoding"]).toBeUndefined();
    expect(Number(first.headers["coxswain-next-poll"])).toBeGreaterThanOrEqual(9);
    const told = await report("h1", replyOf("h1", fence));
    expect(told).toEqual({ status: 200, body: { needsSync: false } });
    const held = { "if-none-match": String(first.headers["etag"]), "coxswain-held": empty };
    const second = await poll("h1", held);
    expect({ status: second.status, body: second.body }).toEqual({ status: 304, body: "" });
    expect(Number(second.headers["coxswain-next-poll"])).toBeGreaterThanOrEqual(9);
  });

  it.each<[string, string, Record<string, string>, number, string]>([
    ["without a proof", "h1", { authorization: "" }, 401, "HOST_UNPROVEN"],
    [
      "with another host's proof",
      "h1",
      { authorization: bearerOf(hostKeyOf(secret, "h3")) },
      401,
      "HOST_UNPROVEN",
    ],
    ["of an unknown host", "nobody", {}, 404, "HOST_NOT_FOUND"],
    ["of a host without that mode", "h2", {}, 404, "HOST_NOT_FOUND"],
    ["of another cluster", "h1", { "coxswain-cluster": "other" }, 409, "CLUSTER_MISMATCH"],
    [
      "with a timeout that is none",
      "h1",
      { "coxswain-timeout-ms": "soon" },
      400,
      "REQUEST_INVALID",
    ],
    ["of an id that is none", "-x-", {}, 400, "HOST_INVALID"],
  ])("%s is refused", async (_name, host, headers, status, code) => {
    const reply = await poll(host, headers);
    expect(reply.status).toBe(status);
    expect(JSON.parse(reply.body)).toMatchObject({ error: { code } });
  });

  it("with another method is told which one", async () => {
    const reply = await fleet.inject({ method: "HEAD", url: manifestPath("h1") });
    expect({ status: reply.statusCode, allow: reply.headers["allow"] }).toEqual({
      status: 405,
      allow: "GET",
    });
  });

  it("of a node that is stopping is told when to come back, before any proof", async () => {
    const other = await startTestNode();
    const server = createFleetServer(() => other.node, silentLogger, secret);
    other.node.shapes.polls.stop();
    const headers = { "coxswain-cluster": cluster };
    const reply = await server.inject({ method: "GET", url: manifestPath("h1"), headers });
    expect(reply.statusCode).toBe(503);
    expect(Number(reply.headers["retry-after"])).toBeGreaterThanOrEqual(1);
    expect(reply.headers["coxswain-next-poll"]).toBe(reply.headers["retry-after"]);
    await server.close();
    await other.stop();
  });
});

describe("a report", () => {
  it("of a host that reads from an object store is taken, too", async () => {
    expect(await report("h2", replyOf("h2", "1.1.1"))).toMatchObject({ status: 200 });
  });

  it.each<[string, Record<string, string>, number, string]>([
    ["without a proof", { authorization: "" }, 401, "HOST_UNPROVEN"],
    ["of nobody", { "coxswain-host": "" }, 401, "HOST_UNPROVEN"],
    ["without a status", { "coxswain-status": "" }, 400, "REQUEST_INVALID"],
    ["with a status that is none", { "coxswain-status": "1000" }, 400, "REQUEST_INVALID"],
  ])("%s is refused", async (_name, headers, status, code) => {
    expect(await report("h1", replyOf("h1", "1.1.1"), headers)).toMatchObject({
      status,
      body: { error: { code } },
    });
  });

  it("larger than a reply may be is refused", async () => {
    const body = { ...replyOf("h1", "1.1.1"), state: { x: "x".repeat(limits.syncReplyBytesMax) } };
    expect(await report("h1", body)).toMatchObject({ status: 413 });
  });

  it("of a host that is not known is refused", async () => {
    expect(await report("nobody", replyOf("nobody", "1.1.1"))).toMatchObject({ status: 404 });
  });
});
