/** Whole nodes over one memory store and hosts that follow the protocol; the table is lost under them. */
import assert from "node:assert/strict";
import { describe, expect, test } from "vitest";
import { parseHostInput, type HostId } from "../inventory/host.ts";
import { createInventory } from "../inventory/inventory.ts";
import { CoxswainError } from "../kernel/errors.ts";
import { silentLogger } from "../kernel/log.ts";
import { ManualClock } from "../kernel/manual-clock.ts";
import { createMetrics } from "../kernel/metrics.ts";
import { resolveOptions } from "../kernel/options.ts";
import { createRandom } from "../kernel/random.ts";
import { decodeMember } from "../membership/member.ts";
import { ensureView, readView } from "../membership/view-store.ts";
import { FakeHost } from "../push/fake-fleet.ts";
import type { Transport } from "../push/transport.ts";
import { partitionOf } from "../ring/hash.ts";
import { MemoryStore } from "../store/memory-store.ts";
import { initialiseCluster } from "../store/meta.ts";
import { keys } from "../store/store.ts";
import { createNode, type Node } from "./node.ts";
import { nodeOptionRules, nodeOptions } from "./options.ts";
import type { Peers } from "./peers.ts";

const partitions = 64;
const by = { author: "t", at: "2026-01-01T00:00:00.000Z" };

class Fleet {
  readonly store = new MemoryStore();
  readonly clock = new ManualClock();
  readonly random = createRandom("recovery");
  readonly hosts = new Map<string, FakeHost>();
  readonly nodes = new Map<
    string,
    { node: Node; stop: AbortController; ended: Promise<unknown> }
  >();
  readonly inventory = createInventory({
    store: this.store,
    random: this.random.fork("operator"),
    partitionOf: (id) => partitionOf(id, partitions),
  });

  /** Exchanges that do not end: node, space, address. */
  readonly hangs = new Map<string, PromiseWithResolvers<void>>();

  hang(address: string, slot: string): void {
    this.hangs.set(`${slot} ${address}`, Promise.withResolvers<void>());
  }

  async init(clusterId = "test"): Promise<void> {
    const { clock, random } = this;
    await initialiseCluster(this.store, { partitions, clusterId }, { clock, random });
    await ensureView(this.store);
  }

  async addHosts(count: number): Promise<void> {
    for (let index = 0; index < count; index++) {
      const id = `h${this.hosts.size}`;
      this.hosts.set(`http://${id}:9000`, new FakeHost(id as HostId));
      await this.inventory.hosts.put(parseHostInput({ id, address: `http://${id}:9000` }));
    }
  }

  async publish(config: string, text: string): Promise<string> {
    const content = { author: by.author, atIso: by.at };
    const { digest } = await this.inventory.releases.put(config, Buffer.from(text), content);
    return digest;
  }

  /** Publishes a content and puts it on all hosts; returns its digest. */
  async rollout(config: string, text: string): Promise<string> {
    const digest = await this.publish(config, text);
    await this.inventory.rollouts.start({ config, digest, selector: "", ...by });
    return digest;
  }

  add(slot: string, flags: Record<string, string> = {}): Node {
    const { store, clock } = this;
    const random = this.random.fork(`${slot}/${this.nodes.size}`);
    const options = resolveOptions(nodeOptions, { flags: { slot, ...flags } }, nodeOptionRules);
    const meta = { schema: 1, clusterId: "test", partitions, hash: "coxswain-1", createdAt: by.at };
    const urls = { apiUrl: `http://${slot}:1`, fleetUrl: `http://${slot}:2` };
    const transport: Transport = {
      exchange: async (request) => {
        await clock.sleep(5);
        const host = this.hosts.get(request.origin);
        const hung = this.hangs.get(`${slot} ${request.origin}`);
        if (hung !== undefined) await hung.promise;
        if (host !== undefined) return host.answer(request, clock.monotonicMs());
        return { kind: "failed", failure: "refused", message: "nobody", sent: false };
      },
      drop: () => {},
      socketCount: 0,
    };
    const peers = this.#peers();
    const metrics = createMetrics();
    const ports = { store, clock, random, log: silentLogger, metrics, peers, transport };
    const node = createNode(ports, { meta, options, version: "0", ...urls });
    const stop = new AbortController();
    const ended = node.run(stop.signal).catch((error: unknown) => error);
    this.nodes.set(slot, { node, stop, ended });
    return node;
  }

