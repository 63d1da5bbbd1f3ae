import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ExchangeRequest } from "../push/transport.ts";
import { provenLinks, provenRelay } from "./link-calls.ts";
import { noAnswer, Pair, secret } from "./reverse-hosts-fixture.ts";

let pair: Pair;

beforeEach(async () => {
  pair = new Pair();
  await pair.load();
});

afterEach(() => {
  for (const node of pair.nodes.values()) node.stop();
});

const ask = (host: string, isDirect = false, isProven = true) => ({
  host,
  isDirect,
  isProven: () => isProven,
});

function requestOf(id: string): { request: ExchangeRequest; id: string } {
  const request: ExchangeRequest = {
    origin: "",
    path: "/coxswain/v1/sync",
    headers: { "coxswain-host": id },
    body: Buffer.from("{}"),
    deadlineMs: 5_000,
  };
  return { request, id };
}

/** What the owner's push to the host gives. */
async function push(slot: string, id: string): Promise<string> {
  const { request } = requestOf(id);
  // The route's fence and manifest are for hosts that fetch.
  const route = { host: id, modes: ["reverse"] } as never;
  const exchange = pair.node(slot).exchange(request, route);
  if (exchange === undefined) return "no connection";
  let result: Awaited<typeof exchange> | undefined;
  void exchange.then((value) => (result = value));
  await pair.advance(200);
  if (result === undefined) return "pending";
  if (result.kind === "reply") return String(result.status);
  return result.kind === "failed" ? result.failure : result.kind;
}

describe("who may attach", () => {
  it("refuses without a proof, an unknown host, and one without the mode", async () => {
    const own = pair.hostOf("a");
    expect(pair.a.judge(ask(own, false, false)).kind).toBe("unproven");
    const unknown = Array.from({ length: 50 }, (_, index) => `x${index}`).find((id) =>
      pair.clockOf("a").slice.isServed(pair.clockOf("a").partitionOf(id)),
    );
    expect(pair.a.judge(ask(unknown ?? "")).kind).toBe("unknownHost");
    expect(pair.a.judge(ask(own)).kind).toBe("admitted");
    pair = new Pair();
    await pair.load(["dial"]);
    expect(pair.a.judge(ask(pair.hostOf("a"))).kind).toBe("unknownHost");
  });

  it("points a host that can go anywhere to its owner, and takes one that cannot", () => {
    const other = pair.hostOf("b");
    expect(pair.a.judge(ask(other, true))).toEqual({
      kind: "moved",
      location: "http://b:7401/coxswain/v1/attach",
    });
    expect(pair.a.judge(ask(other, false)).kind).toBe("admitted");
    expect(pair.a.judge(ask(pair.hostOf("a"), true)).kind).toBe("admitted");
  });

  it("points nobody to an owner that does not answer, until it has had time to come back", async () => {
    const other = pair.hostOf("b");
    pair.isCut = true;
    pair.attach("a", other);
    await pair.advance(1_000);
    expect(pair.a.judge(ask(other, true)).kind).toBe("admitted");
    await pair.advance(5_000);
    expect(pair.a.judge(ask(other, true)).kind).toBe("moved");
    // Told again, and not heard.
    pair.a.turn();
    await pair.advance(10);
    expect(pair.a.judge(ask(other, true)).kind).toBe("admitted");
    pair.isCut = false;
    pair.a.turn();
    await pair.advance(10);
    expect(pair.a.judge(ask(other, true)).kind).toBe("moved");
  });

  it("tells over how long to come again by the hosts to expect, not only those that are there", async () => {
    pair = new Pair(undefined, { attachesPerSecond: 2 });
    await pair.load();
    const own = Array.from({ length: 20 }, (_, index) => `h${index}`).filter((id) =>
      pair.clockOf("a").slice.isServed(pair.clockOf("a").partitionOf(id)),
    ).length;
    // Four fifths of two a second, at the one other node.
    expect(pair.a.lossSpreadMs()).toBe(own * 625);
    for (let index = 0; index < 20; index++) pair.attach("a", `h${index}`);
    expect(pair.a.lossSpreadMs()).toBe(20 * 625);
  });

  it("asks for no proof of anybody whom it sends away", () => {
    const id = pair.hostOf("a");
    for (let index = 0; index < 10; index++) pair.a.judge(ask(id));
    let isAsked = false;
    const verdict = pair.a.judge({ ...ask(id), isProven: () => (isAsked = true) });
    expect(verdict.kind).toBe("busy");
    expect(isAsked).toBe(false);
  });

  it("spends nothing on strangers", () => {
    const id = pair.hostOf("a");
    for (let index = 0; index < 50; index++) pair.a.judge(ask(id, false, false));
    expect(pair.a.judge(ask(id)).kind).toBe("admitted");
  });

  it("slows down a host that attaches again and again", async () => {
    const id = pair.hostOf("a");
    expect(pair.a.judge(ask(id)).kind).toBe("admitted");
    pair.attach("a", id);
    await pair.advance(100);
    expect(pair.a.judge(ask(id))).toEqual({ kind: "busy", retryAfterSeconds: 1 });
    await pair.advance(500);
    expect(pair.a.judge(ask(id)).kind).toBe("admitted");
  });

  it("takes nobody when it is full or leaving", async () => {
    for (let index = 0; index < 5; index++) pair.attach("a", `h${index}`);
    expect(pair.a.judge(ask("h7")).kind).toBe("busy");
    for (const far of pair.far) far.destroy();
    await pair.advance(100);
    expect(pair.a.judge(ask(pair.hostOf("a"))).kind).toBe("admitted");
    void pair.a.drain(1_000);
    expect(pair.a.judge(ask(pair.hostOf("a"))).kind).toBe("busy");
  });
});

