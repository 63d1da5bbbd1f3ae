import { describe, expect, test } from "vitest";
import { ManualClock } from "../kernel/manual-clock.ts";
import { createRandom } from "../kernel/random.ts";
import { MemoryStore } from "./memory-store.ts";
import { checkMeta, initialiseCluster, readMeta } from "./meta.ts";
import { keys, type Attributes } from "./store.ts";

const clock = new ManualClock(Date.UTC(2026, 0, 2, 3, 4, 5));
const ports = (seed = "meta") => ({ clock, random: createRandom(seed) });
const meta = {
  schema: 1,
  clusterId: "blue",
  partitions: 1024,
  hash: "coxswain-1",
  createdAt: "2026-01-02T03:04:05.000Z",
};
const wanted = { partitions: 1024, clusterId: "blue" };

async function storeWith(attributes: Attributes): Promise<MemoryStore> {
  const store = new MemoryStore();
  await store.put({ ...keys.meta, attributes });
  return store;
}

describe("initialiseCluster", () => {
  test.each([1000, 0, -64, 32, 131_072, 64.5, Number.NaN, Infinity])(
    "refuses %d partitions",
    async (partitions) => {
      const store = new MemoryStore();
      await expect(initialiseCluster(store, { partitions }, ports())).rejects.toMatchObject({
        code: "OPTION_INVALID",
        message: `Expected \`partitions\` to be a power of two from 64 to 65536, got ${partitions}`,
      });
      expect(store.dump()).toEqual([]);
    },
  );

  test.each(["", "-blue", "blue\r\nX: 1", "b".repeat(129)])(
    "refuses the cluster id %j",
    async (clusterId) => {
      const made = initialiseCluster(new MemoryStore(), { ...wanted, clusterId }, ports());
      await expect(made).rejects.toMatchObject({ code: "OPTION_INVALID" });
    },
  );

  test.each([64, 1024, 65_536])(
    "writes meta, and nothing else, for %i partitions",
    async (partitions) => {
      const store = new MemoryStore();
      const answer = await initialiseCluster(store, { ...wanted, partitions }, ports());
      expect(answer).toEqual({ meta: { ...meta, partitions }, isNew: true });
      expect(store.dump()).toEqual([{ ...keys.meta, attributes: { ...meta, partitions } }]);
      expect(await readMeta(store)).toEqual({ ...meta, partitions });
    },
  );

  test("returns what is there for equal parameters, and for none named", async () => {
    const store = await storeWith(meta);
    const again = { meta, isNew: false };
    expect(await initialiseCluster(store, wanted, ports())).toEqual(again);
    expect(await initialiseCluster(store, { partitions: 1024 }, ports())).toEqual(again);
    expect(store.dump()).toEqual([{ ...keys.meta, attributes: meta }]);
  });

  test.each([
    [
      { ...wanted, partitions: 2048 },
      "Expected `partitions` to be 1024 as the table was made with, got 2048",
    ],
    [
      { ...wanted, clusterId: "red" },
      "Expected `clusterId` to be blue as the table was made with, got red",
    ],
  ])("refuses %j on a cluster made with others", async (other, message) => {
    const store = await storeWith(meta);
    const made = initialiseCluster(store, other, ports());
    await expect(made).rejects.toMatchObject({ code: "CLUSTER_MISMATCH", message });
    expect(store.dump()).toEqual([{ ...keys.meta, attributes: meta }]);
  });

  test("refuses a table whose hash is another program's", async () => {
    const store = await storeWith({ ...meta, hash: "coxswain-2" });
    await expect(initialiseCluster(store, wanted, ports())).rejects.toMatchObject({
      code: "CLUSTER_MISMATCH",
      message: "Expected `hash` to be coxswain-2 as the table was made with, got coxswain-1",
    });
  });

  test("of several callers at once one makes the cluster and all get the same", async () => {
    const store = new MemoryStore();
    const answers = await Promise.all(
      ["a", "b", "c"].map((seed) => initialiseCluster(store, { partitions: 64 }, ports(seed))),
    );
    expect(answers.filter(({ isNew }) => isNew)).toHaveLength(1);
    expect(new Set(answers.map((answer) => answer.meta.clusterId)).size).toBe(1);
  });

  test("finds its own write after a lost answer", async () => {
    const store = new MemoryStore();
    store.faults = {
      after: (call) => {
        if (call === "put") throw new Error("lost");
      },
    };
    const answer = await initialiseCluster(store, wanted, ports());
    expect(answer).toEqual({ meta, isNew: true });
  });

  test("says so when an unanswered write has not landed", async () => {
    const store = new MemoryStore();
    store.faults = {
      after: (call) => {
        if (call !== "put") return;
        store.restore([]);
        throw new Error("lost");
      },
    };
    await expect(initialiseCluster(store, wanted, ports())).rejects.toMatchObject({
      code: "STORE_UNKNOWN_OUTCOME",
    });
  });
});

describe("readMeta", () => {
  test("of an empty table is CLUSTER_NOT_INITIALISED", async () => {
    await expect(readMeta(new MemoryStore())).rejects.toMatchObject({
      code: "CLUSTER_NOT_INITIALISED",
    });
  });

  test.each([2, 0, "1"])("of schema %j is CLUSTER_SCHEMA_UNSUPPORTED", async (schema) => {
    await expect(readMeta(await storeWith({ ...meta, schema }))).rejects.toMatchObject({
      code: "CLUSTER_SCHEMA_UNSUPPORTED",
      message: `Expected the table to have schema 1, got ${schema}`,
    });
  });

  test.each(["clusterId", "partitions", "hash", "createdAt"])(
    "without %s is STORE_CORRUPT",
    async (name) => {
      const attributes = Object.fromEntries(Object.entries(meta).filter(([each]) => each !== name));
      await expect(readMeta(await storeWith(attributes))).rejects.toMatchObject({
        code: "STORE_CORRUPT",
      });
    },
  );
});

describe("checkMeta", () => {
  test("accepts what agrees and what is not named", () => {
    expect(() => checkMeta(meta, {})).not.toThrow();
    expect(() => checkMeta(meta, { partitions: undefined, hash: "coxswain-1" })).not.toThrow();
  });

  test.each([
    [{ partitions: 64 }, "Expected `partitions` to be 1024 as the table was made with, got 64"],
    [{ hash: "other" }, "Expected `hash` to be coxswain-1 as the table was made with, got other"],
    [{ clusterId: "red" }, "Expected `clusterId` to be blue as the table was made with, got red"],
  ])("names both values of %j", (other, message) => {
    expect(() => checkMeta(meta, other)).toThrow(message);
  });
});
