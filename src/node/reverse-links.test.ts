import { duplexPair, type Duplex } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseHostId } from "../inventory/host.ts";
import { ManualClock } from "../kernel/manual-clock.ts";
import { createRandom } from "../kernel/random.ts";
import type { ExchangeResult } from "../push/transport.ts";
import { ReverseLinks } from "./reverse-links.ts";

const pingIntervalMs = 30_000;
const linkAgeMs = 3_600_000;
const h1 = parseHostId("h1");
const request = {
  path: "/coxswain/v1/sync",
  headers: {},
  body: Buffer.from("{}"),
  deadlineMs: 5_000,
};

let clock: ManualClock;
let links: ReverseLinks;
/** `host reason`, in order. */
let ended: string[];

beforeEach(() => {
  clock = new ManualClock();
  ended = [];
  links = new ReverseLinks(
    {
      clock,
      random: createRandom("links"),
      onClosed: ({ host }, reason) => ended.push(`${host} ${reason}`),
      lossSpreadMs: () => 700,
    },
    { pingIntervalMs, linkAgeMs },
  );
});

afterEach(async () => {
  links.stop();
  await clock.advance(100);
  if (clock.timerCount > 0) throw new Error("a timer is left");
});

/** The host's end of a connection: notes requests, answers those that `reply` has an answer for. */
class FakeHost {
  readonly requests: string[] = [];
  readonly bodies: string[] = [];
  readonly texts: string[] = [];
  isClosed = false;
  reply: (path: string) => string | undefined = () => "204 No Content";
  readonly #duplex: Duplex;

