import { afterEach, describe, expect, it } from "vitest";
import { digestOf } from "../protocol/digest.ts";
import { FakeHost, manyHosts, setUp, stopAll } from "./fake-fleet.ts";

afterEach(stopAll);

describe("trouble", () => {
  it("of this node marks no host and ends by itself", async () => {
    const set = setUp({ inFlightMax: 4, rollbackReserveRatio: 0 });
    const hosts = manyHosts(set, 30);
    for (const host of hosts) host.fault = "local";
    const release = set.release("one");
    for (const host of hosts) set.push(host, release);
    await set.clock.advance(100);
    expect(hosts.filter(({ requests }) => requests.length > 0)).toHaveLength(4);
    await set.clock.advance(10_000);
    expect(set.pusher.counts().reachability.unknown).toBe(30);
    const attempts = hosts.reduce((sum, { requests }) => sum + requests.length, 0);
    expect(attempts).toBeLessThan(200);
    for (const host of hosts) host.fault = undefined;
    await set.clock.advance(60_000);
    expect(set.pusher.counts().sync.applied).toBe(30);
  });

  it("of everybody at once is not believed for half a minute, then it is", async () => {
    const set = setUp({ sweepIntervalMs: 5_000 });
    const hosts = manyHosts(set, 60);
    const release = set.release("one");
    for (const host of hosts) set.push(host, release);
    await set.clock.advance(1_000);
    for (const host of hosts) host.fault = "timeout";
    await set.clock.advance(25_000);
    const held = set.pusher.counts().reachability;
    expect(held.ok).toBeGreaterThanOrEqual(40);
    await set.clock.advance(300_000);
    expect(set.pusher.counts().reachability.unreachable).toBe(60);
    expect(set.pusher.counts().sync.unreachable).toBe(60);
  });
});

describe("an unreachable host", () => {
  it("is tracked with reason and next try, and synced at once when it shows life", async () => {
    const set = setUp();
    const host = set.host("h1");
    host.fault = "refused";
    const release = set.release("one");
    set.push(host, release);
    await set.clock.advance(300_000);
    expect(set.pusher.status(host.id)).toMatchObject({ reachability: "unreachable" });
    expect(set.pusher.status(host.id)?.lastError).toMatchObject({ class: "refused" });
    expect(set.pusher.status(host.id)?.nextAttemptMs).toBeGreaterThan(300_000);
    host.fault = undefined;
    set.pusher.wake(host.id);
    await set.clock.advance(20);
    expect(host.manifest).toBe(release.digest);
    expect(set.pusher.status(host.id)).toMatchObject({ reachability: "ok", attempts: 0 });
  });

  it("gets one sync, not a queue, for all it missed; changes do not shorten its backoff", async () => {
    const set = setUp();
    const host = set.host("h1");
    host.fault = "timeout";
    set.push(host, set.release("r0"));
    await set.clock.advance(200_000);
    const before = host.requests.length;
    for (let index = 1; index < 50; index++) set.push(host, set.release(`r${index}`));
    await set.clock.advance(100);
    expect(host.requests.length - before).toBeLessThanOrEqual(1);
    host.fault = undefined;
    set.pusher.wake(host.id);
    await set.clock.advance(20);
    expect(host.manifest).toBe(set.release("r49").digest);
  });

  it("showing life while its push is in flight is pushed to again", async () => {
    const set = setUp();
    const host = set.host("h1");
    host.fault = "timeout";
    host.latencyMs = 1_000;
    set.push(host, set.release("one"));
    await set.clock.advance(500);
    set.pusher.wake(host.id);
    await set.clock.advance(510);
    host.fault = undefined;
    host.latencyMs = 1;
    await set.clock.advance(1_000);
    expect(host.requests.length).toBeGreaterThanOrEqual(2);
    expect(set.pusher.counts().sync.applied).toBe(1);
  });

  it("that is busy is left alone as long as it asks", async () => {
    const set = setUp();
    const host = set.host("h1");
    host.fault = { status: 503, retryAfterMs: 20_000 };
    set.push(host, set.release("one"));
    await set.clock.advance(10);
    host.fault = undefined;
    set.push(host, set.release("two"));
    await set.clock.advance(19_000);
    expect(host.requests).toHaveLength(1);
    expect(set.pusher.status(host.id)?.reachability).toBe("ok");
    await set.clock.advance(2_000);
    expect(set.pusher.counts().sync.applied).toBe(1);
  });
});

