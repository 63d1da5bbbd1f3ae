import { createServer, type RequestListener, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { afterEach, expect, it } from "vitest";
import { systemClock, type Clock } from "../kernel/clock.ts";
import { ManualClock } from "../kernel/manual-clock.ts";
import { bearerOf } from "../protocol/host-key.ts";
import { createNodeCaller } from "./node-call.ts";

const key = Buffer.alloc(32, 1);
const never = new AbortController().signal;
let server: Server | undefined;

afterEach(async () => {
  server?.closeAllConnections();
  await new Promise((resolve) => (server === undefined ? resolve(0) : server.close(resolve)));
  server = undefined;
});

/** Three seconds pass in one turn of the event loop, in which nothing can be connected. */
const hastyClock: Clock = {
  ...systemClock,
  after: (ms, callback) => {
    if (ms === 3_000) queueMicrotask(callback);
    return systemClock.after(ms, callback);
  },
};

/** A server, and what calls it once. */
async function serve(listener: RequestListener, clock: Clock = systemClock) {
  server = createServer(listener);
  await new Promise<void>((resolve) => server?.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const url = new URL(`http://127.0.0.1:${port}/x`);
  const callNode = createNodeCaller({ clock, cluster: "c1", key, tls: undefined });
  const headers = { "coxswain-held": "sha256:x" };
  return (timeoutMs: number, signal = never) =>
    callNode({ url, method: "POST", headers, body: Buffer.from("{}"), timeoutMs }, signal);
}

async function call(listener: RequestListener, timeoutMs = 2_000, signal = never) {
  return (await serve(listener))(timeoutMs, signal);
}

it("carries headers, cluster, proof and body, and brings back a compressed answer", async () => {
  let asked: unknown;
  const answer = await call((request, response) => {
    asked = request.headers;
    response.setHeader("content-encoding", "gzip").end(gzipSync('{"a":1}'));
  });
  expect(answer).toMatchObject({ kind: "answered", status: 200, json: { a: 1 } });
  expect(asked).toMatchObject({
    "coxswain-cluster": "c1",
    "coxswain-held": "sha256:x",
    "content-length": "2",
    authorization: bearerOf(key),
    connection: "close",
  });
});

it.each([
  ["7", 7_000],
  ["999999", 300_000],
  ["tomorrow", undefined],
])("reads a Retry-After of %s as %s ms", async (text, retryAfterMs) => {
  const answer = await call((_request, response) => {
    response.writeHead(503, { "retry-after": text }).end();
  });
  expect(answer).toMatchObject({ kind: "answered", status: 503, json: undefined, retryAfterMs });
});

it.each<[string, RequestListener]>([
  ["never begins", () => {}],
  ["never ends", (_request, response) => void response.writeHead(200).write("{")],
])("an answer that %s is given up in time", async (_name, listener) => {
  const answer = await call(listener, 100);
  expect(answer).toEqual({ kind: "unreachable", message: "No answer within 100 ms" });
});

it("an answer that breaks off is none", async () => {
  const answer = await call((_request, response) => {
    response.writeHead(200, { "content-length": "100" }).write("{", () => response.destroy());
  });
  expect(answer).toMatchObject({ kind: "unreachable" });
});

it("an abort passes through", async () => {
  const reason = new Error("stopping");
  await expect(call(() => {}, 2_000, AbortSignal.abort(reason))).rejects.toBe(reason);
});

it("a machine that does not even connect is given up early", async () => {
  const ask = await serve((_request, response) => void response.end("{}"), hastyClock);
  expect(await ask(10_000)).toEqual({
    kind: "unreachable",
    message: "No connection within 3000 ms",
  });
});

it("a machine that connects has its whole time", async () => {
  const clock = new ManualClock();
  const { promise: arrived, resolve: arrive } = Promise.withResolvers<ServerResponse>();
  const ask = await serve((_request, response) => arrive(response), clock);
  const slow = ask(10_000);
  const response = await arrived;
  await clock.advance(9_999);
  response.end("{}");
  expect(await slow).toMatchObject({ kind: "answered", status: 200 });
  expect(clock.timerCount).toBe(0);
});
