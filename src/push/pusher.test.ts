import { gunzipSync } from "node:zlib";
import { afterEach, describe, expect, it } from "vitest";
import { silentLogger } from "../kernel/log.ts";
import { ManualClock } from "../kernel/manual-clock.ts";
import { createMetrics } from "../kernel/metrics.ts";
import { createRandom } from "../kernel/random.ts";
import type { HostId } from "../inventory/host.ts";
import { digestOf, manifestDigestOf, type Digest } from "../protocol/digest.ts";
import { formatFence, goesBack, parseFence, type Fence } from "../protocol/fence.ts";
import type { Manifest } from "../protocol/manifest.ts";
import { syncRequestSchema, type HeldConfig } from "../protocol/sync.ts";
import { emptyView } from "../ring/view.ts";
import type { HostCheckpoint } from "./host-checkpoint.ts";
import type { FailureClass, ExchangeRequest, ExchangeResult, Transport } from "./transport.ts";
import { defaultPushOptions, type PushOptions } from "./push-options.ts";
import { createPusher, type PushTarget } from "./pusher.ts";

/** An agent in memory, as the protocol describes it, with faults to order. */
class FakeHost {
  readonly id: HostId;
  held = new Map<string, string>();
  stored = new Set<string>();
  fence: Fence = { generation: 0, fleet: 0, host: 0 };
  boot = "boot-1";
  viewSeen = "0";
  latencyMs = 5;
  /** Instead of an answer. */
  fault: FailureClass | { readonly status: number; readonly retryAfterMs?: number } | undefined;
  /** Digests that its check refuses. */
  readonly refused = new Set<string>();
  /** Who answers, where that is another host. */
  answersAs: string | undefined;
  readonly requests: { atMs: number; isFull: boolean; contents: number; fence: string }[] = [];

  constructor(id: HostId) {
    this.id = id;
  }

  get manifest(): Digest {
    return manifestDigestOf([...this.held].map(([name, digest]) => ({ name, digest })));
  }

  answer(request: ExchangeRequest, atMs: number): ExchangeResult {
    const bytes = request.body ?? Buffer.alloc(0);
    const isGzip = request.headers["content-encoding"] === "gzip";
    const sync = syncRequestSchema.parse(JSON.parse(String(isGzip ? gunzipSync(bytes) : bytes)));
    const fenceText = request.headers["coxswain-fence"] ?? "";
    const contents = sync.configs?.filter(({ content }) => content !== undefined).length ?? 0;
    this.requests.push({ atMs, isFull: sync.configs !== undefined, contents, fence: fenceText });
    if (typeof this.fault === "string") {
      const sent = this.fault === "ambiguous";
      return { kind: "failed", failure: this.fault, message: this.fault, sent };
    }
    if (this.fault !== undefined) {
      const { status, retryAfterMs } = this.fault;
      return { kind: "reply", status, retryAfterMs, body: Buffer.alloc(0) };
    }
    const fence = parseFence(fenceText) ?? this.fence;
    if (goesBack(this.fence, fence)) return this.#reply(409, []);
    this.fence = fence;
    if (sync.configs === undefined) return this.#reply(200, []);
    const results = sync.configs.map(({ name, digest, content }): HeldConfig => {
      if (content !== undefined) this.stored.add(digest);
      if (this.held.get(name) === digest) return { name, result: "unchanged" };
      if (!this.stored.has(digest)) return { name, result: "missing" };
      if (this.refused.has(digest)) return { name, result: "rejected", message: "no" };
      this.held.set(name, digest);
      return { name, result: "applied" };
    });
    for (const name of this.held.keys()) {
      if (!sync.configs.some((config) => config.name === name)) this.held.delete(name);
    }
    return this.#reply(200, results);
  }

  #reply(status: number, results: HeldConfig[]): ExchangeResult {
    const configs = [...this.held].map(([name, digest]) => ({
      result: "unchanged",
      ...results.find((result) => result.name === name),
      name,
      digest,
    }));
    const others = results.filter(({ name }) => !this.held.has(name));
    const body = JSON.stringify({
      host: this.answersAs ?? this.id,
      boot: this.boot,
      agent: "fake/1",
      fence: formatFence(this.fence),
      view: this.viewSeen,
      manifest: this.manifest,
      configs: [...configs, ...others],
    });
    return { kind: "reply", status, retryAfterMs: undefined, body: Buffer.from(body) };
  }
}

