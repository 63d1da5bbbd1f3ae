import assert from "node:assert/strict";
import { afterEach, describe, expect, it } from "vitest";
import { digestOf } from "../protocol/digest.ts";
import { FakeHost, manyHosts, setUp, stopAll } from "./fake-fleet.ts";

afterEach(stopAll);

/** 100 pushes a second, and a store that takes a second for the contents of the first 50. */
function fiftyPushesWithoutContents() {
  const set = setUp({ pushesPerSecond: 100 });
  const hosts = manyHosts(set, 50);
  set.state.contentsMs = 1_000;
  const release = set.release("one");
  for (const host of hosts) set.push(host, release);
  return { set, hosts };
}

describe("a push", () => {
  it("brings a host to its manifest and says so once", async () => {
    const set = setUp();
    const host = set.host("h1");
    const release = set.release("one");
    set.push(host, release);
    await set.clock.advance(20);
    expect(host.manifest).toBe(release.digest);
    expect(set.pusher.counts().sync).toMatchObject({ applied: 1, neverSeen: 0 });
    expect(set.log).toEqual(["reach h1 unknown>ok", "status h1"]);
    expect(set.pusher.checkpoint(host.id)).toMatchObject({
      manifest: release.digest,
      fence: "1.1.1",
      reachability: "ok",
    });
    const [sum] = (await set.metric("convergence_seconds")).slice(-2);
    expect(sum?.value).toBeCloseTo(0.005);
  });

  it("sends contents only when asked where they are large", async () => {
    const set = setUp();
    const host = set.host("h1");
    set.push(host, set.release("x".repeat(100_000)));
    await set.clock.advance(50);
    expect(host.requests.map(({ contents }) => contents)).toEqual([0, 1]);
    expect(set.pusher.counts().sync.applied).toBe(1);
  });

  it("is made again with only the newest, where a change comes while it is in flight", async () => {
    const set = setUp();
    const host = set.host("h1");
    const last = set.release("three");
    set.push(host, set.release("one"));
    await set.clock.advance(2);
    set.push(host, set.release("two"));
    set.push(host, last);
    await set.clock.advance(50);
    expect(host.requests.map(({ fence }) => fence)).toEqual(["1.1.1", "1.3.1"]);
    expect(host.manifest).toBe(last.digest);
    expect(set.transport.mostPerHost).toBe(1);
  });

  it("is not made while the node may not push, and soon after it may again", async () => {
    const set = setUp();
    const host = set.host("h1");
    set.state.mayPush = false;
    set.push(host, set.release("one"));
    await set.clock.advance(10_000);
    expect(host.requests).toHaveLength(0);
    set.state.mayPush = true;
    await set.clock.advance(600);
    expect(host.requests).toHaveLength(1);
  });

  it("of a rollback goes before changes that wait", async () => {
    const set = setUp({ inFlightMax: 1, rollbackReserveRatio: 0 });
    const hosts = manyHosts(set, 5);
    const release = set.release("one");
    for (const host of hosts) set.push(host, release);
    const urgent = set.host("urgent");
    set.push(urgent, release, "rollback");
    await set.clock.advance(100);
    const order = [...hosts, urgent].toSorted(
      (left, right) => (left.requests[0]?.atMs ?? 0) - (right.requests[0]?.atMs ?? 0),
    );
    expect(order[0]).toBe(urgent);
  });

  it("that waited for contents keeps to the pace: a slow store makes no burst", async () => {
    const { set, hosts } = fiftyPushesWithoutContents();
    await set.clock.advance(1_000);
    const sent = () => hosts.filter(({ requests }) => requests.length > 0).length;
    await set.clock.advance(100);
    expect(sent()).toBeGreaterThan(0);
    // A tenth of a second at this pace, and a burst of 50 ms.
    expect(sent()).toBeLessThanOrEqual(15);
    await set.clock.advance(1_000);
    expect(sent()).toBe(50);
  });

  it("that waits for contents when the pusher stops is not sent", async () => {
    const set = setUp({ pushesPerSecond: 1 });
    const hosts = manyHosts(set, 3);
    set.state.contentsMs = 5_000;
    const release = set.release("one");
    for (const host of hosts) set.push(host, release);
    await set.clock.advance(4_500);
    const stopped = set.pusher.stop();
    await set.clock.advance(1_000);
    await stopped;
    expect(hosts.flatMap(({ requests }) => requests)).toEqual([]);
  });

  it("that waited for contents, or for the pace after, is not sent to a host that was let go of", async () => {
    const { set, hosts } = fiftyPushesWithoutContents();
    await set.clock.advance(500);
    const [early] = hosts;
    assert(early !== undefined);
    set.pusher.remove(early.id);
    await set.clock.advance(600);
    const late = hosts.filter(({ id }) => id !== early.id && !set.transport.underWay.has(id));
    expect(late.length).toBeGreaterThan(30);
    for (const { id } of late) set.pusher.remove(id);
    await set.clock.advance(100_000);
    expect([early, ...late].flatMap(({ requests }) => requests)).toEqual([]);
  });

  it("that waits for contents is not sent to the address that the host had before", async () => {
    const set = setUp();
    set.state.contentsMs = 1_000;
    const host = set.host("h1");
    const release = set.release("one");
    set.push(host, release);
    await set.clock.advance(500);
    const moved = new FakeHost(host.id);
    set.transport.hosts.set("http://new:1", moved);
    set.pusher.upsert(set.target(host, release, { address: "http://new:1" }), "change");
    await set.clock.advance(2_000);
    expect(host.requests).toEqual([]);
    expect(moved.manifest).toBe(release.digest);
  });

  it("that waits for contents while its host comes back is made once: a refusal is heard", async () => {
    const set = setUp();
    set.state.contentsMs = 1_000;
    const host = set.host("h1");
    const bad = set.release("bad");
    host.refused.add(bad.configs[0]?.digest ?? "");
    set.push(host, bad);
    await set.clock.advance(500);
    set.pusher.remove(host.id);
    set.push(host, bad);
    await set.clock.advance(5_000);
    expect(host.requests.filter(({ isFull }) => isFull)).toHaveLength(1);
    expect(set.pusher.counts().sync.rejected).toBe(1);
  });

  it("that cannot read its contents blames no host", async () => {
    const set = setUp();
    const host = set.host("h1");
    const release = set.release("one");
    set.contents.clear();
    set.push(host, release);
    await set.clock.advance(10);
    expect(set.pusher.status(host.id)).toMatchObject({ reachability: "unknown", failures: 0 });
    expect(set.pusher.status(host.id)?.lastError?.class).toBe("local");
    set.release("one");
    await set.clock.advance(5_000);
    expect(host.manifest).toBe(release.digest);
  });
});

