/**
 * What every transport over the network must do, as tests against real servers on loopback: the same
 * replies, the same failure classes, one total deadline, bounded replies, a budget of sockets, nothing
 * left after stop.
 */
import { createServer } from "node:http";
import { createServer as createTcpServer, type Socket } from "node:net";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock, type Clock } from "../kernel/clock.ts";
import { limits } from "../protocol/limits.ts";
import { closeServers, httpOrigin, listen, rawOrigin } from "./loopback-servers.ts";
import type { SocketTransport, SocketTransportOptions } from "./socket-transport.ts";
import type { ExchangeResult } from "./transport.ts";

const options = { socketsMax: 10, keepAliveMs: 60_000, connectTimeoutMs: 1_000 };

type Create = (clock: Clock, options: SocketTransportOptions) => SocketTransport;

let create: Create;
let transport: SocketTransport;

afterEach(async () => {
  await transport.stop();
  await closeServers();
});

async function recreate(parts: Partial<SocketTransportOptions>): Promise<void> {
  await transport.stop();
  transport = create(systemClock, { ...options, ...parts });
}

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

export function testTransport(name: string, createTransport: Create): void {
  describe(`over loopback, ${name}`, () => {
    beforeEach(() => {
      create = createTransport;
      transport = create(systemClock, options);
    });
    replies();
    oddReplies();
    failures();
    connections();
    endings();
  });
}

function replies(): void {
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
}

function oddReplies(): void {
  const json = '{"a":1}';

  it.each([
    ["in chunks", 'transfer-encoding: chunked\r\n\r\n4\r\n{"a"\r\n3\r\n:1}\r\n0\r\n\r\n'],
    ["after an interim response", `content-length: 7\r\n\r\n${json}`],
    ["that ends with the connection", `\r\n${json}`],
  ])("takes a reply %s", async (what, rest) => {
    const start = what.includes("interim") ? "HTTP/1.1 103 Early\r\n\r\n" : "";
    const origin = await rawOrigin(`${start}HTTP/1.1 200 OK\r\n${rest}`, true);
    expect(await exchange(origin)).toMatchObject({ status: 200, body: Buffer.from(json) });
  });

  it.each([
    [
      "a length and chunks",
      "content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    ],
    ["two lengths", "content-length: 1\r\ncontent-length: 2\r\n\r\naa"],
    ["a malformed chunk", "transfer-encoding: chunked\r\n\r\nz\r\na\r\n0\r\n\r\n"],
    ["a head without end", `a: ${"x".repeat(70_000)}`],
  ])("reports a reply with %s as protocol", async (_what, rest) => {
    const origin = await rawOrigin(`HTTP/1.1 200 OK\r\n${rest}`);
    expect(failureOf(await exchange(origin))).toBe("protocol sent");
    expect(transport.socketCount).toBe(0);
  });

  it("sends nothing whose headers would begin a new line", async () => {
    let requests = 0;
    const origin = await httpOrigin((_request, response) => {
      requests++;
      response.end();
    });
    for (const headers of [{ a: "b\r\nc: d" }, { "a\r\nb": "c" }, { "": "c" }, { a: "b\n" }]) {
      const body = undefined;
      const deadlineMs = 1_000;
      const result = await transport.exchange({ origin, path: "/", headers, body, deadlineMs });
      expect(failureOf(result)).toBe("resolve unsent");
    }
    expect(requests).toBe(0);
  });

  it("names the host with its port", async () => {
    const hosts: (string | undefined)[] = [];
    const server = createServer((request, response) => {
      hosts.push(request.headers.host);
      response.end();
    });
    const { port } = new URL(await listen(server, "::"));
    for (const host of ["127.0.0.1", "localhost", "[::1]"]) {
      expect(await exchange(`http://${host}:${port}`)).toMatchObject({ status: 200 });
    }
    expect(hosts).toEqual([`127.0.0.1:${port}`, `localhost:${port}`, `[::1]:${port}`]);
  });
}

function failures(): void {
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
    await closeServers();
    expect(failureOf(await exchange(origin))).toBe("refused unsent");
    expect(failureOf(await exchange(`http://${"x".repeat(64)}.invalid:1`))).toBe("resolve unsent");
    expect(failureOf(await exchange("ftp://127.0.0.1"))).toBe("resolve unsent");
    expect(transport.socketCount).toBe(0);
  });

  it("reports https to a plain server as tls", async () => {
    const origin = await rawOrigin("HTTP/1.1 400 Bad Request\r\n\r\n", true);
    expect(failureOf(await exchange(origin.replace("http:", "https:")))).toBe("tls unsent");
  });
}

function connections(): void {
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

  it("makes a new connection where the host wants the old one closed", async () => {
    const ports = new Set<number | undefined>();
    const origin = await httpOrigin((request, response) => {
      ports.add(request.socket.remotePort);
      response.shouldKeepAlive = false;
      response.end();
    });
    const together = await Promise.all([exchange(origin), exchange(origin)]);
    expect(together.map(({ kind }) => kind)).toEqual(["reply", "reply"]);
    expect(await exchange(origin)).toMatchObject({ kind: "reply" });
    expect(ports.size).toBe(3);
  });

  it("reports a reset on a connection that had served before as ambiguous", async () => {
    let requests = 0;
    const origin = await listen(
      createTcpServer((socket) => {
        socket.on("data", () => {
          if (++requests === 1) socket.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
          else socket.resetAndDestroy();
        });
      }),
    );
    expect(await exchange(origin)).toMatchObject({ status: 200 });
    expect(failureOf(await exchange(origin))).toBe("ambiguous sent");
    expect(requests).toBe(2);
  });

  it("gives an idle connection up when the host ends it", async () => {
    const origin = await listen(
      createTcpServer((socket) => {
        socket.once("data", () => {
          socket.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", () => socket.end());
        });
      }),
    );
    expect(await exchange(origin)).toMatchObject({ status: 200 });
    await expect.poll(() => transport.socketCount).toBe(0);
    expect(await exchange(origin)).toMatchObject({ status: 200 });
  });

  it("does not reuse a connection that the host will soon close", async () => {
    const ports = new Set<number | undefined>();
    const origin = await httpOrigin((request, response) => {
      ports.add(request.socket.remotePort);
      response.writeHead(200, { connection: "keep-alive", "keep-alive": "timeout=1" });
      response.end();
    });
    await exchange(origin);
    await exchange(origin);
    expect(ports.size).toBe(2);
  });

  it("keeps to its budget: the least recently used idle connection is closed first", async () => {
    const accepted: string[] = [];
    const server = createServer((_request, response) => response.end());
    server.on("connection", (socket: Socket) => accepted.push(socket.localAddress ?? ""));
    const { port } = new URL(await listen(server));
    await recreate({ socketsMax: 2 });
    const origin = (host: string) => `http://${host}:${port}`;
    await exchange(origin("127.0.0.1"));
    await exchange(origin("localhost"));
    await exchange(origin("127.0.0.1"));
    await exchange(origin("127.1"));
    expect(transport.socketCount).toBe(2);
    const before = accepted.length;
    await exchange(origin("127.0.0.1"));
    expect(accepted.length).toBe(before);
    await exchange(origin("localhost"));
    expect(accepted.length).toBe(before + 1);
    expect(transport.socketCount).toBe(2);
  });

  it("fails as local where every connection is in use", async () => {
    const origin = await httpOrigin(() => {});
    await recreate({ socketsMax: 1 });
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
}

function endings(): void {
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
}
