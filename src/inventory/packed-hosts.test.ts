import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isCoxswainError } from "../kernel/errors.ts";
import { createRandom } from "../kernel/random.ts";
import { MemoryStore, type StoreCall } from "../store/memory-store.ts";
import { keys, type Key } from "../store/store.ts";
import { encodeHost } from "./host-codec.ts";
import { packIndexOf } from "./host-pack.ts";
import { parseHostId, type HostId, type HostInput, type HostRecord } from "./host.ts";
import { HostStore, presenceIn, recordOf, type OnExisting } from "./hosts.ts";
import { importHosts } from "./import-hosts.ts";
import type { ImportOutcome } from "./import-plan.ts";
import { interleave, loseAnswers } from "./test-faults.ts";

const partition = 3;
const digest = `sha256:${"1".repeat(64)}`;
const h1 = parseHostId("h1");

function create() {
  const store = new MemoryStore();
  return { store, hosts: new HostStore({ store, partitionOf: () => partition }) };
}

const input = (id: string, port: number, more: Partial<HostInput> = {}): HostInput => ({
  id: parseHostId(id),
  address: `http://127.0.0.1:${port}`,
  labels: {},
  ...more,
});

async function imported(
  hosts: HostStore,
  inputs: readonly HostInput[],
  onExisting: OnExisting = "update",
): Promise<string[]> {
  const lines = inputs.map((each, at) => ({ line: at + 1, input: each }));
  return (await importHosts(hosts, lines, { onExisting })).map(wordOf);
}

const wordOf = (each: ImportOutcome) =>
  each.outcome === "failed" ? each.error.code : each.outcome;

const onPack =
  (wanted: StoreCall) =>
  (call: StoreCall, { sk }: Key) =>
    call === wanted && sk.startsWith("hosts#");
const onOwn =
  (wanted: StoreCall) =>
  (call: StoreCall, { sk }: Key) =>
    call === wanted && sk.startsWith("host#");

const keysOf = (store: MemoryStore) => store.dump().map(({ sk }) => sk);
const packOf = (id: string) => keys.pack(partition, packIndexOf(id)).sk;

describe("a host in a pack", () => {
  it("is found, changed, pinned and removed there, and has no item of its own", async () => {
    const { hosts, store } = create();
    expect(await imported(hosts, [input("h1", 1), input("h2", 2)])).toEqual(["created", "created"]);
    const packs = new Set(["head", packOf("h1"), packOf("h2")]);
    expect(await hosts.get(h1)).toEqual(recordOf(input("h1", 1), 1));
    expect((await hosts.put(input("h1", 7))).outcome).toBe("updated");
    const pinned = await hosts.pin(h1, "c", digest);
    expect(pinned).toEqual({ ...recordOf(input("h1", 7), 5), pins: { c: digest } });
    expect((await hosts.load(partition)).hosts).toEqual([pinned, recordOf(input("h2", 2), 1)]);
    expect(await imported(hosts, [input("h1", 8), input("h2", 2)])).toEqual([
      "updated",
      "unchanged",
    ]);
    expect((await hosts.get(h1))?.pins).toEqual({ c: digest });
    await hosts.delete(h1);
    expect(await hosts.get(h1)).toBeUndefined();
    await expect(hosts.delete(h1)).rejects.toMatchObject({ code: "HOST_NOT_FOUND" });
    await expect(hosts.pin(h1, "c", digest)).rejects.toMatchObject({ code: "HOST_NOT_FOUND" });
    expect(new Set(keysOf(store))).toEqual(packs);
    expect((await hosts.load(partition)).hosts).toEqual([recordOf(input("h2", 2), 1)]);
  });

  it("is written with one call a pack, new and changed ones together", async () => {
    const { hosts, store } = create();
    const some = Array.from({ length: 40 }, (_, at) => input(`h${at}`, at + 1));
    await imported(hosts, some.slice(0, 30));
    await hosts.put(input("alone", 99));
    let puts = 0;
    store.faults = { before: (call) => void (call === "put" && puts++) };
    const moved = some.map((each) => ({ ...each, labels: { zone: "b" } }));
    const words = await imported(hosts, [...moved, input("alone", 98)]);
    expect(words.filter((word) => word === "updated")).toHaveLength(31);
    expect(words.filter((word) => word === "created")).toHaveLength(10);
    expect(puts).toBe(5);
    const { hosts: stored } = await hosts.load(partition);
    expect(stored).toHaveLength(41);
    expect(stored.map(({ id }) => id)).toEqual(stored.map(({ id }) => id).toSorted());
  });

  it("is as asked though answers to the writes of its pack were lost", async () => {
    const { hosts, store } = create();
    store.faults = loseAnswers(onPack("put"), 2);
    expect(await imported(hosts, [input("h1", 1)])).toEqual(["created"]);
    store.faults = loseAnswers(onPack("put"), 2);
    expect((await hosts.put(input("h1", 2))).outcome).toBe("updated");
    store.faults = loseAnswers(onPack("put"), 2);
    await hosts.delete(h1);
    expect(await hosts.get(h1)).toBeUndefined();
  });

  it("is changed after all where others of its pack change at the same time", async () => {
    const { hosts } = create();
    const some = Array.from({ length: 60 }, (_, at) => input(`h${at}`, at + 1));
    await imported(hosts, some);
    const inOne = some.filter(({ id }) => packIndexOf(id) === packIndexOf("h1")).slice(0, 12);
    expect(inOne).toHaveLength(12);
    await Promise.all([
      ...inOne.slice(4).map(({ id }) => hosts.put(input(id, 500))),
      ...inOne.slice(0, 4).map(({ id }) => hosts.delete(id)),
    ]);
    const { hosts: stored } = await hosts.load(partition);
    expect(stored).toHaveLength(56);
    expect(stored.filter(({ address }) => address.endsWith(":500"))).toHaveLength(8);
  });

  it("does not come back by the first write of its pack, carried out once more later", async () => {
    const { hosts, store } = create();
    const write = store.put.bind(store);
    let late: (() => Promise<unknown>) | undefined;
    store.put = (...call) => {
      late ??= () => write(...call);
      return write(...call);
    };
    await imported(hosts, [input("h1", 1)]);
    await hosts.delete(h1);
    expect(await late?.()).toEqual({ kind: "refused" });
    expect(await hosts.get(h1)).toBeUndefined();
  });

  it("that is damaged is told apart from the others, and so is a damaged pack", async () => {
    const { hosts, store } = create();
    await imported(hosts, [input("h1", 1), input("h5", 2)]);
    const own = { ...keys.host(partition, "h1"), attributes: { revision: 9 } };
    await store.put(own);
    await expect(hosts.get(h1)).rejects.toMatchObject({ code: "STORE_CORRUPT" });
    const loaded = await hosts.load(partition);
    expect(loaded.hosts.map(({ id }) => id)).toEqual(["h5"]);
    expect(loaded.damaged.map(({ id }) => id)).toEqual(["h1"]);
    await hosts.delete(h1);
    expect(await hosts.get(h1)).toBeUndefined();
    await store.update(keys.pack(partition, packIndexOf("h5")), { set: { hosts: "x" } });
    const without = await hosts.load(partition);
    expect([without.hosts, without.damaged]).toMatchObject([[], [{ id: packOf("h5") }]]);
    expect(presenceIn(without)("h5")).toBe(true);
    expect(presenceIn(without)("h2")).toBe(false);
    expect(await imported(hosts, [input("h5", 3), input("h2", 3)])).toEqual([
      "STORE_CORRUPT",
      "created",
    ]);
    await expect(hosts.put(input("h5", 3))).rejects.toMatchObject({ code: "STORE_CORRUPT" });
  });
});

