import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isCoxswainError } from "../kernel/errors.ts";
import { createRandom } from "../kernel/random.ts";
import type { MemoryStore, StoreCall, StoreFaults } from "../store/memory-store.ts";
import { keys, type Key } from "../store/store.ts";
import { encodeHost } from "./host-codec.ts";
import { emptyPack, encodePack, packIndexOf, withHosts } from "./host-pack.ts";
import { parseHostId, type HostId, type HostRecord } from "./host.ts";
import { recordOf } from "./hosts.ts";
import {
  create,
  digest,
  h1,
  imported,
  input,
  keysOf,
  onOwn,
  onPack,
  partition,
} from "./packed-hosts-fixture.ts";
import { interleave } from "./test-faults.ts";

/** Runs `acts` one after the other, each just before a call that `pick` chooses; what they do is not chosen. */
function interleaveEach(
  pick: (call: StoreCall, key: Key) => boolean,
  acts: readonly (() => Promise<unknown>)[],
): StoreFaults {
  let next = 0;
  let isBusy = false;
  return {
    async before(call, key) {
      const act = isBusy || !pick(call, key) ? undefined : acts[next++];
      if (act === undefined) return;
      isBusy = true;
      await act();
      isBusy = false;
    },
  };
}

const onHead = (call: StoreCall, { sk }: Key) => call === "increment" && sk === "head";

const onOwnWrite = (call: StoreCall, key: Key) =>
  onOwn("put")(call, key) || onOwn("delete")(call, key);

describe("whoever registers a host that another registers at the same moment", () => {
  it("sees what an import did between its look and its number", async () => {
    const { hosts, store } = create();
    store.faults = interleaveEach(onHead, [() => imported(hosts, [input("h1", 1)])]);
    const put = hosts.put(input("h1", 2), "refuse");
    await expect(put).rejects.toMatchObject({ code: "HOST_EXISTS" });
    expect((await hosts.get(h1))?.address).toBe("http://127.0.0.1:1");
  });

  it("sees, in an import, what was done between its look and its number, and writes nothing", async () => {
    const { hosts, store } = create();
    let packsCount = 0;
    store.faults = {
      ...interleaveEach(onHead, [() => hosts.put(input("h1", 1))]),
      after: (call, key) => void (onPack("put")(call, key) && packsCount++),
    };
    expect(await imported(hosts, [input("h1", 2)], "refuse")).toEqual(["HOST_EXISTS"]);
    expect(packsCount).toBe(0);
  });

  it("sees, in an import, what was done between its second look and its second number", async () => {
    const { hosts, store } = create();
    store.faults = interleaveEach(onHead, [
      () => hosts.partitions.next(partition),
      () => hosts.put(input("h1", 1)),
    ]);
    expect(await imported(hosts, [input("h1", 2)], "refuse")).toEqual(["HOST_EXISTS"]);
    expect((await hosts.get(h1))?.address).toBe("http://127.0.0.1:1");
  });

  it("leaves it a number above that of the import's record, which may have been pushed", async () => {
    const { hosts, store } = create();
    const attributes = encodeHost(recordOf(input("h1", 1), 1));
    store.faults = interleave(onPack("put"), async () => {
      await store.put({ ...keys.host(partition, "h1"), attributes });
      await hosts.partitions.next(partition);
      await hosts.partitions.next(partition);
    });
    await hosts.partitions.next(partition);
    expect(await imported(hosts, [input("h1", 2)], "refuse")).toEqual(["HOST_EXISTS"]);
    const found = await hosts.get(h1);
    expect(found?.address).toBe("http://127.0.0.1:1");
    expect(found?.revision).toBeGreaterThan(2);
  });

  it("keeps the host that others have built on, and takes it out of the pack", async () => {
    const { hosts, store } = create();
    const first = withHosts(emptyPack(packIndexOf("h1")), [recordOf(input("h1", 2), 1)], 1);
    const own = keys.host(partition, "h1");
    await hosts.partitions.next(partition);
    store.faults = interleaveEach(onOwnWrite, [
      async () => {
        const key = keys.pack(partition, first.index);
        await store.put({ ...key, attributes: encodePack(first) });
        await hosts.partitions.next(partition);
      },
      () => store.update(own, { set: { revision: 50, pins: JSON.stringify({ c: digest }) } }),
    ]);
    expect((await hosts.put(input("h1", 1))).outcome).toBe("created");
    expect(await hosts.get(h1)).toMatchObject({ revision: 50, pins: { c: digest } });
    expect((await hosts.partitions.find(partition, "h1")).pack.hosts.has("h1")).toBe(false);
  });

  it("knows its own write though others have written the pack before it could look", async () => {
    const { hosts, store } = create();
    await imported(hosts, [input("h5", 5), input("h9", 9)]);
    expect(packIndexOf("h5")).toBe(packIndexOf("h1"));
    let isLost = false;
    store.faults = {
      async after(call, key) {
        if (isLost || !onPack("put")(call, key)) return;
        isLost = true;
        await hosts.put(input("h5", 6));
        throw new Error("the answer was lost");
      },
    };
    expect(await imported(hosts, [input("h1", 1)])).toEqual(["created"]);
  });
});

