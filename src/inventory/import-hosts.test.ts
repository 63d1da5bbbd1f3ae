import { describe, expect, it } from "vitest";
import { createRandom } from "../kernel/random.ts";
import { limits } from "../protocol/limits.ts";
import { MemoryStore, type StoreCall } from "../store/memory-store.ts";
import { keys, type Key } from "../store/store.ts";
import { encodeHost } from "./host-codec.ts";
import { packIndexOf } from "./host-pack.ts";
import { parseHostId } from "./host.ts";
import { HostStore, recordOf } from "./hosts.ts";
import { importHosts } from "./import-hosts.ts";
import type { ImportOutcome } from "./import-plan.ts";
import { failCalls, interleave, loseAnswers } from "./test-faults.ts";

const update = { onExisting: "update" } as const;
const digest = `sha256:${"1".repeat(64)}`;

function create(partitions = 1) {
  const store = new MemoryStore();
  const partitionOf = (id: string) => Number(id.slice(1)) % partitions;
  return { store, hosts: new HostStore({ store, partitionOf }) };
}

const input = (number: number, port = number) => ({
  id: parseHostId(`h${number}`),
  address: `http://127.0.0.1:${port}`,
  labels: {},
});
const lines = (count: number, port = 0) =>
  Array.from({ length: count }, (_, at) => ({ line: at + 1, input: input(at, at + 1 + port) }));
const words = (outcomes: readonly ImportOutcome[]) =>
  outcomes.map((each) => (each.outcome === "failed" ? each.error.code : each.outcome));
const isHostWrite = (call: StoreCall, { sk }: Key) => call === "put" && sk.startsWith("host");
const isIncrement = (call: StoreCall) => call === "increment";

describe("lines that fail", () => {
  it("do so alone: a repeated id, a host that exists, a damaged record", async () => {
    const { hosts, store } = create();
    await hosts.put(input(1, 99));
    await store.put({ ...keys.host(0, "h2"), attributes: { revision: 1 } });
    const outcomes = await importHosts(
      hosts,
      [...lines(3), { line: 9, input: input(0, 7) }, { line: 10, input: input(3) }],
      { onExisting: "refuse" },
    );
    expect(words(outcomes)).toEqual([
      "created",
      "HOST_EXISTS",
      "STORE_CORRUPT",
      "HOST_INVALID",
      "created",
    ]);
    expect(outcomes[3]).toMatchObject({
      line: 9,
      id: "h0",
      error: { message: expect.stringContaining("lines 1 and 9") },
    });
    expect((await hosts.get(parseHostId("h0")))?.address).toBe("http://127.0.0.1:1");
  });

  it("are those beyond the room of their partition", async () => {
    const { hosts, store } = create();
    const attributes = encodeHost(recordOf(input(1, 50_000), 1));
    store.restore(
      Array.from({ length: limits.hostsPerPartitionMax - 2 }, (_, at) => ({
        ...keys.host(0, `h${1_000 + at}`),
        attributes,
      })),
    );
    await hosts.partitions.next(0);
    expect(words(await importHosts(hosts, lines(4), update))).toEqual([
      "created",
      "created",
      "PARTITION_FULL",
      "PARTITION_FULL",
    ]);
  });

  it("are all of a partition that cannot be read, and no others", async () => {
    const { hosts, store } = create(2);
    await hosts.partitions.next(1);
    store.faults = failCalls((call, { pk }) => call === "query" && pk === "part#1", 1);
    expect(words(await importHosts(hosts, lines(4), update))).toEqual([
      "created",
      "STORE_UNAVAILABLE",
      "created",
      "STORE_UNAVAILABLE",
    ]);
  });

  it("are those of a pack that was not written and of later ones, while the written ones are announced", async () => {
    const { hosts, store } = create(2);
    store.faults = failCalls((call, key) => isHostWrite(call, key) && key.pk === "part#0", 1, 2);
    const outcomes = words(await importHosts(hosts, lines(12), update));
    // In part#0 are, pack by pack: h0 and h4 and h8; h2; h6 and h10 in two others.
    const byId = new Map(outcomes.map((word, at) => [`h${at}`, word]));
    const { hosts: stored, revision } = await hosts.load(0);
    expect(stored.length).toBeGreaterThan(0);
    expect(stored.length).toBeLessThan(6);
    for (let at = 0; at < 12; at += 2) {
      const isStored = stored.some(({ id }) => id === `h${at}`);
      expect(byId.get(`h${at}`)).toBe(isStored ? "created" : "STORE_UNAVAILABLE");
    }
    expect(revision).toBeGreaterThan(Math.max(...stored.map((host) => host.revision)));
    expect((await hosts.load(1)).hosts).toHaveLength(6);
    expect(new Set(words(await importHosts(hosts, lines(12), update)))).toEqual(
      new Set(["created", "unchanged"]),
    );
  });

  it("are those of hosts with an item of their own that come after a failure", async () => {
    const { hosts, store } = create();
    for (let at = 0; at < 4; at++) await hosts.put(input(at, 900 + at));
    store.faults = failCalls((call, { sk }) => call === "put" && sk === "host#h1", 1);
    expect(words(await importHosts(hosts, lines(6), update))).toEqual([
      "updated",
      "STORE_UNAVAILABLE",
      "STORE_UNAVAILABLE",
      "STORE_UNAVAILABLE",
      "created",
      "created",
    ]);
    expect((await hosts.get(parseHostId("h2")))?.address).toBe("http://127.0.0.1:902");
  });

  it("are all of a partition that gave no number, of which nothing is written", async () => {
    const { hosts, store } = create(2);
    store.faults = failCalls((call, { pk }) => isIncrement(call) && pk === "part#0", 1);
    expect(words(await importHosts(hosts, lines(4), update))).toEqual([
      "STORE_UNAVAILABLE",
      "created",
      "STORE_UNAVAILABLE",
      "created",
    ]);
    expect(await hosts.get(parseHostId("h0"))).toBeUndefined();
  });

  it("are all written ones where the head could not be moved, and a repetition moves it", async () => {
    const { hosts, store } = create();
    store.faults = failCalls(isIncrement, 1, 1);
    expect(words(await importHosts(hosts, lines(2), update))).toEqual([
      "STORE_UNAVAILABLE",
      "STORE_UNAVAILABLE",
    ]);
    expect(words(await importHosts(hosts, lines(2), update))).toEqual(["unchanged", "unchanged"]);
    const { hosts: stored, revision } = await hosts.load(0);
    expect(revision).toBeGreaterThan(Math.max(...stored.map((host) => host.revision)));
  });

  it("pass defects through instead of reporting them as outcomes", async () => {
    const { hosts, store } = create();
    store.faults = {
      before() {
        throw new TypeError("a defect");
      },
    };
    await expect(importHosts(hosts, lines(1), update)).rejects.toThrow(TypeError);
  });
});

