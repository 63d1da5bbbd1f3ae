import { describe, expect, it } from "vitest";
import { parseHostInput } from "../inventory/host.ts";
import { CoxswainError } from "../kernel/errors.ts";
import { createMetrics } from "../kernel/metrics.ts";
import { Knocks } from "./knocks.ts";
import { SliceFixture } from "./node-fixture.ts";
import { createHttpPeers, type Peers } from "./peers.ts";
import { ownedBy } from "./slice-fixture.ts";

const slots = ["a", "b"];
const [own = ""] = ownedBy("a", slots);
const [foreign = ""] = ownedBy("b", slots);

/** Node `a` of two, with one host of each that knocks and one of its own that does not. */
async function setUp(call?: () => Promise<never>) {
  const fixture = new SliceFixture();
  const [, plain = ""] = ownedBy("a", slots);
  for (const id of [own, foreign]) {
    const address = `http://${id}:9000`;
    await fixture.hosts.put(parseHostInput({ id, address, mode: ["knock"] }));
  }
  await fixture.put(plain);
  await fixture.slice.refreshFleet();
  await fixture.adopt(1, ...slots);
  fixture.pusher.calls.length = 0;
  const sent: unknown[] = [];
  const metrics = createMetrics();
  const http = createHttpPeers("c1");
  const peers: Peers = {
    ...http,
    async call(fleetUrl, _name, ask) {
      sent.push({ fleetUrl, ask });
      return (await call?.()) ?? {};
    },
  };
  const knocks = new Knocks({
    clock: fixture.clock,
    metrics,
    slot: "a",
    slice: () => fixture.slice,
    pusher: () => fixture.pusher,
    peers,
    partitionOf: (id) => fixture.partitionOf(id),
  });
  const counted = async () => {
    const { values } = await metrics.knocksTotal.get();
    return Object.fromEntries(values.map(({ labels, value }) => [labels["outcome"], value]));
  };
  await http.close();
  return { fixture, knocks, sent, counted, plain };
}

describe("a knock", () => {
  it("of an own host wakes it once, however often it is sent", async () => {
    const { fixture, knocks, counted, sent } = await setUp();
    const knock = { host: own, counter: 7n };
    knocks.received([knock, knock]);
    knocks.received([{ host: own, counter: 6n }]);
    expect(fixture.pusher.calls).toEqual([`wake ${own}`]);
    expect(await counted()).toEqual({ woken: 1, replayed: 2 });
    expect(sent).toEqual([]);
  });

  it("of a host that is unknown, or whose record has no such mode, wakes nobody", async () => {
    const { fixture, knocks, counted, plain } = await setUp();
    knocks.received([{ host: plain, counter: 1n }]);
    knocks.passed([{ host: foreign, counter: "1" }]);
    expect(fixture.pusher.calls).toEqual([]);
    expect(await counted()).toEqual({ unknownHost: 2 });
  });

  it("of another node's host is passed on to it, the newest of each host in one call", async () => {
    const { fixture, knocks, counted, sent } = await setUp();
    knocks.received([
      { host: foreign, counter: 1n },
      { host: foreign, counter: 2n ** 63n },
    ]);
    await fixture.clock.advance(10);
    expect(fixture.pusher.calls).toEqual([]);
    expect(sent).toEqual([
      {
        fleetUrl: "http://b:7401",
        ask: { knocks: [{ host: foreign, counter: "9223372036854775808" }] },
      },
    ]);
    expect(await counted()).toEqual({ passedOn: 1 });
  });

  it("that the owner does not take is lost and counted, and later ones are tried again", async () => {
    const { fixture, knocks, counted, sent } = await setUp(() =>
      Promise.reject(new CoxswainError("MEMBER_UNREACHABLE", "gone")),
    );
    knocks.received([{ host: foreign, counter: 1n }]);
    await fixture.clock.advance(10);
    knocks.received([{ host: foreign, counter: 2n }]);
    await fixture.clock.advance(10);
    expect(sent).toHaveLength(2);
    expect(await counted()).toEqual({ lost: 2 });
  });

  it("that a peer passed on wakes an own host", async () => {
    const { fixture, knocks } = await setUp();
    knocks.passed([{ host: own, counter: "12" }]);
    expect(fixture.pusher.calls).toEqual([`wake ${own}`]);
  });
});