describe("the sweep", () => {
  it("visits every host once in each interval, with the short form", async () => {
    const set = setUp();
    const hosts = manyHosts(set, 50);
    const release = set.release("one");
    for (const host of hosts) set.push(host, release);
    await set.clock.advance(60_000);
    for (const host of hosts) host.requests.length = 0;
    await set.clock.advance(180_000);
    for (const { requests } of hosts) {
      expect(requests).toHaveLength(3);
      expect(requests.every(({ isFull }) => !isFull)).toBe(true);
    }
    const times = hosts.map(({ requests }) => (requests[0]?.atMs ?? 0) % 60_000);
    const quarters = new Set(times.map((atMs) => Math.floor(atMs / 15_000)));
    expect(quarters.size).toBe(4);
  });

  it("goes on while changes take the whole pace", async () => {
    const set = setUp({ pushesPerSecond: 100, sweepIntervalMs: 5_000 });
    const calm = manyHosts(set, 10, "calm");
    const changing = manyHosts(set, 100, "changing");
    for (const host of calm) set.push(host, set.release("one"));
    await set.clock.advance(1_000);
    for (const host of calm) host.requests.length = 0;
    for (let second = 0; second < 10; second++) {
      const release = set.release(`release ${second}`);
      for (const host of changing) set.push(host, release);
      await set.clock.advance(1_000);
    }
    const changes = changing.flatMap(({ requests }) => requests).length;
    expect(changes).toBeGreaterThan(800);
    for (const { requests } of calm) expect(requests.length).toBeGreaterThanOrEqual(1);
  });

  it("finds drift and heals it at once", async () => {
    const set = setUp();
    const host = set.host("h1");
    const release = set.release("one");
    set.push(host, release);
    await set.clock.advance(100);
    host.held.set("app.conf", digestOf(Buffer.from("edited by hand")));
    await set.clock.advance(60_100);
    expect(host.manifest).toBe(release.digest);
    expect(set.log).toContain("drift h1");
    expect((await set.metric("drift_total"))[0]?.value).toBe(1);
  });

  it("tells of a newer view once", async () => {
    const set = setUp({ sweepIntervalMs: 1_000 });
    const host = set.host("h1");
    host.viewSeen = "7";
    set.push(host, set.release("one"));
    await set.clock.advance(5_000);
    expect(set.log.filter((line) => line.startsWith("view"))).toEqual(["view 7"]);
  });

  it("tells of a newer view though another host claims a higher one", async () => {
    const set = setUp({ sweepIntervalMs: 1_000 });
    const [liar, honest] = [set.host("h1"), set.host("h2")];
    liar.viewSeen = "9007199254740990";
    const release = set.release("one");
    set.push(liar, release);
    await set.clock.advance(5_000);
    honest.viewSeen = "7";
    set.push(honest, release);
    await set.clock.advance(30_000);
    const views = set.log.filter((line) => line.startsWith("view"));
    expect(views).toContain("view 7");
    expect(views.length).toBeLessThanOrEqual(36);
  });
});

describe("a refusal", () => {
  it("of a release parks it: swept, never sent again as it is, until the agent restarts", async () => {
    const set = setUp();
    const host = set.host("h1");
    const bad = set.release("bad");
    host.refused.add(bad.configs[0]?.digest ?? "");
    set.push(host, bad);
    await set.clock.advance(300_000);
    expect(host.requests.filter(({ isFull }) => isFull)).toHaveLength(1);
    expect(host.requests.length).toBeGreaterThanOrEqual(5);
    expect(host.requests.length).toBeLessThanOrEqual(7);
    expect(set.pusher.counts().sync.rejected).toBe(1);
    expect(set.log).not.toContain("drift h1");
    host.boot = "boot-2";
    host.refused.clear();
    await set.clock.advance(60_100);
    expect(host.manifest).toBe(bad.digest);
  });

  it("of a release does not delay the next one", async () => {
    const set = setUp();
    const host = set.host("h1");
    const [bad, good] = [set.release("bad"), set.release("good")];
    host.refused.add(bad.configs[0]?.digest ?? "");
    set.push(host, bad);
    await set.clock.advance(100);
    set.push(host, good);
    await set.clock.advance(20);
    expect(host.manifest).toBe(good.digest);
  });

  it("as stale is told with the host's fence, tried rarely, and over with a newer fence", async () => {
    const set = setUp();
    const host = set.host("h1");
    host.fence = { generation: 1, fleet: 50, host: 1 };
    const release = set.release("one");
    set.push(host, release);
    await set.clock.advance(300_000);
    expect(set.log).toContain("stale h1 1.50.1");
    expect(host.requests.length).toBeLessThan(30);
    const fence = { generation: 1, fleet: 51, host: 1 };
    set.pusher.upsert(set.target(host, release, { fence }), "change");
    await set.clock.advance(20);
    expect(host.manifest).toBe(release.digest);
  });

  it("as stale by everybody is told a bounded number of times", async () => {
    const set = setUp();
    const hosts = manyHosts(set, 400);
    for (const host of hosts) host.fence = { generation: 9, fleet: 1, host: 1 };
    const release = set.release("one");
    for (const host of hosts) set.push(host, release);
    await set.clock.advance(900);
    const told = set.log.filter((line) => line.startsWith("stale")).length;
    expect(told).toBe(100);
  });

  it("by another host quarantines: nothing full is sent, and the address change ends it", async () => {
    const set = setUp();
    const host = set.host("h1");
    host.answersAs = "h2";
    const release = set.release("one");
    set.push(host, release);
    await set.clock.advance(600_000);
    expect(host.requests).toHaveLength(1);
    expect(set.pusher.status(host.id)).toMatchObject({ isQuarantined: true });
    const moved = new FakeHost(host.id);
    set.transport.hosts.set("http://new:1", moved);
    set.pusher.upsert(set.target(host, release, { address: "http://new:1" }), "change");
    await set.clock.advance(20);
    expect(set.transport.dropped).toEqual(["http://h1:1"]);
    expect(moved.manifest).toBe(release.digest);
    expect(set.pusher.status(host.id)).toMatchObject({ isQuarantined: false });
  });
});