describe("a new owner", () => {
  it("pushes only to hosts whose checkpoint differs", async () => {
    const set = setUp();
    const [same, different] = [set.host("same"), set.host("different")];
    const release = set.release("one");
    const known = { reachability: "ok", failures: 0, fence: "1.1.1" } as const;
    set.push(same, release, "load", { ...known, id: same.id, manifest: release.digest });
    const other = digestOf(Buffer.from("other"));
    set.push(different, release, "load", { ...known, id: different.id, manifest: other });
    await set.clock.advance(30);
    expect(same.requests).toHaveLength(0);
    expect(different.requests).toHaveLength(1);
    expect(set.pusher.counts().sync.applied).toBe(2);
  });
});

describe("the pace", () => {
  it("is never exceeded, whatever the queue", async () => {
    const set = setUp({ pushesPerSecond: 100, sweepIntervalMs: 3_600_000_000 });
    const hosts = manyHosts(set, 300);
    const release = set.release("one");
    for (const host of hosts) set.push(host, release);
    await set.clock.advance(4_000);
    const times = hosts.flatMap(({ requests }) => requests.map(({ atMs }) => atMs));
    expect(times).toHaveLength(300);
    times.sort((left, right) => left - right);
    times.forEach((fromMs, index) => {
      const inSecond = times.slice(index).filter((atMs) => atMs < fromMs + 1_000).length;
      expect(inSecond).toBeLessThanOrEqual(106);
    });
  });

  it("gives failing hosts places of their own and the others lose nothing to them", async () => {
    const set = setUp({ inFlightMax: 8, suspectInFlightMax: 2, rollbackReserveRatio: 0 });
    const tarpits = manyHosts(set, 15, "tarpit");
    for (const host of tarpits) host.latencyMs = Infinity;
    for (const host of tarpits) set.push(host, set.release("one"));
    await set.clock.advance(60_000);
    expect(set.pusher.counts().reachability.ok).toBe(0);
    const healthy = manyHosts(set, 100, "healthy");
    const release = set.release("two");
    for (const host of healthy) set.push(host, release);
    await set.clock.advance(200);
    expect(set.pusher.counts().sync.applied).toBe(100);
    expect(set.transport.mostAtOnce).toBeLessThanOrEqual(10);
  });

  it("lets a change of one host overtake a rollout that waits", async () => {
    const set = setUp({ pushesPerSecond: 100 });
    const hosts = manyHosts(set, 300);
    for (const host of hosts) set.push(host, set.release("one"));
    await set.clock.advance(500);
    const pinned = hosts.at(-1);
    assert(pinned !== undefined && pinned.requests.length === 0);
    const release = set.release("two");
    set.push(pinned, release, "record");
    await set.clock.advance(30);
    expect(pinned.manifest).toBe(release.digest);
    expect(set.pusher.counts().sync.applied).toBeLessThan(100);
  });

  it("leaves a rollout half of the starts while single hosts want all of them", async () => {
    const set = setUp({ pushesPerSecond: 100 });
    const release = set.release("one");
    const rollout = manyHosts(set, 100, "all");
    for (const host of rollout) set.push(host, release, "change");
    for (const host of manyHosts(set, 300, "imported")) set.push(host, release, "record");
    await set.clock.advance(1_000);
    const started = rollout.filter(({ requests }) => requests.length > 0).length;
    expect(started).toBeGreaterThan(45);
    expect(started).toBeLessThan(60);
  });

  it("gives retries at most a tenth", async () => {
    const set = setUp({ pushesPerSecond: 100 });
    const down = manyHosts(set, 200, "down");
    for (const host of down) host.fault = "refused";
    for (const host of down) set.push(host, set.release("one"));
    await set.clock.advance(120_000);
    const retries = down.flatMap(({ requests }) => requests.slice(1));
    expect(retries.length).toBeGreaterThan(200);
    expect(retries.length).toBeLessThanOrEqual(118 * 10 + 1);
  });
});
