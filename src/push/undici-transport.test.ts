import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createTcpServer, type AddressInfo, type Socket } from "node:net";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../kernel/clock.ts";
import { limits } from "../protocol/limits.ts";
import { classOfError } from "./transport-errors.ts";
import type { ExchangeResult } from "./transport.ts";
import { createUndiciTransport, type UndiciTransport } from "./undici-transport.ts";

const options = { socketsMax: 10, keepAliveMs: 60_000, connectTimeoutMs: 1_000 };
const closers: (() => Promise<void>)[] = [];
let transport: UndiciTransport;

beforeEach(() => {
  transport = createUndiciTransport(systemClock, options);
});

afterEach(async () => {
  await transport.stop();
  for (const close of closers.splice(0)) await close();
});

async function listen(server: Server | ReturnType<typeof createTcpServer>): Promise<string> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closers.push(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => {
      server.close(resolve);
    });
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const httpOrigin = (handler: RequestListener) => listen(createServer(handler));

/** A server that answers every connection's first bytes with `bytes`. */
const rawOrigin = (bytes: string, thenEnd = false) =>
  listen(
    createTcpServer((socket) => {
      socket.once("data", () => (thenEnd ? socket.end(bytes) : socket.write(bytes)));
    }),
  );

function exchange(origin: string, deadlineMs = 2_000, signal?: AbortSignal) {
  const headers = { "content-type": "application/json" };
  const body = Buffer.from("{}");
  return transport.exchange({ origin, path: "/sync", headers, body, deadlineMs }, signal);
}

function failureOf(result: ExchangeResult): string {
  return result.kind === "failed"
    ? `${result.failure} ${result.sent ? "sent" : "unsent"}`
    : "reply";
}

