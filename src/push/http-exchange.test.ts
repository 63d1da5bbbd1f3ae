import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { Duplex, duplexPair } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { HttpConnection, requestHead } from "./http-exchange.ts";
import type { ExchangeResult } from "./transport.ts";

const reply = "HTTP/1.1 200 OK\r\nkeep-alive: timeout=9\r\ncontent-length: 2\r\n\r\nok";

function bodyOf(result: ExchangeResult): Buffer {
  return result.kind === "reply" ? result.body : Buffer.from(result.kind);
}

/** A connection over `near`, with a log of what its user is told. */
function connectOver(near: Duplex) {
  const log: string[] = [];
  const connection = new HttpConnection(near, {
    onResult(result, reuse) {
      const what =
        result.kind === "failed"
          ? result.failure
          : result.kind === "reply"
            ? `${result.status}`
            : result.kind;
      log.push(`${what} ${reuse === undefined ? "closed" : `kept ${reuse.keepAliveMs}`}`);
    },
    onClosed: (error) => log.push(`closed ${error?.message ?? ""}`.trim()),
  });
  return { connection, log };
}

function setUp() {
  const [near, far] = duplexPair();
  let received = "";
  far.setEncoding("latin1");
  far.on("data", (text: string) => (received += text));
  return { ...connectOver(near), near, far, received: () => received };
}

describe("an HTTP connection over any Duplex", () => {
  it("carries one exchange after the other", async () => {
    const { connection, log, far, received } = setUp();
    for (const body of [Buffer.from("one"), undefined]) {
      connection.send("HEAD\r\n\r\n", body);
      await turn();
      far.write(reply);
      await turn();
    }
    expect(received()).toBe("HEAD\r\n\r\noneHEAD\r\n\r\n");
    expect(log).toEqual(["200 kept 9000", "200 kept 9000"]);
    connection.destroy();
  });

  it.each([256, 8 * 1024, 8 * 1024 + 1, 200_000])(
    "writes a head and a body of %i bytes to a socket as they are",
    async (bytes) => {
      const server = createServer();
      server.listen({ host: "127.0.0.1", port: 0 });
      await once(server, "listening");
      const near = connect({ host: "127.0.0.1", port: (server.address() as AddressInfo).port });
      const [far] = (await once(server, "connection")) as [Socket];
      const body = Buffer.from(Uint8Array.from({ length: bytes }, (_, index) => index));
      const { connection } = connectOver(near);
      connection.send("HE\xe4D\r\n\r\n", body);
      const received: Buffer[] = [];
      let left = bytes + 8;
      for await (const piece of far as AsyncIterable<Buffer>) {
        received.push(piece);
        left -= piece.length;
        if (left <= 0) break;
      }
      const whole = Buffer.concat([Buffer.from("HE\xe4D\r\n\r\n", "latin1"), body]);
      expect(Buffer.concat(received).equals(whole)).toBe(true);
      connection.destroy();
      far.destroy();
      server.close();
    },
  );

  it("writes each request's own body", async () => {
    const { connection, far, received } = setUp();
    for (const body of ["one", "two", "one"]) {
      connection.send("HEAD\r\n\r\n", Buffer.from(body));
      await turn();
      far.write(reply);
      await turn();
    }
    expect(received()).toBe(["one", "two", "one"].map((body) => `HEAD\r\n\r\n${body}`).join(""));
    connection.destroy();
  });

  it("leaves the reading to whoever feeds it, in memory that is used anew", () => {
    const [near] = duplexPair();
    const bodies: Buffer[] = [];
    const connection = new HttpConnection(
      near,
      { onResult: (result) => bodies.push(bodyOf(result)), onClosed: () => {} },
      "fed",
    );
    expect(near.listenerCount("data")).toBe(0);
    const memory = Buffer.from(reply);
    connection.send("HEAD\r\n\r\n", undefined);
    for (const [start, end] of [
      [0, 20],
      [20, memory.length - 1],
      [memory.length - 1, memory.length],
    ]) {
      const piece = Buffer.from(memory.subarray(start, end));
      connection.feed(piece);
      piece.fill("?");
    }
    expect(bodies).toEqual([Buffer.from("ok")]);
    connection.destroy();
  });

  it("is not kept where bytes follow the reply", async () => {
    const { connection, log, near, far } = setUp();
    connection.send("HEAD\r\n\r\n", undefined);
    far.write(`${reply}HTTP/1.1 200 OK\r\n`);
    await turn();
    expect(log).toEqual(["200 closed"]);
    expect(near.destroyed).toBe(true);
  });

  it("is not kept where the reply came before the request was out", async () => {
    const stuck = new Duplex({ read() {}, write() {} });
    const { connection, log } = connectOver(stuck);
    connection.send("HEAD\r\n\r\n", Buffer.alloc(1_000));
    stuck.push(reply.replace("200 OK", "413 Too Large"));
    await turn();
    expect(log).toEqual(["413 closed"]);
  });

  it.each([
    ["speaks unasked", (far: Duplex) => far.write(reply)],
    ["ends", (far: Duplex) => far.end()],
  ])("is closed where the host %s while it is idle", async (_what, act) => {
    const { log, near, far } = setUp();
    act(far);
    await turn();
    expect(log).toEqual(["closed"]);
    expect(near.destroyed).toBe(true);
  });

  it("tells of a failure once, and of nothing after it was destroyed", async () => {
    const { connection, log, near } = setUp();
    connection.send("HEAD\r\n\r\n", undefined);
    near.destroy(new Error("broken"));
    await turn();
    expect(log).toEqual(["ambiguous closed"]);
    const other = setUp();
    other.connection.send("HEAD\r\n\r\n", undefined);
    other.connection.destroy();
    other.far.write(reply);
    await turn();
    expect(other.log).toEqual([]);
  });

  it("takes no second request before the reply to the first", () => {
    const { connection } = setUp();
    connection.send("HEAD\r\n\r\n", undefined);
    expect(() => connection.send("HEAD\r\n\r\n", undefined)).toThrow("Expected an idle connection");
    connection.destroy();
  });
});

describe("requestHead", () => {
  const body = Buffer.from("{}");

  it("gives one line for each header, and the length", () => {
    expect(requestHead({ path: "/a", headers: { b: "c", d: "" }, body }, "h:1")).toEqual({
      head: "POST /a HTTP/1.1\r\nhost: h:1\r\nb: c\r\nd: \r\ncontent-length: 2\r\n\r\n",
    });
  });

  it.each([
    ["a path with a space", "/a b", {}],
    ["a path with a line", "/a\r\nb: c", {}],
    ["no path", "a", {}],
    ["a name with a colon", "/", { "a: b": "c" }],
    ["a name with a line", "/", { "a\nb": "c" }],
    ["an empty name", "/", { "": "c" }],
    ["a value with a line", "/", { a: "b\r\nc: d" }],
    ["a value with half a line", "/", { a: "b\rc: d" }],
    ["a value beyond Latin-1, whose bytes could be anything", "/", { a: "\u010d\u010a" }],
  ])("refuses %s", (_what, path, headers) => {
    expect(requestHead({ path, headers, body }, "h")).toHaveProperty("reason");
  });

  it("refuses a value after a good one of the same name, and again after that", () => {
    const good = { path: "/", headers: { "x-memo": "c" }, body };
    const bad = { path: "/", headers: { "x-memo": "c\r\nd: e" }, body };
    for (const request of [good, bad, bad, good, bad]) {
      expect("reason" in requestHead(request, "h")).toBe(request === bad);
    }
  });
});
