import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../kernel/clock.ts";
import { silentLogger } from "../kernel/log.ts";
import { ManualClock } from "../kernel/manual-clock.ts";
import { createRandom } from "../kernel/random.ts";
import { createHost } from "./agent-fixture.ts";
import { startAgentServer, type AgentServer } from "./agent-server.ts";
import { createAttachClient } from "./attach-client.ts";
import { ReverseDriver } from "./reverse-driver.ts";
import { fullSync } from "./sync-builder.ts";

let server: AgentServer;
let core: Awaited<ReturnType<typeof createHost>>["core"];
let stopping: AbortController;
let running: Promise<void>;
const nodes: FakeNode[] = [];

/** A node's listener: answers attaches as told, and says things over the connections it took. */
class FakeNode {
  readonly asks: IncomingMessage[] = [];
  readonly links: Duplex[] = [];
  readonly heard: string[] = [];
  answer: () => string = () => "";
  pingMs = 30_000;
  readonly #server = createServer();

  static async start(): Promise<FakeNode> {
    const node = new FakeNode();
    nodes.push(node);
    node.#server.on("upgrade", (request, socket) => node.#onAttach(request, socket));
    await new Promise<void>((resolve) => {
      node.#server.listen(0, "127.0.0.1", resolve);
    });
    return node;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  say(path: string, body = "", link = this.links.at(-1)): void {
    link?.write(
      `POST ${path} HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\n` +
        `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
  }

  sync(): void {
    const { headers, body } = fullSync("1.1.1", { "app.conf": "text" });
    const text = JSON.stringify(body);
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    this.links
      .at(-1)
      ?.write(
        `POST /coxswain/v1/sync HTTP/1.1\r\nhost: h\r\n${lines.join("")}` +
          `content-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
      );
  }

  async stop(): Promise<void> {
    for (const link of this.links) link.destroy();
    this.#server.closeAllConnections();
    await new Promise((resolve) => {
      this.#server.close(resolve);
    });
  }

  #onAttach(request: IncomingMessage, socket: Duplex): void {
    this.asks.push(request);
    socket.on("error", () => {});
    const refusal = this.answer();
    if (refusal !== "") {
      socket.end(`HTTP/1.1 ${refusal}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`);
      return;
    }
    this.links.push(socket);
    socket.on("data", (bytes: Buffer) => this.heard.push(bytes.toString()));
    socket.write(
      "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: coxswain-reverse\r\n" +
        `coxswain-ping-ms: ${this.pingMs}\r\n\r\n`,
    );
  }
}

beforeEach(async () => {
  stopping = new AbortController();
  running = Promise.resolve();
  ({ core } = await createHost());
  server = await startAgentServer({ core, log: silentLogger }, { listen: undefined });
});

afterEach(async () => {
  stopping.abort(new Error("the test is over"));
  await running;
  await server.stop();
  await Promise.all(nodes.splice(0).map((node) => node.stop()));
});

function drive(urls: readonly string[], isDirect = false): ReverseDriver {
  const random = createRandom("reverse");
  const attach = createAttachClient({
    clock: systemClock,
    cluster: "c1",
    host: "h1",
    key: Buffer.alloc(32, 3),
    tls: undefined,
  });
  const driver = new ReverseDriver(
    { clock: systemClock, random, log: silentLogger, core, server, attach },
    { nodes: urls, isDirect },
  );
  // Ends with the abort's reason.
  running = driver.run(stopping.signal).catch(() => {});
  return driver;
}

/** By the host's end, or by a reset where it had not read all that it was sent. */
function isClosed(link: Duplex | undefined): boolean {
  return link !== undefined && (link.readableEnded || link.destroyed);
}

async function until(what: string, check: () => boolean, withinMs = 5_000): Promise<void> {
  const endMs = systemClock.monotonicMs() + withinMs;
  while (!check()) {
    if (systemClock.monotonicMs() > endMs) throw new Error(`not within ${withinMs} ms: ${what}`);
    await systemClock.sleep(5);
  }
}

