import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isCoxswainError } from "../kernel/errors.ts";
import { createRandom } from "../kernel/random.ts";
import { limits } from "../protocol/limits.ts";
import { MemoryStore, type StoreCall } from "../store/memory-store.ts";
import { keys, type Key } from "../store/store.ts";
import { encodeHost } from "./host-codec.ts";
import { parseHostId, type HostInput } from "./host.ts";
import { HostStore, recordOf } from "./hosts.ts";
import { failCalls, interleave, loseAnswers } from "./test-faults.ts";

const digest = `sha256:${"1".repeat(64)}`;
const id = parseHostId("h1");
const input = (port: number, more: Partial<HostInput> = {}): HostInput => ({
  id,
  address: `http://127.0.0.1:${port}`,
  labels: {},
  ...more,
});

function create(partitionOf: (id: string) => number = () => 3) {
  const store = new MemoryStore();
  return { store, hosts: new HostStore({ store, partitionOf }) };
}

const onHost =
  (wanted: StoreCall) =>
  (call: StoreCall, { sk }: Key) =>
    call === wanted && sk.startsWith("host#");
const onHead =
  (wanted: StoreCall) =>
  (call: StoreCall, { sk }: Key) =>
    call === wanted && sk === "head";

async function head(store: MemoryStore): Promise<unknown> {
  return (await store.get(keys.head(3)))?.attributes["revision"];
}

describe("hosts that are not there", () => {
  it("are HOST_NOT_FOUND to delete and pin, and undefined to get", async () => {
    const { hosts, store } = create();
    await expect(hosts.delete(id)).rejects.toMatchObject({ code: "HOST_NOT_FOUND" });
    await expect(hosts.pin(id, "c", digest)).rejects.toMatchObject({ code: "HOST_NOT_FOUND" });
    expect(await hosts.get(id)).toBeUndefined();
    expect(store.dump()).toEqual([]);
  });
});