describe("a node that is no member", () => {
  it("is sent nobody's syncs, and tells the owner of its connections until it is one", async () => {
    const id = pair.hostOf("a");
    await pair.read(2, ["a"]);
    pair.attach("b", id);
    await pair.advance(10);
    expect(await push("a", id)).toBe("no connection");
    pair.a.turn();
    await pair.read(3, ["a", "b"]);
    pair.node("b").turn();
    await pair.advance(10);
    expect(await push("a", id)).toBe("200");
  });

  it("lets nobody attach, and asks those who are there to move within seconds", async () => {
    const id = pair.hostOf("a");
    const heard: string[] = [];
    pair.attach("a", id).on("data", (bytes: Buffer) => heard.push(String(bytes)));
    await pair.read(2, ["b"]);
    expect(pair.a.judge(ask(pair.hostOf("b")))).toMatchObject({ kind: "busy" });
    for (let second = 0; second < 12; second++) {
      pair.a.turn();
      await pair.advance(1_000);
    }
    expect(heard.join("")).toContain("/coxswain/v1/detach");
  });
});

describe("how a host is reached", () => {
  it("goes over the owner's own connection, and wakes the host when it comes", async () => {
    const id = pair.hostOf("a");
    expect(await push("a", id)).toBe("no connection");
    pair.attach("a", id);
    await pair.advance(10);
    expect(pair.wakes("a")).toEqual([`wake ${id}`]);
    expect(await push("a", id)).toBe("200");
    expect(pair.calls).toEqual([]);
  });

  it("goes through the node that holds the connection, which told the owner", async () => {
    const id = pair.hostOf("a");
    pair.attach("b", id);
    await pair.advance(10);
    expect(pair.calls).toEqual(["links http://a:7401"]);
    expect(pair.wakes("a")).toEqual([`wake ${id}`]);
    expect(await push("a", id)).toBe("200");
    expect(pair.calls.at(-1)).toBe("relay http://b:7401");
  });

  it("hears of an end, and finds out by itself where nobody tells it", async () => {
    const id = pair.hostOf("a");
    pair.attach("b", id).destroy();
    await pair.advance(10);
    expect(await push("a", id)).toBe("no connection");
    const far = pair.attach("b", id);
    await pair.advance(10);
    pair.isCut = true;
    far.destroy();
    await pair.advance(10);
    pair.isCut = false;
    expect(await push("a", id)).toBe("detached");
    expect(await push("a", id)).toBe("no connection");
  });

  it("does not know what a holder that is silent has done", async () => {
    const id = pair.hostOf("a");
    pair.attach("b", id);
    await pair.advance(10);
    pair.isCut = true;
    expect(await push("a", id)).toBe("ambiguous");
  });

  it("tells again what was not heard, and nothing twice", async () => {
    const id = pair.hostOf("a");
    pair.isCut = true;
    pair.attach("b", id);
    await pair.advance(10);
    expect(pair.wakes("a")).toEqual([]);
    pair.isCut = false;
    pair.node("b").turn();
    await pair.advance(10);
    expect(pair.wakes("a")).toEqual([`wake ${id}`]);
    pair.node("b").turn();
    await pair.advance(10);
    expect(pair.calls).toHaveLength(2);
  });

  it("closes the connection of a host that its owner does not know", async () => {
    const unknown = Array.from({ length: 50 }, (_, index) => `x${index}`).find(
      (id) => pair.clockOf("a").slice.placement.ownerOf(pair.clockOf("a").partitionOf(id)) === "a",
    );
    const far = pair.attach("b", unknown ?? "");
    await pair.advance(10);
    expect(far.readableEnded || far.destroyed || pair.node("b").linkCount === 0).toBe(true);
    expect(pair.node("b").linkCount).toBe(0);
  });

  it("counts the newest connection, wherever it is", async () => {
    const id = pair.hostOf("a");
    pair.attach("a", id);
    await pair.advance(5_000);
    pair.attach("b", id, "202 Accepted");
    await pair.advance(10);
    expect(pair.a.linkCount).toBe(0);
    expect(await push("a", id)).toBe("202");
    await pair.advance(5_000);
    pair.attach("a", id, "201 Created");
    await pair.advance(10);
    expect(await push("a", id)).toBe("201");
  });

  it("lets a sync end over the connection of a host that was asked to move and did", async () => {
    const id = pair.hostOf("a");
    const old = pair.attach("a", id, noAnswer);
    pair.a.links.moveSome(1, "age");
    await pair.advance(10);
    const { request } = requestOf(id);
    const sync = pair.a.exchange(request, { host: id, modes: ["reverse"] } as never);
    const answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    old.write(answer);
    await pair.advance(10);
    pair.attach("b", id, "202 Accepted");
    await pair.advance(10);
    expect(await push("a", id)).toBe("202");
    old.write(answer);
    await pair.advance(10);
    expect(await sync).toMatchObject({ kind: "reply", status: 200 });
  });
});

