import { connect, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { FastifyInstance } from "fastify";
import { silentLogger } from "../kernel/log.ts";
import { limits } from "../protocol/limits.ts";
import { createHttpServer, watchMethods } from "./http-server.ts";

let server: FastifyInstance;

beforeEach(async () => {
  server = createHttpServer(silentLogger, { requestTimeoutMs: 200 });
  const refuseOtherMethods = watchMethods(server);
  server.post("/taken", (request) => ({ body: request.body }));
  server.get("/broken", () => {
    throw new Error("a defect");
  });
  refuseOtherMethods();
  await server.listen({ host: "127.0.0.1", port: 0 });
});

afterEach(() => server.close());

/** Sends each text in turn and resolves with everything that came back until the end. */
function talk(start: (socket: Socket) => void): Promise<string> {
  const { port } = server.server.address() as AddressInfo;
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => start(socket));
    let received = "";
    socket.setEncoding("utf8");
    socket.on("data", (chunk: string) => {
      received += chunk;
    });
    socket.on("close", () => resolve(received));
    socket.on("error", reject);
  });
}

const openCount = () =>
  new Promise((resolve) => server.server.getConnections((_error, count) => resolve(count)));

function bodyOf(reply: string): unknown {
  return JSON.parse(reply.slice(reply.indexOf("\r\n\r\n") + 4));
}

const refusedWith = (code: string) => ({
  error: { code, message: expect.any(String) as string, details: {} },
});

describe("slow and broken senders", () => {
  test.each([
    ["headers", "POST /taken HTTP/1.1\r\nhost: a\r\n"],
    [
      "the body",
      "POST /taken HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{",
    ],
  ])("a sender that does not finish %s is cut off", async (_part, text) => {
    const startMs = performance.now();
    const reply = await talk((socket) => socket.write(text));
    expect(performance.now() - startMs).toBeLessThan(2_000);
    expect(reply).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    expect(bodyOf(reply)).toEqual(refusedWith("REQUEST_INVALID"));
  });

  test("a sender of a byte now and then is cut off as well, and others are served meanwhile", async () => {
    const slow = talk((socket) => {
      socket.write("POST /taken HTTP/1.1\r\nhost: a\r\nx: ");
      const timer = setInterval(() => socket.write("y"), 20);
      // The refusal comes just before the end.
      for (const event of ["data", "end"]) socket.once(event, () => clearInterval(timer));
    });
    const served = "GET /nothing HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    expect(await talk((socket) => socket.write(served))).toMatch(/^HTTP\/1\.1 404 /);
    const startMs = performance.now();
    expect(await slow).toMatch(/^(?:HTTP\/1\.1 400 |$)/);
    expect(performance.now() - startMs).toBeLessThan(2_000);
  });

  test("senders that vanish leave no connection behind", async () => {
    const head = "POST /taken HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{";
    await Promise.all(
      Array.from({ length: 20 }, () =>
        talk((socket) => socket.write(head, () => socket.resetAndDestroy())),
      ),
    );
    await expect.poll(openCount).toBe(0);
  });

  test("a connection that never sends anything is cut off", async () => {
    expect(await talk(() => {})).toMatch(/^(HTTP\/1\.1 4|$)/);
  });

  test.each([
    ["what is no HTTP", "nonsense\r\n\r\n", 400, "REQUEST_INVALID"],
    [
      "headers that are too large",
      `GET / HTTP/1.1\r\nhost: a\r\nx: ${"y".repeat(20_000)}\r\n\r\n`,
      413,
      "REQUEST_TOO_LARGE",
    ],
    [
      "an escape code in a header",
      "POST /taken HTTP/1.1\r\nhost: a\r\ncoxswain-actor: \u001b[31m\r\n\r\n",
      400,
      "REQUEST_INVALID",
    ],
  ])("%s is refused in the common shape", async (_name, text, status, code) => {
    const reply = await talk((socket) => socket.write(text));
    expect(reply.startsWith(`HTTP/1.1 ${status} `)).toBe(true);
    expect(bodyOf(reply)).toEqual(refusedWith(code));
  });
});

const sendJson = (bytes: number) =>
  server.inject({
    method: "POST",
    url: "/taken",
    headers: { "content-type": "application/json" },
    payload: JSON.stringify("x".repeat(bytes - 2)),
  });

describe("the common shape", () => {
  test("a defect is INTERNAL", async () => {
    const reply = await server.inject("/broken");
    expect([reply.statusCode, reply.json()]).toEqual([500, refusedWith("INTERNAL")]);
  });

  test("a method that the path has not is refused before its body is read", async () => {
    const reply = await server.inject({
      method: "PUT",
      url: "/taken",
      payload: "x".repeat(100_000),
    });
    expect([reply.statusCode, reply.headers["allow"]]).toEqual([405, "POST"]);
    expect(reply.json()).toEqual({
      error: {
        code: "METHOD_NOT_ALLOWED",
        message: "Expected one of POST on /taken, got PUT",
        details: { allow: ["POST"] },
      },
    });
  });

  test("a body above the limit is refused unless a route says otherwise", async () => {
    expect((await sendJson(limits.apiBodyBytesMax)).statusCode).toBe(200);
    const reply = await sendJson(limits.apiBodyBytesMax + 1);
    expect([reply.statusCode, reply.json()]).toEqual([413, refusedWith("REQUEST_TOO_LARGE")]);
  });

  test("HEAD goes where GET goes", async () => {
    expect((await server.inject({ method: "HEAD", url: "/broken" })).statusCode).toBe(500);
    expect((await server.inject({ method: "OPTIONS", url: "/broken" })).headers["allow"]).toBe(
      "GET, HEAD",
    );
  });

  test("a media type that nobody reads is refused", async () => {
    const reply = await server.inject({
      method: "POST",
      url: "/taken",
      headers: { "content-type": "application/xml" },
      payload: "<a/>",
    });
    expect([reply.statusCode, reply.json()]).toEqual([400, refusedWith("REQUEST_INVALID")]);
  });
});
