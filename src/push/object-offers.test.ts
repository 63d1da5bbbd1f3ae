import assert from "node:assert/strict";
import { afterEach, describe, expect, it } from "vitest";
import { CoxswainError } from "../kernel/errors.ts";
import { silentLogger } from "../kernel/log.ts";
import { ManualClock } from "../kernel/manual-clock.ts";
import { createMetrics } from "../kernel/metrics.ts";
import { MemoryObjectStore } from "../objects/memory-object-store.ts";
import {
  contentKey,
  decodeContent,
  decodeManifest,
  decodePointer,
  manifestKey,
  pointerKey,
} from "../objects/object-layout.ts";
import { digestOf, manifestDigestOf, type Digest } from "../protocol/digest.ts";
import { formatFence } from "../protocol/fence.ts";
import type { Manifest } from "../protocol/manifest.ts";
import { ObjectOffers } from "./object-offers.ts";
import type { HostRoute } from "./transport.ts";

const running: { offers: ObjectOffers; clock: ManualClock }[] = [];
afterEach(async () => {
  for (const { offers, clock } of running.splice(0)) {
    await offers.stop();
    assert.equal(clock.timerCount, 0, "Expected stopped offers to leave no timer");
  }
});

const contents = new Map<Digest, Uint8Array>();

function release(...texts: string[]): Manifest {
  const configs = texts.map((text, index) => {
    const digest = digestOf(Buffer.from(text));
    contents.set(digest, Buffer.from(text));
    return { name: `c${index}`, digest };
  });
  return { digest: manifestDigestOf(configs), configs };
}

function setUp(objects = new MemoryObjectStore(), node = "n1", clock = new ManualClock()) {
  const calls: string[] = [];
  const log: string[] = [];
  /** Hosts whose reports were looked for. */
  const looked: string[] = [];
  const state = { areContentsDown: false, fleetHosts: 10 };
  const before = objects.before;
  objects.before = (call, key, signal) => {
    calls.push(`${call} ${key.split("/").slice(2).join("/").slice(0, 18)}`);
    return before(call, key, signal);
  };
  const metrics = createMetrics();
  const logger = {
    ...silentLogger,
    error: (_fields: object, message: string) => log.push(`error: ${message}`),
    warn: (_fields: object, message: string) => log.push(`warn: ${message}`),
    info: (_fields: object, message: string) => log.push(`info: ${message}`),
  };
  const offers = new ObjectOffers(
    {
      objects,
      clock,
      metrics,
      log: logger,
      contents: async (digest) => {
        const bytes = contents.get(digest);
        if (bytes === undefined || state.areContentsDown) throw new Error("contents are gone");
        return bytes;
      },
      reports: { look: ({ host }) => void looked.push(host), stop: async () => {} },
      view: () => 17,
      fleetHosts: () => state.fleetHosts,
    },
    { cluster: "c1", node, pollMs: 60_000 },
  );
  running.push({ offers, clock });
  const pointer = (host = "h1") => {
    const bytes = objects.objects.get(pointerKey("c1", host));
    return bytes && decodePointer(bytes, { cluster: "c1", host });
  };
  const fence = (host = "h1") => {
    const lies = pointer(host);
    return typeof lies === "object" ? formatFence(lies.fence) : lies;
  };
  return { objects, clock, offers, calls, log, looked, state, metrics, pointer, fence };
}

function route(manifest: Manifest, fleet: number, host = "h1"): HostRoute {
  return { host, modes: ["object"], fence: { generation: 1, fleet, host: 1 }, manifest };
}

const down = () => {
  throw new CoxswainError("OBJECTS_UNAVAILABLE", "down");
};