/** `h1` in a pack, with port 1, and with an item of the number `own`, with port 50. */
const both = async (own: number) => {
  const { hosts, store } = create();
  await hosts.partitions.next(partition);
  await imported(hosts, [input("h1", 1)]);
  const attributes = encodeHost(recordOf(input("h1", 50), own));
  await store.put({ ...keys.host(partition, "h1"), attributes });
  return { hosts, store };
};

describe("a host that is in both places", () => {
  it.each([
    ["its own item where that has the higher number", 90, 50],
    ["what the pack says otherwise", 1, 1],
  ])("is %s", async (_, own, port) => {
    const { hosts } = await both(own);
    const address = `http://127.0.0.1:${port}`;
    expect((await hosts.get(h1))?.address).toBe(address);
    expect((await hosts.load(partition)).hosts.map((host) => host.address)).toEqual([address]);
    await hosts.partitions.restoreHead(partition, 90);
    expect((await hosts.pin(h1, "c", digest)).address).toBe(address);
    expect((await hosts.get(h1))?.pins).toEqual({ c: digest });
  });

  it.each([90, 1])(
    "is removed from both, and never comes to be the older one (%d)",
    async (own) => {
      const { hosts, store } = await both(own);
      const visible = await hosts.get(h1);
      const seen = new Set<string | undefined>();
      store.faults = {
        async before(call) {
          if (call === "put" || call === "delete") seen.add((await hosts.get(h1))?.address);
        },
      };
      await hosts.delete(h1);
      store.faults = {};
      expect([...seen]).toEqual([visible?.address]);
      expect(await hosts.get(h1)).toBeUndefined();
      expect(keysOf(store)).not.toContain("host#h1");
    },
  );

  it("is told to whoever created it later, whether alone or by an import", async () => {
    const other = create();
    other.store.faults = interleave(
      onPack("put"),
      async () => void (await other.hosts.put(input("h1", 1))),
    );
    expect(await imported(other.hosts, [input("h1", 2)])).toEqual(["updated"]);
    const { hosts, store } = create();
    store.faults = interleave(onOwn("put"), async () => {
      expect(await imported(hosts, [input("h1", 1)])).toEqual(["created"]);
    });
    expect((await hosts.put(input("h1", 2))).outcome).toBe("updated");
    for (const set of [{ hosts, store }, other]) {
      expect((await set.hosts.load(partition)).hosts.map(({ address }) => address)).toEqual([
        "http://127.0.0.1:2",
      ]);
      expect(keysOf(set.store).filter((sk) => sk.startsWith("host#"))).toEqual(
        set === other ? ["host#h1"] : [],
      );
    }
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