describe("a host that attaches", () => {
  it("says who it is, proves it, and is synced over the connection", async () => {
    const node = await FakeNode.start();
    const driver = drive([node.url]);
    expect(driver.workedAtMs()).toBeUndefined();
    await until("attached", () => node.links.length === 1);
    expect(node.asks[0]?.headers).toMatchObject({
      "coxswain-cluster": "c1",
      "coxswain-host": "h1",
      "coxswain-boot": core.held().boot,
      authorization: expect.stringMatching(/^Coxswain [\w-]{43}$/),
    });
    expect(node.asks[0]?.headers["coxswain-direct"]).toBeUndefined();
    node.sync();
    await until("the reply", () => node.heard.join("").includes('"result":"applied"'));
    expect(core.lastSyncAtMs("reverse")).toBeDefined();
    expect(driver.workedAtMs()).toBeGreaterThan(0);
  });

  it("answers pings, and takes one as proof that the mode works", async () => {
    const node = await FakeNode.start();
    const driver = drive([node.url]);
    await until("attached", () => node.links.length === 1);
    node.say("/coxswain/v1/ping");
    await until("the answer", () => node.heard.join("").startsWith("HTTP/1.1 204"));
    expect(driver.workedAtMs()).toBeDefined();
  });

  it("attaches again when the connection breaks, elsewhere where it can", async () => {
    const [first, second] = [await FakeNode.start(), await FakeNode.start()];
    drive([first.url, second.url]);
    const links = () => first.links.length + second.links.length;
    await until("attached", () => links() === 1);
    const [held, other] = first.links.length === 1 ? [first, second] : [second, first];
    held.links[0]?.destroy();
    await until("attached elsewhere", () => other.links.length === 1);
    expect(held.links).toHaveLength(1);
  });

  it("goes on to the next node when one is busy, and leaves that one alone", async () => {
    const [busy, free] = [await FakeNode.start(), await FakeNode.start()];
    busy.answer = () => "503 Service Unavailable\r\nretry-after: 60";
    drive([busy.url, free.url]);
    await until("attached", () => free.links.length === 1);
    free.links[0]?.destroy();
    await until("attached again", () => free.links.length === 2);
    expect(busy.asks.length).toBeLessThanOrEqual(1);
  });

  it("waits as long as the only node says", async () => {
    const node = await FakeNode.start();
    node.answer = () => (node.asks.length === 1 ? "503 Busy\r\nretry-after: 1" : "");
    drive([node.url]);
    await until("refused", () => node.asks.length === 1);
    const refusedMs = systemClock.monotonicMs();
    await until("attached", () => node.links.length === 1);
    expect(systemClock.monotonicMs() - refusedMs).toBeGreaterThanOrEqual(990);
  });

  it.each(["401 Unauthorized", "404 Not Found", "500 Oops"])(
    "tries again after %s",
    async (status) => {
      const node = await FakeNode.start();
      node.answer = () => (node.asks.length === 1 ? status : "");
      drive([node.url]);
      await until("attached", () => node.links.length === 1);
      expect(node.asks).toHaveLength(2);
    },
  );
});

describe("nodes of which one is dead and the others are busy", () => {
  const freeMs = 20_000;
  const busy = { kind: "busy", retryAfterMs: 5_000 } as const;

  /** When a host attaches, and how often it asked the dead node; all on virtual time. */
  async function attachTime(seed: number): Promise<{ atMs: number; deadAsks: number }> {
    const clock = new ManualClock();
    const ending = new AbortController();
    let deadAsks = 0;
    let atMs = Number.NaN;
    const driver = new ReverseDriver(
      {
        clock,
        random: createRandom(`nodes ${seed}`),
        log: silentLogger,
        core,
        server,
        attach: async (node) => {
          if (node === "http://dead") {
            deadAsks++;
            return { kind: "unreachable", message: "refused" };
          }
          if (clock.monotonicMs() < freeMs) return busy;
          atMs = clock.monotonicMs();
          ending.abort(new Error("attached"));
          return busy;
        },
      },
      { nodes: ["http://dead", "http://a", "http://b"], isDirect: false },
    );
    const ended = driver.run(ending.signal).catch(() => {});
    while (Number.isNaN(atMs) && clock.monotonicMs() < 4 * freeMs) await clock.advance(100);
    ending.abort(new Error("the test is over"));
    await ended;
    return { atMs, deadAsks };
  }

  it("take the host as soon as the time is over that they asked for", async () => {
    for (let seed = 0; seed < 30; seed++) {
      const { atMs, deadAsks } = await attachTime(seed);
      expect(atMs).toBeGreaterThanOrEqual(freeMs);
      // The seconds that the node gave, a random second, and the pause between two nodes.
      expect(atMs).toBeLessThanOrEqual(freeMs + 6_300);
      expect(deadAsks).toBeLessThan(25);
    }
  });
});