describe("putting a host", () => {
  it("creates, updates, and writes nothing where nothing changes", async () => {
    const { hosts, store } = create();
    const created = await hosts.put(input(1));
    expect(created).toEqual({ outcome: "created", record: recordOf(input(1), 1) });
    const updated = await hosts.put(input(2));
    expect(updated).toEqual({ outcome: "updated", record: recordOf(input(2), 3) });
    const before = store.dump();
    expect(await hosts.put(input(2))).toEqual({ outcome: "unchanged", record: updated.record });
    expect(store.dump()).toEqual(before);
    expect(await hosts.get(id)).toEqual(updated.record);
  });

  it("moves the head after the write, so that a reader who saw the first number reads again", async () => {
    const { hosts, store } = create();
    let early: number | undefined;
    store.faults = interleave(onHost("put"), async () => {
      const loaded = await hosts.load(3);
      expect(loaded.hosts).toEqual([]);
      early = loaded.revision;
    });
    const { record } = await hosts.put(input(1));
    expect(early).toBe(record.revision);
    expect((await hosts.heads([3])).get(3)).toBeGreaterThan(early ?? Infinity);
  });

  it("keeps pins that the input does not mention, and replaces those that it does", async () => {
    const { hosts } = create();
    await hosts.put(input(1, { pins: { c: digest } }));
    expect((await hosts.put(input(2))).record.pins).toEqual({ c: digest });
    expect((await hosts.put(input(2, { pins: {} }))).record.pins).toEqual({});
  });

  it("with refuse is HOST_EXISTS for other data and unchanged for the same", async () => {
    const { hosts } = create();
    expect((await hosts.put(input(1), "refuse")).outcome).toBe("created");
    expect((await hosts.put(input(1), "refuse")).outcome).toBe("unchanged");
    await expect(hosts.put(input(2), "refuse")).rejects.toMatchObject({ code: "HOST_EXISTS" });
    expect((await hosts.get(id))?.address).toBe("http://127.0.0.1:1");
  });

  it("is refused in a full partition, but an update is not", async () => {
    const { hosts, store } = create();
    const items = Array.from({ length: limits.hostsPerPartitionMax }, (_, at) => ({
      ...keys.host(3, `h${at}`),
      attributes: encodeHost(recordOf({ ...input(1), id: parseHostId(`h${at}`) }, 1)),
    }));
    store.restore(items);
    const other = { ...input(1), id: parseHostId("other") };
    await expect(hosts.put(other)).rejects.toMatchObject({ code: "PARTITION_FULL" });
    expect((await hosts.put(input(2))).outcome).toBe("updated");
    await hosts.delete(id);
    expect((await hosts.put(other)).outcome).toBe("created");
    expect((await hosts.load(3)).hosts).toHaveLength(limits.hostsPerPartitionMax);
  });

  it("finishes what a writer that died before the head left behind", async () => {
    const { hosts, store } = create();
    store.faults = failCalls(onHead("increment"), 1, 1);
    await expect(hosts.put(input(1))).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    expect(await head(store)).toBe(1);
    expect((await hosts.put(input(1))).outcome).toBe("unchanged");
    expect(await head(store)).toBe(2);
    await hosts.put(input(1));
    expect(await head(store)).toBe(2);
  });

  it("is created although the answers to two writes were lost", async () => {
    const { hosts, store } = create();
    store.faults = loseAnswers(onHost("put"), 2);
    expect((await hosts.put(input(1))).outcome).toBe("created");
    store.faults = loseAnswers(onHead("increment"), 2);
    expect((await hosts.put(input(2))).outcome).toBe("updated");
    expect((await hosts.get(id))?.address).toBe("http://127.0.0.1:2");
  });

  it("recognises its own write when a repetition inside the store's client was refused", async () => {
    const { hosts, store } = create();
    const write = store.put.bind(store);
    store.put = async (item, conditions) => {
      await write(item, conditions);
      return write(item, conditions);
    };
    expect((await hosts.put(input(1), "refuse")).outcome).toBe("created");
    expect((await hosts.put(input(2))).outcome).toBe("updated");
  });

  it("ends in STORE_UNKNOWN_OUTCOME where the head never answers", async () => {
    const { hosts, store } = create();
    store.faults = loseAnswers(onHead("increment"), 9);
    await expect(hosts.put(input(1))).rejects.toMatchObject({ code: "STORE_UNKNOWN_OUTCOME" });
  });

  it("decides again where someone else was first", async () => {
    const { hosts, store } = create();
    await hosts.put(input(1, { pins: { c: digest } }));
    store.faults = interleave(onHost("put"), async () => {
      await hosts.pin(id, "d", digest);
    });
    const { record } = await hosts.put(input(2));
    expect(record.pins).toEqual({ c: digest, d: digest });
    expect(record.address).toBe("http://127.0.0.1:2");
  });

  it("gives up with HOST_CHANGED after a bounded number of lost races", async () => {
    const { hosts, store } = create();
    let port = 10;
    store.faults = {
      async before(call, key) {
        if (!onHost("put")(call, key)) return;
        port++;
        await store.update(key, { set: { ...encodeHost(recordOf(input(port), port * 1_000)) } });
      },
    };
    await expect(hosts.put(input(1))).rejects.toMatchObject({ code: "HOST_CHANGED" });
    expect(port).toBe(15);
  });

  it("never goes back in revision where the id was created and deleted while the writer slept", async () => {
    const { hosts, store } = create();
    let seen = 0;
    store.faults = interleave(onHost("put"), async () => {
      seen = (await hosts.put(input(9))).record.revision;
      await hosts.delete(id);
    });
    const { record } = await hosts.put(input(1));
    expect(record.revision).toBeGreaterThan(seen);
    expect(await hosts.get(id)).toEqual(record);
    expect(await head(store)).toBeGreaterThan(record.revision);
  });

  it("leaves a newer record alone while it raises its own revision", async () => {
    const { hosts, store } = create();
    const other = { ...input(5), id: parseHostId("other") };
    let newer: unknown;
    store.faults = {
      before: interleaveTwice(
        [onHost("put"), async () => void (await hosts.put(other))],
        [onHost("update"), async () => void (newer = (await hosts.put(input(2))).record)],
      ),
    };
    await hosts.put(input(1));
    expect(newer).toMatchObject({ address: "http://127.0.0.1:2" });
    expect(await hosts.get(id)).toEqual(newer);
  });
});

function interleaveTwice(
  ...steps: [(call: StoreCall, key: Key) => boolean, () => Promise<void>][]
) {
  const hooks = steps.map(([pick, act]) => interleave(pick, act));
  return async (call: StoreCall, key: Key) => {
    for (const hook of hooks) await hook.before?.(call, key);
  };
}