describe("what a host should hold, laid ready in an object store", () => {
  it("is written contents first and pointer last, and can be read back", async () => {
    const set = setUp();
    const manifest = release("one", "x".repeat(5_000));
    expect(await set.offers.offer(route(manifest, 5))).toEqual({ kind: "offered" });
    const kinds = set.calls.map((call) => call.split("/")[0]);
    expect(kinds).toEqual([
      "put contents",
      "put contents",
      "put manifests",
      "put condition-check",
      "get hosts",
      "put hosts",
    ]);
    expect(set.pointer()).toEqual({
      cluster: "c1",
      host: "h1",
      fence: { generation: 1, fleet: 5, host: 1 },
      view: 17,
      node: "n1",
      manifest: manifest.digest,
      nextPollMs: 60_000,
    });
    const stored = set.objects.objects.get(manifestKey("c1", manifest.digest)) ?? Buffer.alloc(0);
    const entries = decodeManifest(stored, manifest.digest);
    expect(entries?.map(({ size }) => size)).toEqual([3, 5_000]);
    for (const { digest } of manifest.configs) {
      const bytes = set.objects.objects.get(contentKey("c1", digest)) ?? Buffer.alloc(0);
      expect(Buffer.from(decodeContent(bytes, digest) ?? "")).toEqual(contents.get(digest));
    }
  });

  it("costs nothing while it is the same, and one read and one write a change and host", async () => {
    const set = setUp();
    const manifest = release("one");
    await set.offers.offer(route(manifest, 1));
    set.calls.length = 0;
    await set.offers.offer(route(manifest, 1));
    set.offers.keep(route(manifest, 1), true);
    expect(set.calls).toEqual([]);
    await set.offers.offer(route(manifest, 1, "h2"));
    await set.offers.offer(route(manifest, 2));
    expect(set.calls).toEqual(["get hosts/h2", "put hosts/h2", "get hosts/h1", "put hosts/h1"]);
    expect(set.fence()).toBe("1.2.1");
  });

  it("is written once for hosts that want it at the same moment", async () => {
    const set = setUp();
    const manifest = release("one");
    const hosts = Array.from({ length: 16 }, (_, index) => `h${index}`);
    await Promise.all(hosts.map((host) => set.offers.offer(route(manifest, 1, host))));
    expect(set.calls.filter((call) => call.startsWith("put contents"))).toHaveLength(1);
    expect(set.calls.filter((call) => call.startsWith("put manifests"))).toHaveLength(1);
    expect(hosts.map((host) => set.fence(host))).toEqual(hosts.map(() => "1.1.1"));
  });

  it("is looked at again after an hour, and mended where the store lost it", async () => {
    const set = setUp();
    const manifest = release("one");
    await set.offers.offer(route(manifest, 1));
    const before = [...set.objects.objects.keys()];
    set.objects.objects.clear();
    await set.clock.advance(59 * 60_000);
    await set.offers.offer(route(manifest, 1));
    expect(set.objects.objects.size).toBe(0);
    await set.clock.advance(2 * 60_000);
    await set.offers.offer(route(manifest, 1));
    expect([...set.objects.objects.keys()].toSorted()).toEqual(before.toSorted());
  });

  it("replaces a damaged pointer, and leaves what is no pointer at all", async () => {
    const set = setUp();
    const key = pointerKey("c1", "h1");
    set.objects.objects.set(key, Buffer.from('{"cluster":"c1"'));
    await set.offers.offer(route(release("one"), 1));
    expect(set.fence()).toBe("1.1.1");
    set.objects.objects.set(key, Buffer.alloc(100_000));
    const result = await set.offers.offer(route(release("one"), 2));
    expect(result).toMatchObject({ kind: "failed", failure: "offers" });
  });

  it("tells larger fleets to look less often", () => {
    const set = setUp();
    expect(set.offers.nextPollMs()).toBe(60_000);
    set.state.fleetHosts = 1_000_000;
    expect(set.offers.nextPollMs()).toBe(200_000);
    set.state.fleetHosts = 100_000_000;
    expect(set.offers.nextPollMs()).toBe(300_000);
  });
});

describe("what a host left beside its pointer", () => {
  it("is looked for with each offer, but not where the host was reached in another way", async () => {
    const set = setUp();
    const manifest = release("one");
    await set.offers.offer(route(manifest, 1, "h1"));
    await set.offers.offer(route(manifest, 1, "h1"));
    expect(set.looked).toEqual(["h1", "h1"]);
    set.offers.keep(route(manifest, 1, "h1"), true);
    set.offers.keep(route(manifest, 1, "h2"), true);
    await set.clock.advance(0);
    expect(set.looked).toHaveLength(2);
    set.offers.keep(route(manifest, 1, "h2"), false);
    set.offers.keep(route(manifest, 1, "h3"), false);
    await set.clock.advance(0);
    expect(set.looked.slice(2)).toEqual(["h2", "h3"]);
  });

  it("is not looked for in a store that just failed", async () => {
    const objects = new MemoryObjectStore();
    const set = setUp(objects);
    objects.before = down;
    await set.offers.offer(route(release("one"), 1));
    expect(set.looked).toEqual([]);
  });
});

