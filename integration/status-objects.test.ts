/**
 * A host that reaches no node, its owner, and the object store between them, on virtual time: the agent's
 * driver and core, the node's pusher, offers and reader are the real ones.
 */
import { afterEach, describe, expect, it } from "vitest";
import { createHost, target } from "../src/agent/agent-fixture.ts";
import { ObjectDriver } from "../src/agent/object-driver.ts";
import { silentLogger } from "../src/kernel/log.ts";
import { createMetrics } from "../src/kernel/metrics.ts";
import { createRandom } from "../src/kernel/random.ts";
import { MemoryObjectStore } from "../src/objects/memory-object-store.ts";
import { statusKey } from "../src/objects/object-layout.ts";
import { digestOf, manifestDigestOf, type Digest } from "../src/protocol/digest.ts";
import type { HostId } from "../src/inventory/host.ts";
import { createHostTransport } from "../src/push/host-transport.ts";
import { failed } from "../src/push/http-exchange.ts";
import { LeftReports } from "../src/push/left-reports.ts";
import { ObjectOffers } from "../src/push/object-offers.ts";
import { defaultPushOptions } from "../src/push/push-options.ts";
import { createPusher, type Pusher } from "../src/push/pusher.ts";
import { emptyView } from "../src/ring/view.ts";

const id = "h1" as HostId;
const minuteMs = 60_000;
const path = "/etc/app.conf";
const running: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of running.splice(0).toReversed()) await stop();
});

type Clock = Awaited<ReturnType<typeof createHost>>["clock"];

/** A node that owns host h1 and cannot reach it but through `objects`. */
function startOwner(objects: MemoryObjectStore, clock: Clock, contents: Map<Digest, Buffer>) {
  const metrics = createMetrics();
  const shared = { objects, clock, metrics, log: silentLogger };
  const log: string[] = [];
  const owned: { pusher?: Pusher } = {};
  const reports = new LeftReports(
    {
      ...shared,
      lastWord: (host) => owned.pusher?.lastWord(host),
      reported: (host, reply) => {
        log.push(`report ${reply.status}`);
        owned.pusher?.reported(host, reply, "object");
      },
    },
    "c1",
  );
  const offers = new ObjectOffers(
    {
      ...shared,
      reports,
      contents: async (digest) => contents.get(digest) ?? Buffer.alloc(0),
      view: () => 1,
      fleetHosts: () => 1,
    },
    { cluster: "c1", node: "n1", pollMs: minuteMs },
  );
  const sockets = {
    socketCount: 0,
    drop: () => {},
    exchange: async () => failed("timeout", "nobody", false),
  };
  const pusher = createPusher(
    {
      ...shared,
      random: createRandom("owner"),
      transport: createHostTransport({ sockets, links: undefined, offers }),
      contents: async (digest) => contents.get(digest) ?? Buffer.alloc(0),
      mayPush: () => true,
    },
    { cluster: "c1", node: "n1", view: () => emptyView },
    defaultPushOptions,
    {
      onStatus: () => {},
      onStale: () => log.push("stale"),
      onNewerView: () => {},
      onReachability: (_host, from, to) => log.push(`${from}>${to}`),
      onDrift: () => log.push("drift"),
    },
  );
  owned.pusher = pusher;
  pusher.start();
  const stop = async () => {
    await offers.stop();
    await pusher.stop();
  };
  return { pusher, log, stop };
}

async function setUp(modes: readonly ("dial" | "object")[] = ["object"]) {
  const objects = new MemoryObjectStore();
  const state = { check: 0 };
  const host = await createHost({
    listed: { "app.conf": target({ check: ["check"] }) },
    run: () => ({ kind: "exited", code: state.check, output: "" }),
  });
  const { clock } = host;
  const contents = new Map<Digest, Buffer>();
  const startHost = () => {
    const driver = new ObjectDriver(
      {
        clock,
        random: createRandom("host"),
        log: silentLogger,
        core: host.core,
        open: async () => objects,
        report: undefined,
      },
      { host: "h1", cluster: "c1" },
    );
    const stopping = new AbortController();
    const ran = driver.run(stopping.signal).catch(() => {});
    return async () => {
      stopping.abort(new Error("the test is over"));
      await ran;
    };
  };
  const stopHost = startHost();
  const owner = startOwner(objects, clock, contents);
  running.push(stopHost, owner.stop);
  let fleet = 0;
  const wish = (text: string, to: Pusher = owner.pusher) => {
    const digest = digestOf(Buffer.from(text));
    contents.set(digest, Buffer.from(text));
    const configs = [{ name: "app.conf", digest }];
    const manifest = { digest: manifestDigestOf(configs), configs };
    const fence = { generation: 1, fleet: ++fleet, host: 1 };
    return { id, address: "http://h1:1", modes, fence, manifest, to };
  };
  const want = (text: string) => owner.pusher.upsert(wish(text), "change");
  const held = () => host.disk.text(path);
  const key = statusKey("c1", "h1");
  return { objects, host, clock, contents, state, owner, stopHost, want, wish, held, key };
}