/** Hosts by origin; counts what is under way. */
class FakeTransport implements Transport {
  readonly socketCount = 0;
  readonly clock: ManualClock;
  readonly hosts = new Map<string, FakeHost>();
  readonly dropped: string[] = [];
  readonly underWay = new Map<string, number>();
  mostPerHost = 0;
  mostAtOnce = 0;

  constructor(clock: ManualClock) {
    this.clock = clock;
  }

  async exchange(request: ExchangeRequest): Promise<ExchangeResult> {
    const host = this.hosts.get(request.origin);
    if (host === undefined) {
      return { kind: "failed", failure: "refused", message: "nobody", sent: false };
    }
    this.#count(host.id, 1);
    await this.clock.sleep(Math.min(host.latencyMs, request.deadlineMs));
    this.#count(host.id, -1);
    if (host.latencyMs > request.deadlineMs) {
      return { kind: "failed", failure: "ambiguous", message: "deadline", sent: true };
    }
    return host.answer(request, this.clock.monotonicMs());
  }

  drop(origin: string): void {
    this.dropped.push(origin);
  }

  #count(id: string, by: number): void {
    const count = (this.underWay.get(id) ?? 0) + by;
    this.underWay.set(id, count);
    this.mostPerHost = Math.max(this.mostPerHost, count);
    let all = 0;
    for (const each of this.underWay.values()) all += each;
    this.mostAtOnce = Math.max(this.mostAtOnce, all);
  }
}

const running: { stop(): Promise<void> }[] = [];

const addressOf = (id: string) => `http://${id}:1`;

function setUp(options: Partial<PushOptions> = {}) {
  const clock = new ManualClock();
  const transport = new FakeTransport(clock);
  const contents = new Map<Digest, Uint8Array>();
  const metrics = createMetrics();
  const log: string[] = [];
  const state = { mayPush: true };
  const pusher = createPusher(
    {
      clock,
      random: createRandom("pusher"),
      transport,
      contents: (digest) => {
        const bytes = contents.get(digest);
        return bytes === undefined ? Promise.reject(new Error("gone")) : Promise.resolve(bytes);
      },
      log: silentLogger,
      metrics,
      mayPush: () => state.mayPush,
    },
    { cluster: "c1", node: "n1", view: () => emptyView },
    { ...defaultPushOptions, ...options },
    {
      onStatus: (id) => log.push(`status ${id}`),
      onStale: (id, fence) => log.push(`stale ${id} ${fence ? formatFence(fence) : "?"}`),
      onNewerView: (version) => log.push(`view ${version}`),
      onReachability: (id, from, to) => log.push(`reach ${id} ${from}>${to}`),
      onDrift: (id) => log.push(`drift ${id}`),
    },
  );
  running.push({
    stop: async () => {
      const stopping = pusher.stop();
      await clock.advance(60_000);
      await stopping;
      expect(clock.timerCount).toBe(0);
    },
  });
  let fleet = 0;
  const release = (text: string): Manifest => {
    const bytes = Buffer.from(text);
    contents.set(digestOf(bytes), bytes);
    const configs = [{ name: "app.conf", digest: digestOf(bytes) }];
    return { digest: manifestDigestOf(configs), configs };
  };
  const host = (id: string): FakeHost => {
    const made = new FakeHost(id as HostId);
    transport.hosts.set(addressOf(id), made);
    return made;
  };
  const target = (of: FakeHost, manifest: Manifest, parts: Partial<PushTarget> = {}) => ({
    id: of.id,
    address: addressOf(of.id),
    fence: { generation: 1, fleet: ++fleet, host: 1 },
    manifest,
    ...parts,
  });
  const push = (
    of: FakeHost,
    manifest: Manifest,
    reason: "load" | "change" | "rollback" = "change",
    known?: HostCheckpoint,
  ) => pusher.upsert(target(of, manifest), reason, known);
  const metric = async (name: string) =>
    (await metrics.registry.getSingleMetric(`coxswain_${name}`)?.get())?.values ?? [];
  pusher.start();
  return { clock, transport, pusher, log, state, contents, release, host, target, push, metric };
}

const manyHosts = (set: ReturnType<typeof setUp>, count: number, prefix = "h") =>
  Array.from({ length: count }, (_, index) => set.host(`${prefix}${index}`));

afterEach(async () => {
  for (const each of running.splice(0)) await each.stop();
});

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

describe("trouble", () => {
  it("of this node marks no host and ends by itself", async () => {
    const set = setUp();
    const hosts = manyHosts(set, 30);
    for (const host of hosts) host.fault = "local";
    const release = set.release("one");
    for (const host of hosts) set.push(host, release);
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
