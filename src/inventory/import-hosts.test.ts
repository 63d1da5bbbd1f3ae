import { describe, expect, it } from "vitest";
import { createRandom } from "../kernel/random.ts";
import { limits } from "../protocol/limits.ts";
import { MemoryStore, type StoreCall } from "../store/memory-store.ts";
import { keys, type Key } from "../store/store.ts";
import { encodeHost } from "./host-codec.ts";
import { parseHostId } from "./host.ts";
import { HostStore, recordOf } from "./hosts.ts";
import { importHosts, type ImportOutcome } from "./import-hosts.ts";
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
const isHostPut = (call: StoreCall, { sk }: Key) => call === "put" && sk.startsWith("host#");
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

  it("are those from the first failed write on, while the written ones are announced", async () => {
    const { hosts, store } = create();
    store.faults = failCalls(isHostPut, 1, 2);
    const outcomes = await importHosts(hosts, lines(5), update);
    expect(words(outcomes)).toEqual([
      "created",
      "created",
      "STORE_UNAVAILABLE",
      "STORE_UNAVAILABLE",
      "STORE_UNAVAILABLE",
    ]);
    const { hosts: stored, revision } = await hosts.load(0);
    expect(stored.map(({ id }) => id)).toEqual(["h0", "h1"]);
    expect(revision).toBeGreaterThan(Math.max(...stored.map((host) => host.revision)));
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
    let increments = 0;
    let puts = 0;
    store.faults = {
      after(call) {
        if (call === "increment") increments++;
        if (call === "put") puts++;
      },
    };
    await importHosts(hosts, many, update);
    expect([increments, puts]).toEqual([8, 100]);
    expect(new Set(words(await importHosts(hosts, many, update)))).toEqual(new Set(["unchanged"]));
    expect([increments, puts]).toEqual([8, 100]);
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
    for (const pick of [isHostPut, isIncrement]) {
      store.faults = loseAnswers(pick, 2);
      const port = pick === isHostPut ? 0 : 100;
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
    store.faults = interleave(isHostPut, async () => void (await hosts.put(input(0, 51))));
    expect(words(await importHosts(hosts, lines(2), update))).toEqual(["updated", "created"]);
    expect((await hosts.get(parseHostId("h0")))?.address).toBe("http://127.0.0.1:1");
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
          if (random.next() < 0.05 && (call === "put" || call === "increment"))
            throw new Error("lost");
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
  store.faults = {
    before: (call) => {
      calls[call] = (calls[call] ?? 0) + 1;
    },
  };
  await run(hosts);
  return calls;
};

describe("what an import asks of the store", () => {
  it("is one read for all partitions that were never used, and two counts a partition", async () => {
    const calls = await callsOf((hosts) => importHosts(hosts, lines(8), update));
    expect(calls).toEqual({ getMany: 1, increment: 8, put: 8 });
  });

  it("is one read more for each partition that has hosts", async () => {
    const calls = await callsOf(async (hosts) => {
      await importHosts(hosts, lines(2), update);
      await importHosts(hosts, lines(8), update);
    });
    expect(calls).toEqual({ getMany: 2, query: 2, increment: 12, put: 8 });
  });

  it("goes on partition by partition where that read fails", async () => {
    const { hosts, store } = create(2);
    store.faults = failCalls((call) => call === "getMany", 1);
    expect(words(await importHosts(hosts, lines(4), update))).toEqual(Array(4).fill("created"));
  });
});
