import { describe, expect, it } from "vitest";
import { CoxswainError } from "../kernel/errors.ts";
import { createRandom } from "../kernel/random.ts";
import { limits } from "../protocol/limits.ts";
import { MemoryStore, type StoreCall } from "../store/memory-store.ts";
import { keys, type Key } from "../store/store.ts";
import { encodeHost } from "./host-codec.ts";
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
const isHostWrite = (call: StoreCall, { sk }: Key) =>
  (call === "put" || call === "insertMany") && sk.startsWith("host#");
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

  it("are those of a batch that were not written, while the written ones are announced", async () => {
    const { hosts, store } = create();
    store.faults = failCalls(isHostWrite, 1, 2);
    const outcomes = await importHosts(hosts, lines(4), update);
    expect(words(outcomes)).toEqual(["created", "created", "STORE_UNAVAILABLE", "created"]);
    const { hosts: stored, revision } = await hosts.load(0);
    expect(stored.map(({ id }) => id)).toEqual(["h0", "h1", "h3"]);
    expect(revision).toBeGreaterThan(Math.max(...stored.map((host) => host.revision)));
  });

  it("are all that come after a failure in the same partition, and none of another", async () => {
    const { hosts, store } = create(2);
    await hosts.put(input(58, 900));
    store.faults = failCalls((_, { sk }) => sk === "host#h4", 1);
    const outcomes = words(await importHosts(hosts, lines(60), update));
    const even = outcomes.filter((_, index) => index % 2 === 0);
    expect(even.filter((word) => word === "created")).toHaveLength(24);
    expect(even.filter((word) => word === "STORE_UNAVAILABLE")).toHaveLength(6);
    expect(even.at(-1)).toBe("STORE_UNAVAILABLE");
    expect(new Set(outcomes.filter((_, index) => index % 2 === 1))).toEqual(new Set(["created"]));
    expect((await hosts.load(0)).hosts).toHaveLength(25);
    expect((await hosts.get(parseHostId("h58")))?.address).toBe("http://127.0.0.1:900");
  });

  it("are all of a batch that the store did not take, and of their partitions", async () => {
    const { hosts, store } = create(2);
    const insert = store.insertMany.bind(store);
    let batchCount = 0;
    store.insertMany = async (items) => {
      if (++batchCount > 1) return insert(items);
      throw new CoxswainError("STORE_THROTTLED", "over its capacity");
    };
    const outcomes = words(await importHosts(hosts, lines(60), update));
    expect(outcomes.filter((_, index) => index % 2 === 0)).toEqual(
      Array(30).fill("STORE_THROTTLED"),
    );
    expect(new Set(outcomes.filter((_, index) => index % 2 === 1))).toEqual(new Set(["created"]));
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
    let increments = 0;
    let inserts = 0;
    store.faults = {
      after(call) {
        if (call === "increment") increments++;
        if (call === "insertMany") inserts++;
      },
    };
    await importHosts(hosts, many, update);
    expect([increments, inserts]).toEqual([8, 100]);
    expect(new Set(words(await importHosts(hosts, many, update)))).toEqual(new Set(["unchanged"]));
    expect([increments, inserts]).toEqual([8, 100]);
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

  it("decides again for a host that someone created meanwhile, and writes the rest of its batch", async () => {
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
          if (random.next() < 0.05 && ["put", "insertMany", "increment"].includes(call))
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

/** Calls, of which an `insertMany` is one however many items it has. */
const callsOf = async (run: (hosts: HostStore) => Promise<unknown>) => {
  const { hosts, store } = create(4);
  const calls: Partial<Record<StoreCall, number>> = {};
  const count = (call: StoreCall) => {
    calls[call] = (calls[call] ?? 0) + 1;
  };
  store.faults = {
    before: (call) => {
      if (call !== "insertMany") count(call);
    },
  };
  const insert = store.insertMany.bind(store);
  store.insertMany = (items) => {
    count("insertMany");
    return insert(items);
  };
  await run(hosts);
  return calls;
};

describe("what an import asks of the store", () => {
  it("is one read for all partitions that were never used, and two counts a partition", async () => {
    const calls = await callsOf((hosts) => importHosts(hosts, lines(8), update));
    expect(calls).toEqual({ getMany: 1, increment: 8, insertMany: 1 });
  });

  it("is one write for 25 new hosts, of however many partitions, and one a changed host", async () => {
    const calls = await callsOf(async (hosts) => {
      await importHosts(hosts, lines(90), update);
      await importHosts(hosts, lines(3, 500), update);
    });
    expect(calls).toMatchObject({ insertMany: 4, put: 3 });
  });

  it("is one read more for each partition that has hosts", async () => {
    const calls = await callsOf(async (hosts) => {
      await importHosts(hosts, lines(2), update);
      await importHosts(hosts, lines(8), update);
    });
    expect(calls).toEqual({ getMany: 2, query: 2, increment: 12, insertMany: 2 });
  });

  it("goes on partition by partition where that read fails", async () => {
    const { hosts, store } = create(2);
    store.faults = failCalls((call) => call === "getMany", 1);
    expect(words(await importHosts(hosts, lines(4), update))).toEqual(Array(4).fill("created"));
  });
});
