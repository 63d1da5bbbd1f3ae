/**
 * Strangers at the agent's door, over real sockets: slow, vanished, too many, or talking nonsense. Each
 * is gone within the agent's own limits, and a node's sync is served meanwhile.
 */
import { connect, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { systemClock } from "../kernel/clock.ts";
import { silentLogger } from "../kernel/log.ts";
import { syncPath } from "../protocol/sync.ts";
import { createHost } from "./agent-fixture.ts";
import { startAgentServer, type AgentServer, type AgentServerOptions } from "./agent-server.ts";
import { headersOf, shortSync } from "./sync-builder.ts";

const servers: AgentServer[] = [];
const sockets: Socket[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) await server.stop();
});

/** Node looks for slow senders once a second. */
const slackMs = 1_500;

async function serve(options: Partial<AgentServerOptions> = {}) {
  const host = await createHost();
  const server = await startAgentServer(
    { core: host.core, log: silentLogger },
    {
      listen: { host: "127.0.0.1", port: 0 },
      requestTimeoutMs: 400,
      headersTimeoutMs: 300,
      ...options,
    },
  );
  servers.push(server);
  return Number(new URL(server.url).port);
}

interface Stranger {
  readonly socket: Socket;
  /** What came back and how long it lasted. */
  readonly ended: Promise<{ readonly text: string; readonly afterMs: number }>;
}

function open(port: number, start: (socket: Socket) => void = () => {}): Stranger {
  const startMs = systemClock.monotonicMs();
  const socket = connect(port, "127.0.0.1");
  sockets.push(socket);
  let text = "";
  socket.setEncoding("latin1");
  socket.on("data", (chunk: string) => {
    text += chunk;
  });
  socket.on("error", () => {});
  socket.once("connect", () => start(socket));
  const ended = new Promise<{ text: string; afterMs: number }>((resolve) => {
    socket.once("close", () => resolve({ text, afterMs: systemClock.monotonicMs() - startMs }));
  });
  return { socket, ended };
}

/** One byte every 20 ms, for ever. */
function dribble(text: string): (socket: Socket) => void {
  return (socket) => {
    let sent = 0;
    const next = (): void => {
      if (socket.destroyed) return;
      socket.write(text[sent++ % text.length] ?? "x");
      systemClock.after(20, next);
    };
    next();
  };
}

const body = JSON.stringify(shortSync("1.1.1", {}).body);
const syncText = (connection: string, length = body.length) =>
  [
    `POST ${syncPath} HTTP/1.1`,
    ...Object.entries({ host: "x", connection, ...headersOf() }).map((pair) => pair.join(": ")),
    `content-length: ${length}`,
    "",
    "",
  ].join("\r\n");

/** A node's sync; its status line, or nothing where it was not let in. */
async function sync(port: number): Promise<string> {
  const { text } = await open(port, (socket) => socket.write(syncText("close") + body)).ended;
  return text.slice(0, "HTTP/1.1 200".length);
}

describe("strangers", () => {
  test("that dribble headers or a body are cut off in time, however steadily they send", async () => {
    const port = await serve();
    const headers = `GET /healthz HTTP/1.1\r\n${"x-a: b\r\n".repeat(1_000)}`;
    const slow = [
      open(port, dribble(headers)),
      open(port, (socket) => {
        socket.write(syncText("close", 10_000));
        dribble("x")(socket);
      }),
      open(port),
    ];
    expect(await sync(port)).toBe("HTTP/1.1 200");
    for (const { ended } of slow) {
      const { text, afterMs } = await ended;
      expect(text).toMatch(/^(?:HTTP\/1\.1 408 |$)/);
      expect(afterMs).toBeLessThan(400 + slackMs);
    }
  });

  test("that fill all connections keep a node out no longer than the time for headers", async () => {
    const port = await serve({ connectionsMax: 8 });
    const idle = Array.from({ length: 8 }, () => open(port));
    for (const { socket } of idle) {
      if (socket.connecting) await new Promise((resolve) => socket.once("connect", resolve));
    }
    expect(await sync(port)).toBe("");
    for (const { ended } of idle) expect((await ended).afterMs).toBeLessThan(300 + slackMs);
    expect(await sync(port)).toBe("HTTP/1.1 200");
  });

  test("that were refused, or only looked, keep no connection", async () => {
    const port = await serve();
    const wrongHost = syncText("keep-alive").replace("coxswain-host: h1", "coxswain-host: h2");
    for (const text of ["GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n", wrongHost + body]) {
      const reply = await open(port, (socket) => socket.write(text)).ended;
      expect(reply.text).toMatch(/^HTTP\/1\.1 (?:200|421) /);
      expect(reply.afterMs).toBeLessThan(1_000);
    }
    const node = open(port, (socket) => socket.write(syncText("keep-alive") + body));
    const first = await Promise.race([node.ended, systemClock.sleep(200)]);
    expect(first).toBeUndefined();
  });

  test("that vanish in the middle of a body leave nothing behind", async () => {
    const port = await serve({ syncsMax: 2, connectionsMax: 4 });
    for (let round = 0; round < 12; round++) {
      const { socket, ended } = open(port, (opened) => {
        opened.write(syncText("close", 1_000) + body);
        systemClock.after(5, () => opened.resetAndDestroy());
      });
      await ended;
      expect(socket.destroyed).toBe(true);
    }
    await expect.poll(() => sync(port)).toBe("HTTP/1.1 200");
  });

  test("that pipeline nonsense behind a sync are answered 400 and closed", async () => {
    const port = await serve();
    const text = `${syncText("keep-alive")}${body}\0\x16\x03\x01nonsense\r\n\r\n`;
    const reply = await open(port, (socket) => socket.write(text, "latin1")).ended;
    expect(reply.text).toMatch(/^HTTP\/1\.1 400 /m);
    expect(await sync(port)).toBe("HTTP/1.1 200");
  });

  test("that pipeline thousands of requests get one answer and hold nobody up", async () => {
    const port = await serve({ requestTimeoutMs: 5_000, headersTimeoutMs: 5_000 });
    const flood = `GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n`.repeat(2_000);
    const { ended } = open(port, (socket) => socket.write(flood));
    expect(await sync(port)).toBe("HTTP/1.1 200");
    // The first refusal closes the connection.
    expect((await ended).text.match(/HTTP\/1\.1 404/g)).toHaveLength(1);
  });
});
