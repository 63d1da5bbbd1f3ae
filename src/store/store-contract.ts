/**
 * The contract of the store port, as tests: every adapter runs this one suite.
 *
 * Each sentence of store.ts has a test here. What an adapter alone can do wrong (timeouts, errors of
 * its server) is tested beside the adapter.
 */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { describeConditions } from "./store-contract-conditions.ts";
import { describeReads, plain } from "./store-contract-reads.ts";
import type { Attributes, Key, Store } from "./store.ts";

/** Opens an empty store for one test; `close` ends what `open` started. */
export type OpenForTest = () => Promise<{ store: Store; close: () => Promise<void> }>;

const key = { pk: "test", sk: "item" };
const bytes = (...values: number[]) => Uint8Array.from(values);

export function describeStoreContract(name: string, open: OpenForTest): void {
  describe(`${name} keeps the store contract`, () => {
    let opened: Awaited<ReturnType<OpenForTest>>;
    let store: Store;

    beforeEach(async () => {
      opened = await open();
      store = opened.store;
    });

    afterEach(() => opened.close());

    const read = async (of: Key = key) => (await store.get(of))?.attributes;

    const put = async (attributes: Attributes, of: Key = key) => {
      expect(await store.put({ ...of, attributes })).toEqual({ kind: "written" });
    };

    describe("get and put", () => {
      test("an item that was never written is undefined", async () => {
        expect(await store.get(key)).toBeUndefined();
      });

      test.each<[string, Attributes]>([
        ["text", { value: "aé𝄞\n\u0000" }],
        ["empty text", { value: "" }],
        ["integers", { zero: 0, one: 1, minus: -7, large: Number.MAX_SAFE_INTEGER }],
        ["fractions", { value: 0.1, tiny: 5e-100, huge: 1.5e125 }],
        ["bytes", { value: bytes(0, 1, 254, 255) }],
        ["empty bytes", { value: bytes() }],
        ["no attributes", {}],
        ["words reserved in expressions", { name: "n", value: 1, size: 2, "a.b-c d": 3 }],
      ])("%s read back as written", async (_, attributes) => {
        await put(attributes);
        const found = await store.get(key);
        expect(plain(found)).toEqual(plain({ ...key, attributes }));
      });

      test("put replaces the whole item", async () => {
        await put({ left: 1, right: 2 });
        await put({ right: 3 });
        expect(await read()).toEqual({ right: 3 });
      });

      test("keys differ by both parts and by case", async () => {
        const others = [
          { pk: "test", sk: "Item" },
          { pk: "Test", sk: "item" },
          { pk: "testitem", sk: "item" },
        ];
        await put({ value: "first" });
        for (const other of others) await put({ value: JSON.stringify(other) }, other);
        expect(await read()).toEqual({ value: "first" });
        for (const other of others) {
          expect(await read(other)).toEqual({ value: JSON.stringify(other) });
        }
      });

      test("an item of 399 KB is written and one above 400 KB refused, with nothing changed", async () => {
        await put({ value: "x".repeat(399 * 1024) });
        const tooLarge = { ...key, attributes: { value: "x".repeat(400 * 1024) } };
        await expect(store.put(tooLarge)).rejects.toMatchObject({ code: "REQUEST_TOO_LARGE" });
        const change = { set: { more: "x".repeat(2 * 1024) } };
        await expect(store.update(key, change)).rejects.toMatchObject({
          code: "REQUEST_TOO_LARGE",
        });
        expect(Object.keys((await read()) ?? {})).toEqual(["value"]);
      });
    });

    describe("update", () => {
      test("creates the item where there is none", async () => {
        const change = { set: { text: "", bytes: bytes() }, remove: ["other"] };
        expect(await store.update(key, change)).toEqual({ kind: "written" });
        expect(plain(await store.get(key))).toEqual(
          plain({ ...key, attributes: { text: "", bytes: bytes() } }),
        );
      });

      test("sets and removes what is named and keeps the rest", async () => {
        await put({ kept: "k", changed: 1, removed: 2 });
        await store.update(key, { set: { changed: "now text", added: 3 }, remove: ["removed"] });
        expect(await read()).toEqual({ kept: "k", changed: "now text", added: 3 });
      });

      test("removing what is not there is no failure", async () => {
        await put({ kept: 1 });
        const outcome = await store.update(key, { set: { kept: 2 }, remove: ["none"] });
        expect(outcome).toEqual({ kind: "written" });
        expect(await read()).toEqual({ kept: 2 });
      });
    });

    describe("delete", () => {
      test("removes the item alone", async () => {
        const other = { pk: key.pk, sk: "other" };
        await put({ value: 1 });
        await put({ value: 2 }, other);
        expect(await store.delete(key)).toEqual({ kind: "written" });
        expect(await read()).toBeUndefined();
        expect(await read(other)).toEqual({ value: 2 });
      });

      test("deleting what is not there is written", async () => {
        expect(await store.delete(key)).toEqual({ kind: "written" });
      });
    });

    describe("increment", () => {
      test("starts at 0, adds any integer and keeps the other attributes", async () => {
        expect(await store.increment(key, "value", 3)).toBe(3);
        await store.update(key, { set: { other: "o" } });
        expect(await store.increment(key, "value", -5)).toBe(-2);
        expect(await store.increment(key, "second", 0)).toBe(0);
        expect(await read()).toEqual({ value: -2, second: 0, other: "o" });
      });

      test("100 at once give 100 different numbers and lose none", async () => {
        const values = await Promise.all(
          Array.from({ length: 100 }, () => store.increment(key, "value", 1)),
        );
        const expected = Array.from({ length: 100 }, (_, index) => index + 1);
        expect(values.toSorted((left, right) => left - right)).toEqual(expected);
        expect(await read()).toEqual({ value: 100 });
      });

      test("of an attribute that is no number is STORE_CORRUPT and changes nothing", async () => {
        await put({ value: "text" });
        await expect(store.increment(key, "value", 1)).rejects.toMatchObject({
          code: "STORE_CORRUPT",
        });
        expect(await read()).toEqual({ value: "text" });
      });
    });

    describeConditions(() => store);
    describeReads(() => store);

    test("close may be called more than once", async () => {
      await put({ value: 1 });
      await store.close();
      await expect(store.close()).resolves.toBeUndefined();
    });
  });
}
