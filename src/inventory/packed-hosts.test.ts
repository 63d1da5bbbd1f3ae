import { describe, expect, it } from "vitest";
import { limits } from "../protocol/limits.ts";
import { keys } from "../store/store.ts";
import { encodeHost } from "./host-codec.ts";
import { packIndexOf } from "./host-pack.ts";
import { presenceIn, recordOf } from "./hosts.ts";
import {
  create,
  digest,
  h1,
  imported,
  input,
  keysOf,
  onOwn,
  onPack,
  packOf,
  partition,
} from "./packed-hosts-fixture.ts";
import { interleave, loseAnswers } from "./test-faults.ts";

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

  it("counts for the room of its partition", async () => {
    const { hosts } = create();
    const full = Array.from({ length: limits.hostsPerPartitionMax }, (_, at) =>
      input(`h${at}`, at + 1),
    );
    expect(new Set(await imported(hosts, full))).toEqual(new Set(["created"]));
    const other = input("other", 9);
    await expect(hosts.put(other)).rejects.toMatchObject({ code: "PARTITION_FULL" });
    expect(await imported(hosts, [other])).toEqual(["PARTITION_FULL"]);
    await hosts.delete(h1);
    expect((await hosts.put(other)).outcome).toBe("created");
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

it("a record gets a new number only where the table's still has the old one", async () => {
  const { hosts } = create();
  await imported(hosts, [input("h1", 1)]);
  const record = await hosts.get(h1);
  await hosts.renumber({ ...recordOf(input("h1", 7), (record?.revision ?? 0) + 5) });
  expect(await hosts.get(h1)).toEqual(record);
  await hosts.renumber(recordOf(input("h1", 7), record?.revision ?? 0));
  expect((await hosts.get(h1))?.address).toBe("http://127.0.0.1:7");
  expect((await hosts.get(h1))?.revision).toBeGreaterThan(record?.revision ?? 0);
});