describe("the undici transport", () => {
  it("posts the body and gives status, body and Retry-After", async () => {
    const origin = await httpOrigin((request, response) => {
      request.on("data", (chunk: Buffer) => {
        response.writeHead(429, { "retry-after": "7" });
        response.end(`${request.method} ${request.url} ${chunk.toString()}`);
      });
    });
    expect(await exchange(origin)).toEqual({
      kind: "reply",
      status: 429,
      retryAfterMs: 7_000,
      body: Buffer.from("POST /sync {}"),
    });
  });

  it("reports a deadline after sending as ambiguous, and closes the connection", async () => {
    const origin = await httpOrigin(() => {});
    const startMs = systemClock.monotonicMs();
    expect(failureOf(await exchange(origin, 150))).toBe("ambiguous sent");
    expect(systemClock.monotonicMs() - startMs).toBeLessThan(1_000);
    expect(transport.socketCount).toBe(0);
  });

  it("bounds a reply that trickles in by the same one deadline", async () => {
    const origin = await httpOrigin((_request, response) => {
      response.writeHead(200);
      const trickle = (): void => {
        if (response.destroyed) return;
        response.write("x");
        systemClock.after(20, trickle);
      };
      trickle();
    });
    expect(failureOf(await exchange(origin, 200))).toBe("ambiguous sent");
  });

  it("reports a reset after sending as ambiguous", async () => {
    const origin = await listen(
      createTcpServer((socket) => {
        socket.once("data", () => socket.resetAndDestroy());
      }),
    );
    expect(failureOf(await exchange(origin))).toBe("ambiguous sent");
  });

  it("stops reading an endless body at the limit", async () => {
    let writtenBytes = 0;
    const chunk = Buffer.alloc(16 * 1024, "x");
    const origin = await httpOrigin((_request, response) => {
      response.writeHead(200);
      const write = (): void => {
        writtenBytes += chunk.length;
        if (!response.destroyed) response.write(chunk, () => setImmediate(write));
      };
      write();
    });
    expect(failureOf(await exchange(origin))).toBe("protocol sent");
    expect(writtenBytes).toBeLessThan(64 * 1024 * 1024);
  });

  it("refuses a reply of one byte more than the limit and takes one of the limit", async () => {
    const sizes = [limits.syncReplyBytesMax, limits.syncReplyBytesMax + 1];
    const origin = await httpOrigin((_request, response) => {
      response.end(Buffer.alloc(sizes.shift() ?? 0, "x"));
    });
    const fits = await exchange(origin);
    expect(fits.kind === "reply" && fits.body.length).toBe(limits.syncReplyBytesMax);
    expect(failureOf(await exchange(origin))).toBe("protocol sent");
  });

  it("decompresses gzip and refuses a bomb", async () => {
    const bodies = [gzipSync("plain"), gzipSync(Buffer.alloc(32 << 20)), Buffer.from("no gzip")];
    const origin = await httpOrigin((_request, response) => {
      response.writeHead(200, { "content-encoding": "gzip" });
      response.end(bodies.shift());
    });
    expect(await exchange(origin)).toMatchObject({ body: Buffer.from("plain") });
    expect(failureOf(await exchange(origin))).toBe("protocol sent");
    expect(failureOf(await exchange(origin))).toBe("protocol sent");
  });

  it("does not take a body that is shorter than it says", async () => {
    const head = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort";
    const result = await exchange(await rawOrigin(head, true));
    expect(["ambiguous sent", "protocol sent"]).toContain(failureOf(result));
  });

  it("reports what is no HTTP as protocol", async () => {
    expect(failureOf(await exchange(await rawOrigin("SSH-2.0-OpenSSH\r\n")))).toBe("protocol sent");
  });

  it("reports a closed port as refused and a bad address as resolve", async () => {
    const origin = await httpOrigin(() => {});
    await closers.pop()?.();
    expect(failureOf(await exchange(origin))).toBe("refused unsent");
    expect(failureOf(await exchange(`http://${"x".repeat(64)}.invalid:1`))).toBe("resolve unsent");
    expect(failureOf(await exchange("ftp://127.0.0.1"))).toBe("resolve unsent");
    expect(transport.socketCount).toBe(0);
  });

  it("reports https to a plain server as tls", async () => {
    const origin = await rawOrigin("HTTP/1.1 400 Bad Request\r\n\r\n", true);
    expect(failureOf(await exchange(origin.replace("http:", "https:")))).toBe("tls unsent");
  });

  it("follows no redirect", async () => {
    let requests = 0;
    const origin = await httpOrigin((_request, response) => {
      requests++;
      response.writeHead(307, { location: "/elsewhere" });
      response.end();
    });
    expect(await exchange(origin)).toMatchObject({ kind: "reply", status: 307 });
    expect(requests).toBe(1);
  });

  it("uses one connection again and again", async () => {
    const ports = new Set<number | undefined>();
    const origin = await httpOrigin((request, response) => {
      ports.add(request.socket.remotePort);
      response.end();
    });
    for (let turn = 0; turn < 5; turn++) await exchange(origin);
    expect(ports.size).toBe(1);
    expect(transport.socketCount).toBe(1);
  });

  it("keeps to its budget: the least recently used idle connection is closed first", async () => {
    const connections: string[] = [];
    const server = createServer((_request, response) => response.end());
    server.on("connection", (socket: Socket) => connections.push(socket.localAddress ?? ""));
    const { port } = new URL(await listen(server));
    await transport.stop();
    transport = createUndiciTransport(systemClock, { ...options, socketsMax: 2 });
    const origin = (host: string) => `http://${host}:${port}`;
    await exchange(origin("127.0.0.1"));
    await exchange(origin("localhost"));
    await exchange(origin("127.0.0.1"));
    await exchange(origin("127.1"));
    expect(transport.socketCount).toBe(2);
    const before = connections.length;
    await exchange(origin("127.0.0.1"));
    expect(connections.length).toBe(before);
    await exchange(origin("localhost"));
    expect(connections.length).toBe(before + 1);
    expect(transport.socketCount).toBe(2);
  });

  it("fails as local where every connection is in use", async () => {
    const origin = await httpOrigin(() => {});
    await transport.stop();
    transport = createUndiciTransport(systemClock, { ...options, socketsMax: 1 });
    const first = exchange(origin, 300);
    expect(failureOf(await exchange("http://127.0.0.1:9", 300))).toBe("local unsent");
    expect(failureOf(await first)).toBe("ambiguous sent");
  });

  it("sends one after the other where two exchanges share an origin", async () => {
    let underWay = 0;
    let most = 0;
    const origin = await httpOrigin((_request, response) => {
      most = Math.max(most, ++underWay);
      setImmediate(() => {
        underWay--;
        response.end();
      });
    });
    const results = await Promise.all([exchange(origin), exchange(origin), exchange(origin)]);
    expect(results.map(({ kind }) => kind)).toEqual(["reply", "reply", "reply"]);
    expect(most).toBe(1);
  });

  it("drops the connection of an origin that is not used again", async () => {
    const origin = await httpOrigin((_request, response) => response.end());
    await exchange(origin);
    transport.drop(origin);
    expect(transport.socketCount).toBe(0);
  });

  it("ends with the signal", async () => {
    const origin = await httpOrigin(() => {});
    const abort = new AbortController();
    const pending = exchange(origin, 5_000, abort.signal);
    abort.abort();
    expect(await pending).toMatchObject({ kind: "failed", message: "cancelled" });
    expect(await exchange(origin, 5_000, abort.signal)).toMatchObject({ failure: "local" });
  });

  it("leaves nothing open after stop, and answers at once from then on", async () => {
    const origin = await httpOrigin((request, response) => {
      if (request.headers["x-hang"] === undefined) response.end();
    });
    await exchange(origin);
    const hanging = transport.exchange({
      origin,
      path: "/",
      headers: { "x-hang": "1" },
      body: undefined,
      deadlineMs: 60_000,
    });
    await transport.stop();
    expect((await hanging).kind).toBe("failed");
    expect(transport.socketCount).toBe(0);
    expect(failureOf(await exchange(origin))).toBe("local unsent");
    await transport.stop();
  });
});

describe("classOfError", () => {
  it.each([
    ["EMFILE", false, "local"],
    ["EADDRNOTAVAIL", false, "local"],
    ["ENETUNREACH", false, "local"],
    ["EAI_AGAIN", false, "resolve"],
    ["ECONNREFUSED", false, "refused"],
    ["EHOSTUNREACH", false, "timeout"],
    ["ETIMEDOUT", true, "ambiguous"],
    ["CERT_HAS_EXPIRED", false, "tls"],
    ["ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED", true, "tls"],
    ["UND_ERR_HEADERS_OVERFLOW", true, "protocol"],
    ["ECONNRESET", true, "ambiguous"],
    ["ECONNRESET", false, "refused"],
    ["SOMETHING_NEW", true, "ambiguous"],
  ] as const)("takes %s (sent: %s) as %s", (code, isSent, failure) => {
    expect(classOfError(Object.assign(new Error("x"), { code }), isSent)).toBe(failure);
  });
});