/** Gives way a random number of times before each call, and loses the answers of some writes. */
function disturb(store: MemoryStore, seed: string, losses: number): () => number {
  const random = createRandom(seed);
  let left = losses;
  store.faults = {
    async before() {
      for (let turns = Math.floor(random.next() * 4); turns > 0; turns--) await Promise.resolve();
    },
    after(call) {
      if (["get", "query", "getMany"].includes(call) || left === 0 || random.next() > 0.1) return;
      left--;
      throw new Error("the answer was lost");
    },
  };
  return () => random.next();
}

describe("imports, single changes and removals at once", () => {
  const ids = ["h1", "h2", "h5", "h6"].map(parseHostId);

  it("create each host once: one of several that refuse existing ones is told `created`", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string(), async (seed) => {
        const { hosts, store } = create();
        const next = disturb(store, seed, 0);
        const created = new Map<HostId, number[]>(ids.map((id) => [id, []]));
        const others = new Set<string | undefined>();
        const note = (id: HostId, port: number, word: string | undefined) => {
          if (word === "created") created.get(id)?.push(port);
          else others.add(word);
        };
        await Promise.all(
          [1, 2, 3, 4, 5].map(async (writer) => {
            if (writer <= 2) {
              const words = await imported(
                hosts,
                ids.map((id) => input(id, writer)),
                "refuse",
              );
              for (const [at, id] of ids.entries()) note(id, writer, words[at]);
              return;
            }
            for (const id of ids.toSorted(() => next() - 0.5)) {
              const put = hosts.put(input(id, writer), "refuse");
              const word = put.then(
                ({ outcome }) => outcome,
                (error: unknown) => (isCoxswainError(error) ? error.code : String(error)),
              );
              note(id, writer, await word);
            }
          }),
        );
        store.faults = {};
        const refusals = new Set(["HOST_EXISTS", "HOST_CHANGED", "STORE_CONTENDED"]);
        expect(others.difference(refusals)).toEqual(new Set());
        for (const { id, address } of (await hosts.load(partition)).hosts) {
          expect(created.get(id)).toEqual([Number(new URL(address).port)]);
        }
        expect((await hosts.load(partition)).hosts).toHaveLength(ids.length);
      }),
      { numRuns: 300 },
    );
  });

  it("lose nothing that was acknowledged, give no number to two records, and never go back", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string(), async (seed) => {
        const { hosts, store } = create();
        const next = disturb(store, seed, 2);
        const contents = new Map<string, string>();
        const highest = new Map<HostId, number>();
        const note = (record: HostRecord) => {
          const name = `${record.id}/${record.revision}`;
          const text = JSON.stringify(record);
          expect(contents.get(name) ?? text).toBe(text);
          contents.set(name, text);
        };
        const acknowledge = (record: HostRecord) => {
          note(record);
          highest.set(record.id, Math.max(record.revision, highest.get(record.id) ?? 0));
        };
        const step = async (writer: number, at: number) => {
          const id = ids[Math.floor(next() * ids.length)] ?? h1;
          const port = writer * 10 + at + 1;
          const dice = next();
          if (dice < 0.3) await hosts.delete(id);
          else if (dice < 0.6) acknowledge((await hosts.put(input(id, port))).record);
          else if (dice < 0.7) acknowledge(await hosts.pin(id, "c", digest));
          else
            await imported(
              hosts,
              ids.map((each) => input(each, port)),
            );
        };
        await Promise.all(
          Array.from({ length: 5 }, async (_, writer) => {
            for (let at = 0; at < 4; at++) {
              try {
                await step(writer, at);
              } catch (error) {
                if (!isCoxswainError(error, "HOST_CHANGED", "HOST_NOT_FOUND")) throw error;
              }
              for (const record of (await hosts.load(partition)).hosts) note(record);
            }
          }),
        );
        store.faults = {};
        const { hosts: stored, revision } = await hosts.load(partition);
        for (const record of stored) {
          expect(await hosts.get(record.id)).toEqual(record);
          expect(record.revision).toBeGreaterThanOrEqual(highest.get(record.id) ?? 0);
          expect(record.revision).toBeLessThan(revision);
        }
        // Whatever is left half done comes right with the next call.
        expect(
          new Set(
            await imported(
              hosts,
              ids.map((id) => input(id, 900)),
            ),
          ),
        ).not.toContain("STORE_UNAVAILABLE");
        const after = (await hosts.load(partition)).hosts;
        expect(after.map(({ address }) => new URL(address).port)).toEqual(Array(4).fill("900"));
        for (const id of ids) await hosts.delete(id);
        expect((await hosts.load(partition)).hosts).toEqual([]);
        expect(keysOf(store).filter((sk) => sk.startsWith("host#"))).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });
});