  async stop(slot: string): Promise<unknown> {
    const entry = this.nodes.get(slot);
    if (entry === undefined) throw new Error(`no node ${slot}`);
    entry.stop.abort(new Error("stop"));
    await this.clock.advance(30_000);
    return entry.ended;
  }

  async stopAll(): Promise<void> {
    for (const { stop } of this.nodes.values()) stop.abort(new Error("stop"));
    await this.clock.advance(90_000);
    for (const { ended } of this.nodes.values()) await ended;
    assert.equal(this.clock.timerCount, 0, "Expected stopped nodes to leave no timer");
  }

  /** Advances second by second; no host may ever hold fewer configs than `atLeast`. */
  async watch(durationMs: number, atLeast: number): Promise<void> {
    for (let elapsedMs = 0; elapsedMs < durationMs; elapsedMs += 250) {
      await this.clock.advance(250);
      for (const { id, held } of this.hosts.values()) {
        if (held.size < atLeast) throw new Error(`${id} holds ${held.size} configs`);
      }
    }
  }

  heldOf(config: string): Set<string | undefined> {
    return new Set([...this.hosts.values()].map(({ held }) => held.get(config)));
  }

  async member(slot: string) {
    const item = await this.store.get(keys.member(slot));
    return item === undefined ? undefined : decodeMember(item);
  }

  #peers(): Peers {
    return {
      call: async (fleetUrl, name, ask) => {
        await this.clock.sleep(2);
        const { node } = this.nodes.get(new URL(fleetUrl).hostname) ?? {};
        if (node === undefined) throw new CoxswainError("MEMBER_UNREACHABLE", "no such peer");
        return (await node.answerPeer(name, ask)) as never;
      },
      probe: async (fleetUrl) => {
        await this.clock.sleep(2);
        return this.nodes.has(new URL(fleetUrl).hostname) ? "answered" : "refused";
      },
      close: async () => {},
    };
  }
}

async function running(slots: readonly string[]): Promise<Fleet> {
  const fleet = new Fleet();
  await fleet.init();
  await fleet.addHosts(30);
  await fleet.rollout("one", "1");
  for (const slot of slots) fleet.add(slot);
  await fleet.clock.advance(10_000);
  expect([...fleet.hosts.values()].map(({ held }) => held.size)).toEqual(Array(30).fill(1));
  return fleet;
}

const generationOf = async ({ store }: Fleet) => (await readView(store))?.generation;