describe("pins", () => {
  it("are set, kept as they are without a write, and removed", async () => {
    const { hosts, store } = create();
    await hosts.put(input(1));
    const pinned = await hosts.pin(id, "c", digest);
    expect(pinned.pins).toEqual({ c: digest });
    const before = store.dump();
    expect(await hosts.pin(id, "c", digest)).toEqual(pinned);
    expect(store.dump()).toEqual(before);
    expect((await hosts.pin(id, "c", undefined)).pins).toEqual({});
  });

  it("beyond the limit are HOST_INVALID", async () => {
    const { hosts } = create();
    const pins = Object.fromEntries(
      Array.from({ length: limits.configsPerHostMax }, (_, at) => [`c${100 + at}`, digest]),
    );
    await hosts.put(input(1, { pins }));
    await expect(hosts.pin(id, "one-more", digest)).rejects.toMatchObject({ code: "HOST_INVALID" });
    expect((await hosts.pin(id, "c100", `sha256:${"2".repeat(64)}`)).pins["c100"]).toContain("222");
  });
});

describe("deleting a host", () => {
  it("moves the head, and a host registered again has a higher revision", async () => {
    const { hosts, store } = create();
    const { record } = await hosts.put(input(1));
    const before = await head(store);
    await hosts.delete(id);
    expect(await head(store)).toBe((before as number) + 1);
    expect((await hosts.put(input(1))).record.revision).toBeGreaterThan(record.revision);
  });

  it("succeeds although its answer was lost or the host changed meanwhile", async () => {
    const { hosts, store } = create();
    await hosts.put(input(1));
    store.faults = loseAnswers(onHost("delete"), 1);
    await hosts.delete(id);
    await hosts.put(input(1));
    store.faults = interleave(onHost("delete"), async () => void (await hosts.put(input(2))));
    await hosts.delete(id);
    expect(await hosts.get(id)).toBeUndefined();
  });

  it("is bounded where the host never holds still", async () => {
    const { hosts, store } = create();
    await hosts.put(input(1));
    let revision = 1_000;
    store.faults = {
      async before(call, key) {
        if (onHost("delete")(call, key)) await store.update(key, { set: { revision: revision++ } });
      },
    };
    await expect(hosts.delete(id)).rejects.toMatchObject({ code: "HOST_CHANGED" });
  });

  it("repeated after a death before the head moves the head, though there is nothing to delete", async () => {
    const { hosts, store } = create();
    await hosts.put(input(1));
    store.faults = failCalls(onHead("increment"), 1);
    await expect(hosts.delete(id)).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    const before = await head(store);
    await expect(hosts.delete(id)).rejects.toMatchObject({ code: "HOST_NOT_FOUND" });
    expect(await head(store)).toBe((before as number) + 1);
  });

  it("works for a damaged record, which cannot be changed otherwise", async () => {
    const { hosts, store } = create();
    for (const revision of [7, "x"]) {
      await store.put({ ...keys.host(3, id), attributes: { revision } });
      await expect(hosts.put(input(1))).rejects.toMatchObject({ code: "STORE_CORRUPT" });
      await hosts.delete(id);
      expect(await hosts.get(id)).toBeUndefined();
    }
  });
});

describe("loading a partition", () => {
  it("throws where any read fails, and is empty only where the store says so", async () => {
    const { hosts, store } = create();
    await hosts.put(input(1));
    for (const call of ["get", "query"]) {
      store.faults = failCalls((each) => each === call, 1);
      await expect(hosts.load(3)).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    }
    expect(await hosts.load(4)).toEqual({ revision: 0, hosts: [], damaged: [] });
  });

  it("throws where a later page fails", async () => {
    const { hosts, store } = create();
    const many = Array.from({ length: 501 }, (_, at) => parseHostId(`h${1_000 + at}`));
    store.restore(
      many.map((each) => ({
        ...keys.host(3, each),
        attributes: encodeHost(recordOf({ ...input(1), id: each }, 1)),
      })),
    );
    await hosts.partitions.next(3);
    store.faults = failCalls((call) => call === "query", 1, 1);
    await expect(hosts.load(3)).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    expect((await hosts.load(3)).hosts.map((host) => host.id)).toEqual(many);
  });

  it("takes the head before the hosts, so that a change in between shows later", async () => {
    const { hosts, store } = create();
    await hosts.put(input(1));
    store.faults = interleave(
      (call) => call === "query",
      async () => void (await hosts.put(input(2))),
    );
    const { revision } = await hosts.load(3);
    expect((await hosts.heads([3])).get(3)).toBeGreaterThan(revision);
  });

  it("with a head read before, or a head of 0, spares the reads that can tell nothing new", async () => {
    const { hosts, store } = create();
    await hosts.put(input(1));
    const calls: string[] = [];
    store.faults = { before: (call) => void calls.push(call) };
    expect((await hosts.load(3, 2)).hosts).toHaveLength(1);
    expect(await hosts.load(4)).toMatchObject({ revision: 0, hosts: [] });
    expect(calls).toEqual(["query", "get"]);
  });

  it("names damaged hosts beside the good ones", async () => {
    const { hosts, store } = create();
    await hosts.put(input(1));
    await store.put({ ...keys.host(3, "bad"), attributes: { revision: 1 } });
    const loaded = await hosts.load(3);
    expect(loaded.hosts.map((host) => host.id)).toEqual([id]);
    expect(loaded.damaged).toMatchObject([{ id: "bad", error: { code: "STORE_CORRUPT" } }]);
  });

  it("is refused far beyond the limit of hosts", async () => {
    const { hosts, store } = create();
    const attributes = encodeHost(recordOf(input(1), 1));
    store.restore(
      Array.from({ length: 4_501 }, (_, at) => ({ ...keys.host(3, `h${at}`), attributes })),
    );
    await hosts.partitions.next(3);
    await expect(hosts.load(3)).rejects.toMatchObject({ code: "PARTITION_FULL" });
  });
});