describe("a new address", () => {
  it("given in flight: what the old one answers says nothing about the host", async () => {
    const set = setUp();
    const host = set.host("h1");
    host.answersAs = "h2";
    const release = set.release("one");
    set.push(host, release);
    await set.clock.advance(2);
    const moved = new FakeHost(host.id);
    set.transport.hosts.set("http://new:1", moved);
    set.pusher.upsert(set.target(host, release, { address: "http://new:1" }), "change");
    await set.clock.advance(20);
    expect(set.pusher.status(host.id)).toMatchObject({ isQuarantined: false, reachability: "ok" });
    expect(moved.manifest).toBe(release.digest);
    expect(set.log.filter((line) => line.startsWith("reach"))).toEqual(["reach h1 unknown>ok"]);
  });
});

describe("removal", () => {
  it("in flight ignores the answer", async () => {
    const set = setUp();
    const host = set.host("h1");
    set.push(host, set.release("one"));
    await set.clock.advance(2);
    set.pusher.remove(host.id);
    await set.clock.advance(100_000);
    expect(set.pusher.status(host.id)).toBeUndefined();
    expect(set.pusher.counts().total).toBe(0);
    expect(set.log).toEqual([]);
    expect(host.requests).toHaveLength(1);
  });

  it("and adding again in flight never makes two pushes at once, and starts from nothing", async () => {
    const set = setUp();
    const host = set.host("h1");
    host.latencyMs = 50;
    const last = set.release("two");
    set.push(host, set.release("one"));
    await set.clock.advance(10);
    set.pusher.remove(host.id);
    set.push(host, last);
    await set.clock.advance(200);
    expect(set.transport.mostPerHost).toBe(1);
    expect(host.manifest).toBe(last.digest);
    expect(set.pusher.counts()).toMatchObject({ total: 1, sync: { applied: 1 } });
  });
});

describe("the count of finished pushes", () => {
  it("takes in every end but those of this machine itself", async () => {
    const set = setUp({ inFlightMax: 1, rollbackReserveRatio: 0 });
    const [well, dead, local] = manyHosts(set, 3);
    if (well === undefined || dead === undefined || local === undefined) throw new Error("hosts");
    dead.fault = "timeout";
    local.fault = "local";
    const release = set.release("one");
    set.push(well, release);
    expect(set.pusher.counts()).toMatchObject({ finished: 0, queued: 1 });
    await set.clock.advance(100);
    const { finished } = set.pusher.counts();
    expect(finished).toBeGreaterThan(0);
    expect(set.pusher.counts().queued).toBe(0);
    set.push(dead, release);
    await set.clock.advance(100);
    expect(set.pusher.counts().finished).toBe(finished + 1);
    set.push(local, release);
    await set.clock.advance(60_000);
    expect(local.requests.length).toBeGreaterThan(1);
    const others = well.requests.length + dead.requests.length;
    expect(set.pusher.counts().finished).toBe(others);
  });

  it("takes in a push whose content cannot be read: that is no fault of the node's sending", async () => {
    const set = setUp();
    const [host] = manyHosts(set, 1);
    if (host === undefined) throw new Error("host");
    const release = set.release("one");
    set.contents.clear();
    set.push(host, release);
    await set.clock.advance(100);
    const before = set.pusher.counts().finished;
    await set.clock.advance(60_000);
    expect(set.pusher.counts().finished).toBeGreaterThan(before);
  });
});

describe("stop", () => {
  it("waits for pushes in flight, starts none, and leaves no timer", async () => {
    const set = setUp({ inFlightMax: 2, rollbackReserveRatio: 0 });
    const hosts = manyHosts(set, 10);
    for (const host of hosts) set.push(host, set.release("one"));
    await set.clock.advance(2);
    let isStopped = false;
    const stop = async (): Promise<void> => {
      await set.pusher.stop();
      isStopped = true;
    };
    const stopping = stop();
    await set.clock.advance(2);
    expect(isStopped).toBe(false);
    await set.clock.advance(3);
    expect(isStopped).toBe(true);
    await stopping;
    expect(hosts.filter(({ requests }) => requests.length > 0)).toHaveLength(2);
    expect(set.clock.timerCount).toBe(0);
  });
});