describe("a table that is lost under running nodes (R12)", () => {
  test("emptied: no host loses a config, and all that nodes knew is back", async () => {
    const fleet = await running(["a", "b"]);
    await fleet.rollout("two", "2");
    await fleet.clock.advance(5_000);
    fleet.store.restore([]);
    await fleet.watch(10_000, 2);
    expect(await generationOf(fleet)).toBe(2);
    // One sweep tells every host.
    await fleet.watch(65_000, 2);
    expect((await fleet.inventory.fleets.read()).rules).toHaveLength(2);
    for (const { id, fence } of fleet.hosts.values()) {
      expect(await fleet.inventory.hosts.get(id)).toBeDefined();
      expect(fence.generation).toBe(2);
    }
    // Life goes on: a node that knew nothing of it joins, and changes arrive everywhere.
    fleet.add("c");
    await fleet.watch(15_000, 2);
    await fleet.addHosts(3);
    const three = await fleet.rollout("three", "3");
    await fleet.clock.advance(15_000);
    // Contents are in no node's keeping: who lacks one waits until the same bytes are published again.
    expect(fleet.heldOf("three")).toContain(undefined);
    await fleet.publish("one", "1");
    await fleet.publish("two", "2");
    await fleet.clock.advance(65_000);
    expect(fleet.heldOf("three")).toEqual(new Set([three]));
    await fleet.stopAll();
  });

  test.each([
    { what: "to before a view", generation: 2 },
    { what: "to the same view", generation: 1 },
  ])("rolled back $what: hosts keep the newer release, the table has its rule", async (given) => {
    const fleet = await running(["a", "b"]);
    const backup = fleet.store.dump();
    if (given.generation === 2) fleet.add("c");
    const two = await fleet.rollout("one", "2");
    await fleet.addHosts(5);
    await fleet.clock.advance(15_000);
    expect(fleet.heldOf("one")).toEqual(new Set([two]));
    fleet.store.restore(backup);
    for (let second = 0; second < 30; second++) {
      await fleet.clock.advance(1_000);
      expect(fleet.heldOf("one")).toEqual(new Set([two]));
    }
    expect(await generationOf(fleet)).toBe(given.generation);
    expect((await fleet.inventory.fleets.read()).rules).toMatchObject([{ digest: two }]);
    expect(await fleet.inventory.hosts.get("h34" as HostId)).toBeDefined();
    await fleet.stopAll();
  });

  test("emptied again and again while nodes come and go: still no host loses a config", async () => {
    const fleet = await running(["a", "b", "c"]);
    for (let round = 0; round < 4; round++) {
      fleet.store.restore([]);
      await fleet.watch(2_000 + round * 1_300, 1);
      const slot = "abc".charAt(round % 3);
      const stopped = fleet.stop(slot);
      await stopped;
      await fleet.watch(1_000, 1);
      fleet.add(slot);
      await fleet.watch(45_000, 1);
    }
    expect(await generationOf(fleet)).toBe(5);
    expect((await fleet.inventory.fleets.read()).rules).toHaveLength(1);
    for (const { id } of fleet.hosts.values()) {
      expect(await fleet.inventory.hosts.get(id)).toBeDefined();
    }
    await fleet.stopAll();
  }, 60_000);

  test("changes are refused until the nodes have put the table right", async () => {
    const fleet = await running(["a", "b"]);
    const { node } = fleet.nodes.get("a") ?? {};
    // Without the write of the view the loss does not end.
    fleet.store.faults = {
      before: (call, key) => {
        if (call === "put" && key.sk === "view") throw new CoxswainError("STORE_UNAVAILABLE", "no");
      },
    };
    fleet.store.restore([]);
    await fleet.clock.advance(1_500);
    const body = { config: "one", digest: null, selector: "" };
    const code = { code: "STORE_WENT_BACK" };
    await expect(node?.operations.startRollout(body, "t")).rejects.toMatchObject(code);
    await expect(node?.operations.deleteHost("h1", "t")).rejects.toMatchObject(code);
    await expect(node?.operations.evictMember("b", "t")).rejects.toMatchObject(code);
    fleet.store.faults = {};
    await fleet.clock.advance(10_000);
    await node?.operations.deleteHost("h1", "t");
    await fleet.stopAll();
  });

  test("another cluster's table in its place is left as it is", async () => {
    const fleet = await running(["a", "b"]);
    fleet.store.restore([]);
    await fleet.init("other");
    const before = fleet.store.dump().filter(({ pk }) => pk !== "member");
    await fleet.watch(30_000, 1);
    const after = fleet.store.dump().filter(({ pk }) => pk !== "member");
    expect(after).toEqual(before);
    await fleet.stopAll();
  });

  test("rules or hosts that vanish alone are written back as they were", async () => {
    const fleet = await running(["a", "b"]);
    const { revision } = await fleet.inventory.fleets.read();
    const partition = partitionOf("h3", partitions);
    await fleet.store.delete(keys.fleet);
    await fleet.store.delete(keys.host(partition, "h3"));
    await fleet.store.delete(keys.head(partition));
    await fleet.watch(20_000, 1);
    expect(await fleet.inventory.fleets.read()).toMatchObject({ revision, rules: [{}] });
    expect(await fleet.inventory.hosts.get("h3" as HostId)).toBeDefined();
    expect(await generationOf(fleet)).toBe(1);
    await fleet.stopAll();
  });
});