describe("an import", () => {
  it("creates, updates with pins kept, and leaves alone what is as asked", async () => {
    const { hosts } = create();
    await hosts.put(input(1));
    await hosts.put({ ...input(2, 77), pins: { c: digest } });
    const outcomes = await importHosts(
      hosts,
      [0, 1, 2].map((number) => ({ line: number + 2, input: input(number) })),
      update,
    );
    expect(outcomes).toEqual([
      { line: 2, id: "h0", outcome: "created" },
      { line: 3, id: "h1", outcome: "unchanged" },
      { line: 4, id: "h2", outcome: "updated" },
    ]);
    expect(await hosts.get(parseHostId("h2"))).toMatchObject({ pins: { c: digest }, ...input(2) });
  });

  it("moves each partition's head twice however many hosts it has, and not at all the second time", async () => {
    const { hosts, store } = create(4);
    const many = lines(100, 1_000);
    const counts = { increment: 0, put: 0 };
    store.faults = {
      after(call) {
        if (call === "increment" || call === "put") counts[call]++;
      },
    };
    await importHosts(hosts, many, update);
    expect(counts).toEqual({ increment: 8, put: 16 });
    expect(new Set(words(await importHosts(hosts, many, update)))).toEqual(new Set(["unchanged"]));
    expect(counts).toEqual({ increment: 8, put: 16 });
  });

  it("writes alone what no pack has room for", async () => {
    const { hosts, store } = create();
    const packMax = limits.hostsPerPartitionMax / 2;
    const crowd = lines(5_000)
      .filter(({ input: { id } }) => packIndexOf(id) === 0)
      .slice(0, packMax + 3);
    expect(new Set(words(await importHosts(hosts, crowd, update)))).toEqual(new Set(["created"]));
    expect(store.dump().filter(({ sk }) => sk.startsWith("host#"))).toHaveLength(3);
    expect((await hosts.load(0)).hosts).toHaveLength(packMax + 3);
    expect(new Set(words(await importHosts(hosts, crowd, update)))).toEqual(new Set(["unchanged"]));
  });

  it("says in a dry run what it would do, and writes nothing", async () => {
    const { hosts, store } = create();
    await hosts.put(input(1, 99));
    const before = store.dump();
    const dry = await importHosts(hosts, lines(3), { onExisting: "refuse", isDryRun: true });
    expect(words(dry)).toEqual(["created", "HOST_EXISTS", "created"]);
    expect(store.dump()).toEqual(before);
  });

  it("has at most 16 partitions under way", async () => {
    const { hosts, store } = create(64);
    let underWay = 0;
    let most = 0;
    store.faults = {
      async before() {
        most = Math.max(most, ++underWay);
        await new Promise((resolve) => {
          setImmediate(resolve);
        });
      },
      after() {
        underWay--;
      },
    };
    await importHosts(hosts, lines(200), update);
    expect(most).toBe(16);
  });

  it("survives lost answers to every kind of write", async () => {
    const { hosts, store } = create(2);
    for (const pick of [isHostWrite, isIncrement]) {
      store.faults = loseAnswers(pick, 2);
      const port = pick === isHostWrite ? 0 : 100;
      const outcomes = words(await importHosts(hosts, lines(6, port), update));
      expect(outcomes.every((word) => word === "created" || word === "updated")).toBe(true);
    }
    expect((await hosts.load(0)).hosts.map(({ address }) => address)).toEqual([
      "http://127.0.0.1:101",
      "http://127.0.0.1:103",
      "http://127.0.0.1:105",
    ]);
  });

  it("decides again for a host that someone changed meanwhile", async () => {
    const { hosts, store } = create();
    await hosts.put(input(0, 50));
    store.faults = interleave(isHostWrite, async () => void (await hosts.put(input(0, 51))));
    expect(words(await importHosts(hosts, lines(2), update))).toEqual(["updated", "created"]);
    expect((await hosts.get(parseHostId("h0")))?.address).toBe("http://127.0.0.1:1");
  });

  it("decides again for a host that someone created meanwhile, and writes the rest", async () => {
    const { hosts, store } = create();
    store.faults = interleave(isHostWrite, async () => void (await hosts.put(input(1, 51))));
    expect(words(await importHosts(hosts, lines(3), update))).toEqual([
      "created",
      "updated",
      "created",
    ]);
    expect((await hosts.get(parseHostId("h1")))?.address).toBe("http://127.0.0.1:2");
    const { hosts: stored, revision } = await hosts.load(0);
    expect(revision).toBeGreaterThan(Math.max(...stored.map((host) => host.revision)));
  });

  it("decides again for all of a pack that someone else wrote meanwhile", async () => {
    const { hosts, store } = create();
    store.faults = interleave(isHostWrite, async () => {
      expect(words(await importHosts(hosts, lines(8), update))).toEqual(Array(8).fill("created"));
    });
    const second = lines(10).map((each, at) => (at < 4 ? { ...each, input: input(at, 70) } : each));
    expect(words(await importHosts(hosts, second, update))).toEqual([
      ...Array<string>(4).fill("updated"),
      ...Array<string>(4).fill("unchanged"),
      ...Array<string>(2).fill("created"),
    ]);
    expect((await hosts.load(0)).hosts).toHaveLength(10);
    expect(store.dump().filter(({ sk }) => sk.startsWith("host#"))).toEqual([]);
  });

  it("writes hosts alone where others write the same pack all the time", async () => {
    const { hosts, store } = create();
    await importHosts(hosts, lines(8), update);
    let revision = 1_000;
    store.faults = {
      async before(call, key) {
        if (call === "put" && key.sk.startsWith("hosts#"))
          await store.update(key, { set: { revision: revision++ } });
      },
    };
    const outcomes = words(await importHosts(hosts, [{ line: 1, input: input(20) }], update));
    expect(outcomes).toEqual(["created"]);
    expect(store.dump().map(({ sk }) => sk)).toContain("host#h20");
  });

  it("beside another one never loses a host that it acknowledged, nor hides it from the owner", async () => {
    for (let seed = 0; seed < 20; seed++) {
      const { hosts, store } = create(3);
      const random = createRandom(`import ${seed}`);
      store.faults = {
        async before() {
          for (let turns = Math.floor(random.next() * 5); turns > 0; turns--)
            await Promise.resolve();
        },
        after(call) {
          if (random.next() < 0.05 && ["put", "increment"].includes(call)) throw new Error("lost");
        },
      };
      const both = await Promise.all([
        importHosts(hosts, lines(12), update),
        importHosts(hosts, lines(12).slice(4), update),
      ]);
      store.faults = {};
      const loads = await Promise.all([0, 1, 2].map((partition) => hosts.load(partition)));
      const stored = new Map(loads.flatMap((each) => each.hosts).map((host) => [host.id, host]));
      for (const outcome of both.flat()) {
        if (outcome.outcome === "failed") continue;
        const host = stored.get(parseHostId(outcome.id));
        expect(host?.address).toBe(`http://127.0.0.1:${Number(outcome.id.slice(1)) + 1}`);
        const load = loads[Number(outcome.id.slice(1)) % 3];
        expect(load?.revision).toBeGreaterThan(host?.revision ?? Infinity);
      }
    }
  });
});

const callsOf = async (run: (hosts: HostStore) => Promise<unknown>) => {
  const { hosts, store } = create(4);
  const calls: Partial<Record<StoreCall, number>> = {};
  store.faults = { before: (call) => void (calls[call] = (calls[call] ?? 0) + 1) };
  await run(hosts);
  return calls;
};

describe("what an import asks of the store", () => {
  it("is one read for all partitions that were never used, two counts a partition, one write a pack", async () => {
    const calls = await callsOf((hosts) => importHosts(hosts, lines(400), update));
    expect(calls).toEqual({ getMany: 1, increment: 8, put: 16 });
  });

  it("is the same where hosts are changed, and one read more for each partition", async () => {
    const calls = await callsOf(async (hosts) => {
      await importHosts(hosts, lines(400), update);
      await importHosts(hosts, lines(400, 500), update);
    });
    expect(calls).toEqual({ getMany: 2, query: 4, increment: 16, put: 32 });
  });

  it("goes on partition by partition where that read fails", async () => {
    const { hosts, store } = create(2);
    store.faults = failCalls((call) => call === "getMany", 1);
    expect(words(await importHosts(hosts, lines(4), update))).toEqual(Array(4).fill("created"));
  });
});