describe("what a peer must prove", () => {
  it("believes nobody without the cluster's secret", async () => {
    const linked = [{ host: pair.hostOf("a"), number: 1, ageMs: 0 }];
    const forged = provenLinks(Buffer.alloc(32, 2), { slot: "b", linked, unlinked: [] });
    expect(() => pair.a.answerLinks(forged)).toThrow(
      expect.objectContaining({ code: "PEER_UNPROVEN" }),
    );
    const honest = provenLinks(secret, { slot: "b", linked, unlinked: [] });
    expect(() => pair.a.answerLinks({ ...honest, slot: "c" })).toThrow(/secret/);
    expect(pair.a.answerLinks(honest)).toEqual({ unknown: [], unserved: [] });
  });

  it("relays nothing that a node did not send, whatever was changed in it", async () => {
    const id = pair.hostOf("a");
    pair.attach("a", id);
    const relay = provenRelay(secret, { host: id, headers: {}, body: "e30=", deadlineMs: 100 });
    for (const changed of [
      { body: "e31=" },
      { host: "h2" },
      { headers: { "coxswain-fence": "9.9.9" } },
      { proof: "" },
    ]) {
      await expect(pair.a.answerRelay({ ...relay, ...changed })).rejects.toThrow(/secret/);
    }
    const answered = pair.a.answerRelay(relay);
    await pair.advance(50);
    expect(await answered).toMatchObject({ reply: { status: 200 } });
  });
});
