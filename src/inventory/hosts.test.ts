import { describe, expect, it } from "vitest";
import { limits } from "../protocol/limits.ts";
import { MemoryStore, type StoreCall } from "../store/memory-store.ts";
import { keys, type Key } from "../store/store.ts";
import { encodeHost } from "./host-codec.ts";
import { parseHostId, type HostInput } from "./host.ts";
import { HostStore, recordOf } from "./hosts.ts";
import { failCalls, interleave, loseAnswers } from "./test-faults.ts";
import { TurnShare } from "./turn-share.ts";

const digest = `sha256:${"1".repeat(64)}`;
const id = parseHostId("h1");
const input = (port: number, more: Partial<HostInput> = {}): HostInput => ({
  id,
  address: `http://127.0.0.1:${port}`,
  labels: {},
  ...more,
});

function create() {
  const store = new MemoryStore();
  return { store, hosts: new HostStore({ store, partitionOf: () => 3 }) };
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
    expect(port).toBe(50);
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

describe("loading a large partition", () => {
  it("decodes a bounded number of hosts a turn", async () => {
    const { hosts, store } = create();
    const count = 950;
    const items = Array.from({ length: count }, (_, at) => ({
      ...keys.host(3, `h${at}`),
      attributes: encodeHost(recordOf({ ...input(1), id: parseHostId(`h${at}`) }, 1)),
    }));
    store.restore(items);
    let turnsCount = 1;
    const sleep = async () => {
      turnsCount += 1;
    };
    const loaded = await hosts.load(3, 1, new TurnShare({ sleep }, 400));
    expect(loaded.hosts).toHaveLength(count);
    expect(turnsCount).toBe(Math.ceil(count / 400));
  });
});