describe("heads", () => {
  it("come for any number of partitions, 0 where nothing was written", async () => {
    const { hosts, store } = create();
    const partitions = Array.from({ length: 250 }, (_, at) => at);
    for (const partition of [0, 99, 100, 249]) {
      await store.increment(keys.head(partition), "revision", partition + 1);
    }
    const heads = await hosts.heads([...partitions, 0]);
    expect([...heads.keys()]).toEqual(partitions);
    expect([heads.get(0), heads.get(99), heads.get(100), heads.get(249), heads.get(7)]).toEqual([
      1, 100, 101, 250, 0,
    ]);
  });

  it("throw where a read fails or a head is damaged", async () => {
    const { hosts, store } = create();
    store.faults = failCalls((call) => call === "getMany", 1);
    await expect(hosts.heads([1])).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    await store.put({ ...keys.head(1), attributes: { revision: "x" } });
    await expect(hosts.heads([1])).rejects.toMatchObject({ code: "STORE_CORRUPT" });
    await expect(hosts.load(1)).rejects.toMatchObject({ code: "STORE_CORRUPT" });
  });
});

describe("concurrent writers under lost answers", () => {
  it("leave the highest revision standing, and a poller of heads ends with the truth", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string(), async (seed) => {
        const { hosts, store } = create();
        const random = createRandom(seed);
        let lossesLeft = 2;
        store.faults = {
          async before() {
            for (let turns = Math.floor(random.next() * 4); turns > 0; turns--) {
              await Promise.resolve();
            }
          },
          after(call) {
            const isWrite = call !== "get" && call !== "query" && call !== "getMany";
            if (!isWrite || lossesLeft === 0 || random.next() > 0.1) return;
            lossesLeft--;
            throw new Error("the answer was lost");
          },
        };
        const acknowledged: number[] = [];
        const writers = Array.from({ length: 6 }, async (_, writer) => {
          for (let step = 0; step < 4; step++) {
            try {
              if (random.next() < 0.4) await hosts.delete(id);
              else
                acknowledged.push((await hosts.put(input(writer * 10 + step + 1))).record.revision);
            } catch (error) {
              if (!isCoxswainError(error, "HOST_CHANGED", "HOST_NOT_FOUND")) throw error;
            }
          }
        });
        let known = await hosts.load(3);
        const poll = async () => {
          const now = (await hosts.heads([3])).get(3) ?? 0;
          if (now > known.revision) known = await hosts.load(3);
        };
        const writing = { isDone: false };
        const poller = (async () => {
          while (!writing.isDone) await poll();
        })();
        try {
          await Promise.all(writers);
        } finally {
          writing.isDone = true;
          await poller;
        }
        store.faults = {};
        await poll();
        const stored = await hosts.load(3);
        expect(known.hosts).toEqual(stored.hosts);
        // Where no host is left there is nothing that could have gone back.
        const last = stored.hosts[0]?.revision ?? Infinity;
        expect(last).toBeGreaterThanOrEqual(Math.max(0, ...acknowledged));
      }),
      { numRuns: 100 },
    );
  });
});
