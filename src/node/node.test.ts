import { describe, expect, test } from "vitest";
import { createInventory } from "../inventory/inventory.ts";
import { parseHostInput } from "../inventory/host.ts";
import { CoxswainError } from "../kernel/errors.ts";
import { silentLogger } from "../kernel/log.ts";
import { ManualClock } from "../kernel/manual-clock.ts";
import { createMetrics } from "../kernel/metrics.ts";
import { resolveOptions } from "../kernel/options.ts";
import { createRandom } from "../kernel/random.ts";
import { ensureView } from "../membership/view-store.ts";
import type { Transport } from "../push/transport.ts";
import { partitionOf } from "../ring/hash.ts";
import { initialiseCluster } from "../store/meta.ts";
import { MemoryStore } from "../store/memory-store.ts";
import type { Key } from "../store/store.ts";
import { createNode } from "./node.ts";
import { nodeOptionRules, nodeOptions } from "./options.ts";
import type { Peers } from "./peers.ts";

const partitions = 64;

async function oneNode() {
  const store = new MemoryStore();
  const clock = new ManualClock();
  const random = createRandom("node");
  const { meta } = await initialiseCluster(store, { partitions }, { clock, random });
  await ensureView(store);
  const inventory = createInventory({
    store,
    random: random.fork("operator"),
    partitionOf: (id) => partitionOf(id, partitions),
  });
  await inventory.hosts.put(parseHostInput({ id: "h1", address: "http://h1:9000" }));
  const by = { author: "t", at: "2026-01-01T00:00:00.000Z" };
  const content = Buffer.from("content");
  const { digest } = await inventory.releases.put("app", content, { author: "t", atIso: by.at });
  await inventory.rollouts.start({ config: "app", digest, selector: "", ...by });
  const bodies: string[] = [];
  const transport: Transport = {
    async exchange({ body }) {
      bodies.push(body?.toString() ?? "");
      return { kind: "failed", failure: "refused", message: "refused", sent: false };
    },
    drop: () => {},
    socketCount: 0,
  };
  const peers: Peers = {
    call: async () => {
      throw new CoxswainError("MEMBER_UNREACHABLE", "no peer");
    },
    probe: async () => "unknown",
    close: async () => {},
  };
  const metrics = createMetrics();
  const options = resolveOptions(nodeOptions, {}, nodeOptionRules);
  const node = createNode(
    { store, clock, random, log: silentLogger, metrics, peers, transport },
    { meta, options, apiUrl: "http://a:1", fleetUrl: "http://a:2", version: "0" },
  );
  const stopping = new AbortController();
  const stop = async (ended: Promise<unknown>) => {
    stopping.abort(new Error("stop"));
    await clock.advance(60_000);
    return ended;
  };
  return { store, clock, node, bodies, metrics, stopping, stop };
}

const away = () => {
  throw new CoxswainError("STORE_UNAVAILABLE", "the store is away");
};
const isFleet = ({ pk, sk }: Key) => pk === "cluster" && sk === "fleet";

describe("a node", () => {
  test("pushes nothing and is not ready before it knows the rules", async () => {
    const { store, clock, node, bodies, stopping, stop } = await oneNode();
    store.faults = { before: (_call, key) => (isFleet(key) ? away() : undefined) };
    const ended = node.run(stopping.signal);
    await clock.advance(10_000);
    expect(node.readiness()).toMatchObject({ member: "active", isReady: false });
    expect(bodies).toEqual([]);
    store.faults = {};
    await clock.advance(5_000);
    expect(node.readiness().isReady).toBe(true);
    expect(bodies[0]).toContain('"name":"app"');
    expect(await stop(ended)).toBe("left");
  });

  test("leaves in order and leaves no timer behind", async () => {
    const { clock, node, stopping, stop } = await oneNode();
    const ended = node.run(stopping.signal);
    await clock.advance(5_000);
    expect(node.readiness().isReady).toBe(true);
    expect(await stop(ended)).toBe("left");
    expect([node.readiness().member, clock.timerCount]).toEqual(["left", 0]);
    expect(node.events.page(0).events.map(({ type }) => type)).toContain("node.stopping");
  });

  test("that is told to stop while it waits for the store ends at once", async () => {
    const { store, clock, node, stopping } = await oneNode();
    store.faults = { before: away };
    const ended = node.run(stopping.signal);
    const outcome = ended.catch((error: unknown) => error);
    await clock.advance(10_000);
    const reason = new Error("stop");
    stopping.abort(reason);
    await clock.advance(1);
    expect(await outcome).toBe(reason);
    expect(clock.timerCount).toBe(0);
  });

  test("goes on pushing while the store is away", async () => {
    const { store, clock, node, bodies, stopping, stop } = await oneNode();
    const ended = node.run(stopping.signal);
    await clock.advance(5_000);
    store.faults = { before: away };
    await clock.advance(5_000);
    const before = bodies.length;
    await clock.advance(120_000);
    expect(bodies.length).toBeGreaterThan(before);
    expect(node.readiness()).toMatchObject({ isReady: true, isStoreReachable: false });
    store.faults = {};
    await clock.advance(5_000);
    expect(await stop(ended)).toBe("left");
  });
});
