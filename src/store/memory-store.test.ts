import { expect, test } from "vitest";
import { MemoryStore } from "./memory-store.ts";
import { describeStoreContract } from "./store-contract.ts";

const key = { pk: "test", sk: "item" };
const fail = () => {
  throw new Error("injected");
};

describeStoreContract("MemoryStore", async () => ({
  store: new MemoryStore(),
  close: async () => {},
}));

test("a fault before a write throws and leaves the item as it was", async () => {
  const store = new MemoryStore();
  await store.put({ ...key, attributes: { value: 1 } });
  store.faults = { before: fail };
  await expect(store.put({ ...key, attributes: { value: 2 } })).rejects.toThrow("injected");
  store.faults = {};
  expect(await store.get(key)).toEqual({ ...key, attributes: { value: 1 } });
});

test("a fault after a write makes its outcome unknown, and the write stays", async () => {
  const store = new MemoryStore();
  store.faults = { after: fail };
  const outcome = await store.put({ ...key, attributes: { value: 2 } });
  expect(outcome).toEqual({ kind: "unknown", cause: new Error("injected") });
  await expect(store.increment(key, "value", 1)).rejects.toMatchObject({
    code: "STORE_UNKNOWN_OUTCOME",
  });
  store.faults = {};
  expect(await store.get(key)).toEqual({ ...key, attributes: { value: 3 } });
});

test.each(["before", "after"] as const)("a fault %s a read fails it", async (when) => {
  const store = new MemoryStore();
  store.faults = { [when]: fail };
  await expect(store.get(key)).rejects.toThrow("injected");
  await expect(store.query("test", { limit: 1 })).rejects.toThrow("injected");
  await expect(store.getMany([key])).rejects.toThrow("injected");
});

test("faults are told the operation and the key, in order", async () => {
  const store = new MemoryStore();
  const told: string[] = [];
  store.faults = {
    before: (call, { pk, sk }) => void told.push(`before ${call} ${pk}/${sk}`),
    after: (call) => void told.push(`after ${call}`),
  };
  await store.increment(key, "value", 1);
  await store.query("list", { prefix: "host#", limit: 1 });
  expect(told).toEqual([
    "before increment test/item",
    "after increment",
    "before query list/host#",
    "after query",
  ]);
});

test("what a reader does to an item it got does not reach the store", async () => {
  const store = new MemoryStore();
  await store.put({ ...key, attributes: { value: 1 } });
  const found = await store.get(key);
  Object.assign(found?.attributes ?? {}, { value: 9 });
  expect(await store.get(key)).toEqual({ ...key, attributes: { value: 1 } });
});

test("restore replaces everything with what dump gave", async () => {
  const store = new MemoryStore();
  await store.put({ ...key, attributes: { value: 1 } });
  const older = store.dump();
  await store.put({ ...key, attributes: { value: 2 } });
  await store.put({ pk: "other", sk: "item", attributes: {} });
  store.restore(older);
  expect(store.dump()).toEqual([{ ...key, attributes: { value: 1 } }]);
});