  constructor(id = "h1") {
    const [near, far] = duplexPair();
    this.#duplex = far;
    far.on("data", (bytes: Buffer) => this.#onRequests(bytes.toString()));
    far.on("close", () => (this.isClosed = true));
    near.on("close", () => (this.isClosed = true));
    links.attach(parseHostId(id), 1, near);
  }

  answer(status = "204 No Content"): void {
    if (!this.#duplex.destroyed)
      this.#duplex.write(`HTTP/1.1 ${status}\r\ncontent-length: 0\r\n\r\n`);
  }

  close(): void {
    this.#duplex.destroy();
  }

  #onRequests(text: string): void {
    this.texts.push(text);
    for (const [, path = ""] of text.matchAll(/POST (\S+) HTTP/g)) {
      this.requests.push(path.replace("/coxswain/v1/", ""));
      const reply = this.reply(path);
      // Later, as over a network: the near end has written its request whole by then.
      if (reply !== undefined) setImmediate(() => this.answer(reply));
    }
    const body = text.split("\r\n\r\n").at(-1) ?? "";
    if (body !== "") this.bodies.push(body);
  }
}

function exchange(deadlineMs = 5_000): Promise<ExchangeResult> {
  const result = links.exchange(h1, { ...request, deadlineMs });
  if (result === undefined) throw new Error("no connection");
  return result;
}

/** As when the owner hears of a newer connection elsewhere. */
function giveUp(): void {
  const link = links.get(h1);
  if (link === undefined) throw new Error("no connection");
  links.giveUp(link);
}

async function textOf(result: Promise<ExchangeResult>): Promise<string> {
  const ending = await result;
  if (ending.kind === "reply") return String(ending.status);
  return ending.kind === "failed" ? `${ending.failure} ${ending.sent ? "sent" : "unsent"}` : "";
}

describe("exchanges over a host's connection", () => {
  it("has none for a host that is not connected", () => {
    expect(links.exchange(h1, request)).toBeUndefined();
  });

  it("sends one at a time, in order", async () => {
    const host = new FakeHost();
    host.reply = () => undefined;
    const results = [exchange(), exchange()].map(textOf);
    await clock.advance(0);
    expect(host.requests).toEqual(["sync"]);
    host.answer("200 OK");
    await clock.advance(0);
    expect(host.requests).toEqual(["sync", "sync"]);
    host.answer("409 Conflict");
    expect(await Promise.all(results)).toEqual(["200", "409"]);
  });

  it("answers the caller at the deadline and keeps the connection for a host that is slow", async () => {
    const host = new FakeHost();
    host.reply = () => undefined;
    const slow = textOf(exchange(1_000));
    await clock.advance(1_100);
    expect(await slow).toBe("ambiguous sent");
    const next = textOf(exchange());
    await clock.advance(0);
    expect(host.requests).toEqual(["sync"]);
    host.answer("200 OK");
    await clock.advance(0);
    host.answer("204 No Content");
    expect(await next).toBe("204");
    expect(ended).toEqual([]);
  });

  it("says of one that was never sent that it was not", async () => {
    const host = new FakeHost();
    host.reply = () => undefined;
    const results = [exchange(10_000), exchange(500)].map(textOf);
    await clock.advance(600);
    expect(await results[1]).toBe("ambiguous unsent");
    host.close();
    await clock.advance(0);
    expect(await results[0]).toBe("ambiguous sent");
  });

  it("lets no more than a few wait", async () => {
    const host = new FakeHost();
    host.reply = () => undefined;
    const results = Array.from({ length: 6 }, () => textOf(exchange(1_000)));
    await clock.advance(0);
    expect(await results[5]).toBe("local unsent");
    await clock.advance(1_100);
    await Promise.all(results);
    host.close();
  });

  it("ends all of them when the host goes, those that wait as detached", async () => {
    const host = new FakeHost();
    host.reply = () => undefined;
    const results = [exchange(), exchange()].map(textOf);
    await clock.advance(0);
    host.close();
    await clock.advance(0);
    expect(await Promise.all(results)).toEqual(["ambiguous sent", "detached unsent"]);
    expect(ended).toEqual(["h1 hostClosed"]);
    expect(links.linkCount).toBe(0);
  });

  it("closes a connection on which something comes unasked", async () => {
    const host = new FakeHost();
    host.answer("200 OK");
    await clock.advance(0);
    expect(ended).toEqual(["h1 hostClosed"]);
  });
});

describe("one connection a host", () => {
  it("counts the newest, and closes the one before", async () => {
    const old = new FakeHost();
    const fresh = new FakeHost();
    await clock.advance(0);
    expect(old.isClosed).toBe(true);
    expect(links.linkCount).toBe(1);
    expect(ended).toEqual(["h1 replaced"]);
    expect(await textOf(exchange())).toBe("204");
    expect(fresh.requests).toEqual(["sync"]);
  });

  it("lets what is under way end where the host was asked to move, and moves what waits", async () => {
    const old = new FakeHost();
    await clock.advance(2_000);
    const draining = links.drain(10_000, 100);
    await clock.advance(100);
    expect(old.requests.at(-1)).toBe("detach");
    old.reply = () => undefined;
    const results = [exchange(), exchange()].map(textOf);
    await clock.advance(0);
    const fresh = new FakeHost();
    fresh.reply = () => undefined;
    await clock.advance(0);
    expect(old.isClosed).toBe(false);
    old.answer("200 OK");
    fresh.answer("202 Accepted");
    await clock.advance(0);
    expect(await Promise.all(results)).toEqual(["200", "202"]);
    expect(old.isClosed).toBe(true);
    fresh.close();
    await clock.advance(200);
    await draining;
  });
});

describe("a host that has gone to another node", () => {
  it("is cut off where it was not asked to, or nothing is under way", async () => {
    const unasked = new FakeHost();
    unasked.reply = () => undefined;
    const cut = textOf(exchange());
    await clock.advance(0);
    giveUp();
    expect(await cut).toBe("ambiguous sent");
    const idle = new FakeHost();
    await clock.advance(2_000);
    links.moveSome(1, "age");
    await clock.advance(100);
    giveUp();
    expect(ended).toEqual(["h1 replaced", "h1 moved"]);
    await clock.advance(0);
    expect([unasked.isClosed, idle.isClosed]).toEqual([true, true]);
  });

  it("ends what is under way where it was asked to move; what waits is not sent, nor is more", async () => {
    const host = new FakeHost();
    await clock.advance(2_000);
    const draining = links.drain(10_000, 100);
    await clock.advance(100);
    host.reply = () => undefined;
    const [sent, waiting] = [exchange(), exchange()].map(textOf);
    await clock.advance(0);
    giveUp();
    expect(await waiting).toBe("detached unsent");
    expect(links.linkCount).toBe(0);
    let isDrained = false;
    void draining.then(() => (isDrained = true));
    await clock.advance(500);
    expect(isDrained).toBe(false);
    host.answer("200 OK");
    await clock.advance(100);
    expect(await sent).toBe("200");
    expect(host.isClosed).toBe(true);
    expect(isDrained).toBe(true);
  });
});

describe("the state of connections", () => {
  it("pings a new connection soon, an idle one within each interval, and a busy one not at all", async () => {
    const host = new FakeHost();
    await clock.advance(3_500);
    expect(host.requests).toEqual(["ping"]);
    expect(host.texts[0]).toContain("\r\ncoxswain-loss-spread-ms: 700\r\n");
    for (let turn = 0; turn < 8; turn++) {
      await clock.advance(10_000);
      await textOf(exchange());
    }
    expect(host.requests.filter((path) => path === "ping")).toHaveLength(1);
    await clock.advance(pingIntervalMs);
    expect(host.requests.filter((path) => path === "ping")).toHaveLength(2);
  });

  it("closes one that has answered nothing for two intervals, not sooner", async () => {
    const host = new FakeHost();
    host.reply = () => undefined;
    await clock.advance(2 * pingIntervalMs - 1_000);
    expect(ended).toEqual([]);
    await clock.advance(5_000);
    expect(ended).toEqual(["h1 silent"]);
    expect(host.isClosed).toBe(true);
  });

  it("asks old ones to attach anew, spread, and closes those that do not", async () => {
    const hosts = Array.from({ length: 40 }, (_, index) => new FakeHost(`h${index}`));
    await clock.advance(0.75 * linkAgeMs - 1_000);
    const asked = () => hosts.filter(({ requests }) => requests.includes("detach")).length;
    expect(asked()).toBe(0);
    await clock.advance(0.25 * linkAgeMs);
    expect(asked()).toBeGreaterThan(5);
    expect(asked()).toBeLessThan(35);
    await clock.advance(0.25 * linkAgeMs + 20_000);
    expect(ended.filter((line) => line.endsWith("moved"))).toHaveLength(40);
    expect(links.linkCount).toBe(0);
  });

  it("drains at a bounded rate and waits until all have gone", async () => {
    const hosts = Array.from({ length: 100 }, (_, index) => new FakeHost(`h${index}`));
    await clock.advance(0);
    let isDone = false;
    const draining = links.drain(60_000, 20).then(() => (isDone = true));
    await clock.advance(1_000);
    const asked = () => hosts.filter(({ requests }) => requests.includes("detach"));
    expect(asked().length).toBeGreaterThanOrEqual(19);
    expect(asked().length).toBeLessThanOrEqual(22);
    expect(JSON.parse(asked()[0]?.bodies.at(-1) ?? "")).toMatchObject({ reason: "drain" });
    await clock.advance(5_000);
    expect(asked()).toHaveLength(100);
    expect(isDone).toBe(false);
    for (const host of hosts) host.close();
    await clock.advance(200);
    await draining;
    expect(isDone).toBe(true);
  });

  it("gives a drain up when its time is over", async () => {
    const host = new FakeHost();
    host.reply = () => undefined;
    const draining = links.drain(2_000, 1);
    await clock.advance(2_100);
    await draining;
    expect(links.linkCount).toBe(1);
    expect(host.isClosed).toBe(false);
  });

  it("closes all when it stops, and takes no more", async () => {
    const hosts = [new FakeHost("h1"), new FakeHost("h2")];
    links.stop();
    const late = new FakeHost("h3");
    await clock.advance(0);
    expect([...hosts, late].map(({ isClosed }) => isClosed)).toEqual([true, true, true]);
    expect(links.linkCount).toBe(0);
  });
});