describe("two owners of one moment", () => {
  it.each([
    ["a newer fleet", { generation: 1, fleet: 6, host: 1 }],
    ["a newer generation", { generation: 2, fleet: 1, host: 1 }],
    ["a newer record of the host", { generation: 1, fleet: 4, host: 2 }],
  ])("never replace a pointer with %s", async (_name, fence) => {
    const set = setUp();
    await set.offers.offer({ ...route(release("new"), 0), fence });
    const other = setUp(new MemoryObjectStore(set.objects.objects), "n2");
    const result = await other.offers.offer(route(release("old"), 5));
    expect(result).toMatchObject({ kind: "failed", failure: "offers", sent: false });
    expect(set.fence()).toBe(formatFence(fence));
  });

  it("read again after a lost race, so that the newest fence wins whoever is late", async () => {
    for (const [mine, theirs] of [
      [5, 6],
      [6, 5],
    ] as const) {
      const objects = new MemoryObjectStore();
      const other = setUp(new MemoryObjectStore(objects.objects), "n2");
      let isRaced = false;
      objects.before = async (call, key) => {
        if (call !== "put" || !key.includes("/hosts/") || isRaced) return;
        isRaced = true;
        await other.offers.offer(route(release(`fleet ${theirs}`), theirs));
      };
      const set = setUp(objects);
      await set.offers.offer(route(release(`fleet ${mine}`), mine));
      expect(isRaced).toBe(true);
      expect(set.fence()).toBe("1.6.1");
    }
  });

  it("raise an alarm where one fence comes with two manifests", async () => {
    const set = setUp();
    await set.offers.offer(route(release("one"), 1));
    const other = setUp(new MemoryObjectStore(set.objects.objects), "n2");
    const result = await other.offers.offer(route(release("two"), 1));
    expect(result).toMatchObject({ failure: "offers" });
    expect(other.log).toContain("error: integrity: one fence with two manifests");
    expect(set.pointer()).toMatchObject({ manifest: release("one").digest });
  });

  it("are warned of once where the store ignores conditions", async () => {
    const objects = new MemoryObjectStore();
    objects.areConditionsIgnored = true;
    const set = setUp(objects);
    await set.offers.offer(route(release("one"), 1));
    await set.offers.offer(route(release("one"), 2));
    expect(set.log).toEqual(["error: object store ignores conditions of writes"]);
  });
});

describe("an object store that fails", () => {
  it("rests, is asked by one first, and is used by all when it works again", async () => {
    const objects = new MemoryObjectStore();
    const set = setUp(objects);
    const working = objects.before;
    objects.before = (call, key) => {
      void working(call, key);
      down();
    };
    const manifest = release("one");
    const ask = (count: number) =>
      Promise.all(
        Array.from({ length: count }, (_, index) =>
          set.offers.offer(route(manifest, 1, `h${index}`)),
        ),
      );
    const first = await ask(10);
    expect(first.every((result) => result.kind === "failed")).toBe(true);
    set.calls.length = 0;
    await ask(10);
    expect(set.calls).toEqual([]);
    await set.clock.advance(1_000);
    await ask(10);
    expect(set.calls).toHaveLength(1);
    objects.before = working;
    await set.clock.advance(1_999);
    expect((await ask(1))[0]).toMatchObject({ failure: "offers" });
    await set.clock.advance(1);
    expect((await ask(10)).filter(({ kind }) => kind === "offered")).toHaveLength(1);
    expect((await ask(10)).every(({ kind }) => kind === "offered")).toBe(true);
    expect(set.log).toEqual(["warn: object store fails", "info: object store works again"]);
  });

  it("does not rest because a content cannot be read from the table", async () => {
    const set = setUp();
    set.state.areContentsDown = true;
    const result = await set.offers.offer(route(release("one"), 1));
    expect(result).toMatchObject({ failure: "offers", message: "contents are gone" });
    set.state.areContentsDown = false;
    expect(await set.offers.offer(route(release("one"), 1))).toEqual({ kind: "offered" });
  });

  it("that hangs holds a bounded number of offers, each until its deadline or the stop", async () => {
    const objects = new MemoryObjectStore();
    const { promise: never } = Promise.withResolvers<void>();
    objects.before = (_call, _key, signal) =>
      Promise.race([
        never,
        new Promise<void>((_resolve, reject) => {
          signal?.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
        }),
      ]);
    const set = setUp(objects);
    const ends: string[] = [];
    for (let index = 0; index < 100; index++) {
      const offer = set.offers.offer(route(release("one"), 1, `h${index}`));
      void offer.then((result) => ends.push(result.kind === "failed" ? result.message : ""));
    }
    set.offers.keep(route(release("one"), 1, "kept"), true);
    await set.clock.advance(0);
    expect(ends).toHaveLength(84);
    await set.clock.advance(10_000);
    expect(ends).toHaveLength(100);
    expect(ends.at(-1)).toBe("not written within 10000 ms");
    await set.clock.advance(1_000);
    const last = set.offers.offer(route(release("one"), 1));
    await set.offers.stop();
    expect(await last).toMatchObject({ failure: "offers", message: "the node is stopping" });
    expect(await set.offers.offer(route(release("one"), 1))).toMatchObject({ kind: "failed" });
  });
});