describe("a host whose only way back is the object store", () => {
  it("is counted as applied, stays ok beyond the time after which silence counts, and is lost when it dies", async () => {
    const set = await setUp();
    set.want("one");
    await set.clock.advance(4 * minuteMs);
    expect(set.held()).toBe("one");
    expect(set.owner.pusher.counts().sync).toMatchObject({ applied: 1, pending: 0, neverSeen: 0 });
    expect(set.owner.pusher.via(id)).toBe("object");
    await set.clock.advance(60 * minuteMs);
    expect(set.owner.pusher.status(id)?.reachability).toBe("ok");
    expect(set.owner.log.filter((line) => line.startsWith("report")).length).toBeLessThan(20);
    set.want("two");
    await set.clock.advance(4 * minuteMs);
    expect(set.owner.pusher.counts().sync).toMatchObject({ applied: 1, pending: 0 });
    await set.stopHost();
    await set.clock.advance(30 * minuteMs);
    expect(set.owner.pusher.status(id)?.reachability).toBe("unreachable");
    expect(set.owner.log.filter((line) => line.includes(">"))).toEqual([
      "unknown>ok",
      "ok>suspect",
      "suspect>unreachable",
    ]);
  });

  it("that refuses a release is counted so once, and only for that release", async () => {
    const set = await setUp();
    set.state.check = 1;
    set.want("bad");
    await set.clock.advance(10 * minuteMs);
    expect(set.owner.pusher.counts().sync).toMatchObject({ rejected: 1 });
    set.want("good");
    await set.clock.advance(1_000);
    expect(set.owner.pusher.counts().sync).toMatchObject({ rejected: 0, pending: 1 });
    set.state.check = 0;
    await set.clock.advance(4 * minuteMs);
    expect(set.held()).toBe("good");
    expect(set.owner.pusher.counts().sync).toMatchObject({ applied: 1, rejected: 0 });
  });

  it("is not what a damaged, foreign or older object says it is", async () => {
    const set = await setUp();
    set.want("one");
    await set.clock.advance(4 * minuteMs);
    const old = set.objects.objects.get(set.key) ?? Buffer.alloc(0);
    set.want("two");
    await set.clock.advance(4 * minuteMs);
    await set.stopHost();
    const good = Buffer.from(set.objects.objects.get(set.key) ?? "").toString();
    const before = set.owner.pusher.status(id);
    set.want("three");
    await set.clock.advance(1_000);
    set.owner.log.length = 0;
    let reads = 0;
    set.objects.before = (_call, key) => {
      if (key === set.key) reads++;
    };
    for (const tarnished of [
      old,
      Buffer.from(good.slice(0, -10)),
      Buffer.from(good.replaceAll('"h1"', '"h2"')),
      Buffer.from(good.replace('"host":"h1","boot"', '"host":"h2","boot"')),
      Buffer.from(good.replace('"status":200', '"status":403')),
      Buffer.alloc(100_000),
    ]) {
      set.objects.objects.set(set.key, tarnished);
      const readsBefore = reads;
      await set.clock.advance(minuteMs);
      expect(reads).toBeGreaterThan(readsBefore);
    }
    expect(set.owner.log).toEqual([]);
    expect(set.owner.pusher.status(id)?.held).toBe(before?.held);
    expect(set.owner.pusher.status(id)?.lastContactWallMs).toBe(before?.lastContactWallMs);
    const newer = good.replace(/"serial":"\d+"/, '"serial":"999"');
    set.objects.objects.set(set.key, Buffer.from(newer));
    await set.clock.advance(4 * minuteMs);
    expect(set.owner.log).toEqual(["report 200"]);
  });

  it("is known to its next owner without being asked, and a dead one is not alive again", async () => {
    const set = await setUp();
    set.want("one");
    await set.clock.advance(4 * minuteMs);
    const known = set.owner.pusher.checkpoint(id);
    await set.stopHost();
    await set.owner.stop();
    const next = startOwner(set.objects, set.clock, set.contents);
    running.push(next.stop);
    const { to: _, ...wish } = set.wish("one", next.pusher);
    next.pusher.upsert(wish, "load", known);
    await set.clock.advance(60 * minuteMs);
    expect(next.log).toEqual(["ok>suspect", "suspect>unreachable"]);
  });
});

describe("a host that can no longer be dialled", () => {
  it("is heard through the object store, and is not unreachable", async () => {
    const set = await setUp(["dial", "object"]);
    set.want("one");
    await set.clock.advance(15 * minuteMs);
    expect(set.held()).toBe("one");
    expect(set.owner.pusher.counts().sync).toMatchObject({ applied: 1 });
    expect(set.owner.pusher.status(id)).toMatchObject({
      reachability: "ok",
      lastError: { class: "onFallback" },
    });
    expect(set.owner.pusher.via(id)).toBe("object");
  });
});