describe("a host that is pointed to its owner", () => {
  it("follows once, and does not ask to be pointed on", async () => {
    const [first, owner] = [await FakeNode.start(), await FakeNode.start()];
    first.answer = () => `307 Temporary Redirect\r\nlocation: ${owner.url}/coxswain/v1/attach`;
    drive([first.url], true);
    await until("attached", () => owner.links.length === 1);
    expect(first.asks[0]?.headers["coxswain-direct"]).toBe("1");
    expect(owner.asks[0]?.headers["coxswain-direct"]).toBeUndefined();
  });

  it("comes back to the first where the owner does not take it", async () => {
    const [first, owner] = [await FakeNode.start(), await FakeNode.start()];
    const location = `${owner.url}/coxswain/v1/attach`;
    first.answer = () =>
      first.asks.at(-1)?.headers["coxswain-direct"] === "1"
        ? `307 Temporary Redirect\r\nlocation: ${location}`
        : "";
    owner.answer = () => "503 Busy\r\nretry-after: 5";
    drive([first.url], true);
    await until("attached", () => first.links.length === 1);
    expect(owner.asks).toHaveLength(1);
  });

  it("does not follow to something that is no address", async () => {
    const first = await FakeNode.start();
    first.answer = () =>
      first.asks.length === 1 ? "307 Temporary Redirect\r\nlocation: ftp://x/" : "";
    drive([first.url], true);
    await until("attached", () => first.links.length === 1);
    expect(first.asks.map(({ headers }) => headers["coxswain-direct"])).toEqual(["1", undefined]);
  });
});

describe("an end", () => {
  it("makes the new connection before it gives the old one up, when a node asks it to move", async () => {
    const [first, second] = [await FakeNode.start(), await FakeNode.start()];
    drive([first.url, second.url]);
    const links = () => first.links.length + second.links.length;
    await until("attached", () => links() === 1);
    const [old, next] = first.links.length === 1 ? [first, second] : [second, first];
    let wasOpen = false;
    const answer = next.answer;
    next.answer = () => {
      wasOpen = !isClosed(old.links[0]);
      return answer();
    };
    old.say("/coxswain/v1/detach", '{"withinMs":10,"reason":"drain"}');
    await until("attached elsewhere", () => next.links.length === 1);
    expect(wasOpen).toBe(true);
    await until("the old one is closed", () => isClosed(old.links[0]));
    expect(old.heard.join("")).toContain("HTTP/1.1 204");
  });

  it("answers what is sent over the old one before the nodes have heard of the new one", async () => {
    const [first, second] = [await FakeNode.start(), await FakeNode.start()];
    drive([first.url, second.url]);
    const links = () => first.links.length + second.links.length;
    await until("attached", () => links() === 1);
    const [old, next] = first.links.length === 1 ? [first, second] : [second, first];
    old.say("/coxswain/v1/detach", '{"withinMs":10,"reason":"drain"}');
    await until("attached elsewhere", () => next.links.length === 1);
    await systemClock.sleep(300);
    old.sync();
    await until("the sync's answer", () => old.heard.join("").includes("HTTP/1.1 200"));
    expect(isClosed(old.links[0])).toBe(false);
    stopping.abort(new Error("another mode"));
    await until("closed at once", () => isClosed(old.links[0]), 500);
  });

  it("refuses a detach that it does not understand, and stays", async () => {
    const node = await FakeNode.start();
    drive([node.url]);
    await until("attached", () => node.links.length === 1);
    node.say("/coxswain/v1/detach", '{"withinMs":-1}');
    await until("the answer", () => node.heard.join("").startsWith("HTTP/1.1 400"));
    await systemClock.sleep(50);
    expect(node.asks).toHaveLength(1);
  });

  it("gives up a node that has been silent for three of its intervals", async () => {
    const node = await FakeNode.start();
    node.pingMs = 100;
    drive([node.url]);
    await until("attached", () => node.links.length === 1);
    const attachedMs = systemClock.monotonicMs();
    await until("closed", () => isClosed(node.links[0]));
    expect(systemClock.monotonicMs() - attachedMs).toBeGreaterThan(250);
    await until("attached anew", () => node.links.length === 2);
  });

  it("leaves no connection open when the mode is left", async () => {
    const node = await FakeNode.start();
    drive([node.url]);
    await until("attached", () => node.links.length === 1);
    stopping.abort(new Error("another mode"));
    await running;
    await until("closed", () => isClosed(node.links[0]));
    expect(node.asks).toHaveLength(1);
  });

  it("leaves none open when the mode is left while the node answers", async () => {
    const node = await FakeNode.start();
    node.answer = () => {
      // The answer is under way when this runs.
      setImmediate(() => stopping.abort(new Error("another mode")));
      return "";
    };
    drive([node.url]);
    await until("attached", () => node.links.length === 1);
    await until("closed", () => isClosed(node.links[0]));
    await running;
    expect(node.asks).toHaveLength(1);
  });
});
