import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Agent, request, type Dispatcher } from "undici";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { TcpProxy } from "./tcp-proxy.ts";
import { eventually } from "./test-cluster.ts";

const patienceMs = 10_000;

describe("a TCP proxy between a client and a server", () => {
  let server: Server;
  let proxy: TcpProxy;
  let client: Dispatcher;
  let received: string[];

  beforeEach(async () => {
    received = [];
    server = createServer((incoming, reply) => void answer(incoming, reply));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    proxy = await TcpProxy.open({ host: "127.0.0.1", port });
    client = new Agent();
  });

  afterEach(async () => {
    await client.destroy();
    await proxy.stop();
    server.closeAllConnections();
    server.close();
  });

  const answer = async (incoming: IncomingMessage, reply: ServerResponse) => {
    let text = "";
    for await (const chunk of incoming) text += String(chunk);
    received.push(text);
    reply.end(`got ${text}`);
  };

  const send = async (body: string, timeoutMs = patienceMs): Promise<string> => {
    const signal = AbortSignal.timeout(timeoutMs);
    const reply = await request(proxy.url, { method: "POST", body, dispatcher: client, signal });
    return reply.body.text();
  };

  it("carries what it is given, in both directions and of any size", async () => {
    const large = "x".repeat(4 * 1024 * 1024);
    expect(await send(large)).toBe(`got ${large}`);
  });

  it("resets what is open and refuses what is new while it is cut", async () => {
    expect(await send("before")).toBe("got before");
    proxy.cut();
    await expect(send("one")).rejects.toThrow(/closed|reset|hang up/i);
    await expect(send("two")).rejects.toThrow(/closed|reset|hang up/i);
    proxy.pass();
    expect(await send("after")).toBe("got after");
    expect(received).toEqual(["before", "after"]);
  });

  it("loses requests without a word, and is itself again afterwards", async () => {
    expect(await send("before")).toBe("got before");
    proxy.silence("requests");
    await expect(send("lost", 200)).rejects.toThrow(/timeout/i);
    proxy.pass();
    expect(await send("after")).toBe("got after");
    expect(received).toEqual(["before", "after"]);
  });

  it("loses only the replies in the other direction", async () => {
    proxy.silence("replies");
    await expect(send("heard", 200)).rejects.toThrow(/timeout/i);
    await eventually("the request arrived", patienceMs, async () =>
      received.includes("heard") ? true : undefined,
    );
    proxy.pass();
    expect(await send("after")).toBe("got after");
  });

  it("delivers what it held after the sender has given up and others have passed", async () => {
    proxy.hold();
    await expect(send("old", 200)).rejects.toThrow(/timeout/i);
    proxy.pass();
    expect(await send("new")).toBe("got new");
    expect(received).toEqual(["new"]);

    const late = await proxy.deliverHeld();
    expect(late.map(({ status }) => status)).toEqual([200]);
    expect(late[0]?.request).toMatch(/^POST [^]*old$/);
    expect(received).toEqual(["new", "old"]);
    expect(await proxy.deliverHeld()).toEqual([]);
  });

  it("adds the delay to each direction", async () => {
    proxy.delay(150);
    const startMs = performance.now();
    expect(await send("slow")).toBe("got slow");
    expect(performance.now() - startMs).toBeGreaterThanOrEqual(290);
  });
});
