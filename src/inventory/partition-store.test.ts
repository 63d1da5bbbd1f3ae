import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isCoxswainError } from "../kernel/errors.ts";
import { createRandom } from "../kernel/random.ts";
import { MemoryStore } from "../store/memory-store.ts";
import { keys } from "../store/store.ts";
import { encodeHost } from "./host-codec.ts";
import { parseHostId, type HostInput } from "./host.ts";
import { HostStore, recordOf } from "./hosts.ts";
import { failCalls, interleave } from "./test-faults.ts";

const id = parseHostId("h1");
const input = (port: number): HostInput => ({
  id,
  address: `http://127.0.0.1:${port}`,
  labels: {},
});

function create() {
  const store = new MemoryStore();
  return { store, hosts: new HostStore({ store, partitionOf: () => 3 }) };
}

describe("loading a partition", () => {
  it("throws where any read fails, and is empty only where the store says so", async () => {
    const { hosts, store } = create();
    await hosts.put(input(1));
    for (const call of ["get", "query"]) {
      store.faults = failCalls((each) => each === call, 1);
      await expect(hosts.load(3)).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    }
    expect(await hosts.load(4)).toEqual({ revision: 0, hosts: [], packs: [], damaged: [] });
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