describe("what a node says of itself", () => {
  test("its hosts, finished pushes and queue go out with the beats, at no extra write", async () => {
    const fleet = await running(["a"]);
    const before = await fleet.member("a");
    expect(before).toMatchObject({ hosts: 30, queued: 0, stalledBeats: 0 });
    expect(before?.pushes).toBeGreaterThanOrEqual(30);
    let writesCount = 0;
    fleet.store.faults = {
      before: (call, { sk }) => void (writesCount += call === "update" && sk === "a" ? 1 : 0),
    };
    await fleet.addHosts(1);
    await fleet.clock.advance(60_000);
    expect(await fleet.member("a")).toMatchObject({ hosts: 31 });
    expect((await fleet.member("a"))?.pushes).toBeGreaterThan(before?.pushes ?? 0);
    expect(writesCount).toBeLessThanOrEqual(67);
    await fleet.stopAll();
  });

  test("a wedged pusher shows within 60 s, and the slice moves (R15)", async () => {
    const fleet = await running(["a", "b"]);
    const wedged = new Set<string>();
    for (const [address, host] of fleet.hosts) {
      const { node } = fleet.nodes.get("b") ?? {};
      const { owner } = (node?.operations.placement(host.id) ?? {}) as { owner?: string };
      if (owner === "b") wedged.add(address);
    }
    expect(wedged.size).toBeGreaterThan(0);
    // Replies of b's hosts never come, and neither does any deadline.
    for (const address of wedged) fleet.hang(address, "b");
    await fleet.rollout("two", "2");
    await fleet.clock.advance(60_000);
    expect((await readView(fleet.store))?.members.map(({ slot }) => slot)).toEqual(["a"]);
    await fleet.clock.advance(10_000);
    expect([...fleet.hosts.values()].filter(({ held }) => held.size === 2)).toHaveLength(30);
    for (const hung of fleet.hangs.values()) hung.resolve();
    fleet.hangs.clear();
    await fleet.stopAll();
  });
});

describe("a node that is told to stop with a restart grace (R10)", () => {
  test("keeps its slot and pushes nothing; its next process takes up where it was", async () => {
    const fleet = await running(["a", "b"]);
    await fleet.stop("b");
    fleet.add("b", { restartGrace: "30s" });
    await fleet.clock.advance(10_000);
    const view = await readView(fleet.store);
    const stopped = fleet.nodes.get("b");
    stopped?.stop.abort(new Error("stop"));
    await fleet.clock.advance(1_000);
    expect(await stopped?.ended).toBe("left");
    fleet.nodes.delete("b");
    const requests = () => [...fleet.hosts.values()].flatMap((host) => host.requests).length;
    expect(await fleet.member("b")).toMatchObject({ intent: "restart", graceMs: 30_000 });
    const two = await fleet.rollout("two", "2");
    await fleet.clock.advance(20_000);
    expect(await readView(fleet.store)).toEqual(view);
    expect(fleet.heldOf("two")).toEqual(new Set([two, undefined]));
    const before = requests();
    fleet.add("b", { restartGrace: "30s" });
    await fleet.clock.advance(5_000);
    expect(requests()).toBeGreaterThan(before);
    expect(fleet.heldOf("two")).toEqual(new Set([two]));
    expect((await readView(fleet.store))?.version).toBe((view?.version ?? 0) + 1);
    await fleet.stopAll();
  });
});
