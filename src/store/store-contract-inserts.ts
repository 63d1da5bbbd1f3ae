/**
 * The part of the store contract about many items at once: each is written only where there is none
 * with its key, whatever becomes of the others.
 */
import { describe, expect, test } from "vitest";
import { plain } from "./store-contract-reads.ts";
import type { Attributes, Item, Store } from "./store.ts";

/** `opened` gives the store of the running test, which is empty at its start. */
export function describeInserts(opened: () => Store): void {
  const stored = async ({ pk, sk }: Item) => plain(await opened().get({ pk, sk }));

  describe("insertMany", () => {
    test("of nothing writes nothing", async () => {
      expect(await opened().insertMany([])).toEqual([]);
    });

    test("writes 25 items of several pks, which read back as written", async () => {
      const items = itemsOf(25, (index) => ({
        number: index,
        text: index === 3 ? "" : `aé𝄞'"?${index}`,
        bytes: Uint8Array.from([0, index, 255]),
        value: 0.1,
      }));
      const written = items.map(() => ({ kind: "written" }));
      expect(await opened().insertMany(items)).toEqual(written);
      for (const item of items) expect(await stored(item)).toEqual(plain(item));
    });

    test("refuses exactly the items that are there, and leaves those as they were", async () => {
      const before = itemsOf(6, () => ({ old: 1, kept: "k" }));
      await opened().insertMany(before.filter((_, index) => index % 2 === 1));
      const items = itemsOf(6, () => ({ fresh: 1 }));
      expect(kinds(await opened().insertMany(items))).toEqual([
        "written",
        "refused",
        "written",
        "refused",
        "written",
        "refused",
      ]);
      for (const [index, item] of items.entries()) {
        expect(await stored(item)).toEqual(plain(index % 2 === 1 ? before[index] : item));
      }
    });

    test("of an item without attributes is refused the second time", async () => {
      const items = itemsOf(1, () => ({}));
      expect(kinds(await opened().insertMany(items))).toEqual(["written"]);
      expect(kinds(await opened().insertMany(items))).toEqual(["refused"]);
    });

    test("lets one of several callers at once write each item", async () => {
      const callers = Array.from({ length: 6 }, (_, by) => itemsOf(10, () => ({ by })));
      const outcomes = await Promise.all(callers.map((items) => opened().insertMany(items)));
      for (const [index, item] of itemsOf(10, () => ({})).entries()) {
        const winners = outcomes.flatMap((each, by) =>
          each[index]?.kind === "written" ? [by] : [],
        );
        expect(winners).toHaveLength(1);
        expect((await opened().get(item))?.attributes).toEqual({ by: winners[0] });
      }
    });

    test("writes large items, more than one request holds", async () => {
      const items = itemsOf(6, (index) => ({ value: `${index}`.repeat(390 * 1024) }));
      await opened().put({ ...keyOf(4), attributes: {} });
      const outcomes = kinds(await opened().insertMany(items));
      expect(outcomes).toEqual(items.map((_, index) => (index === 4 ? "refused" : "written")));
      expect((await opened().get(keyOf(5)))?.attributes).toEqual(items[5]?.attributes);
    }, 30_000);

    test("throws REQUEST_TOO_LARGE for an item above 400 KB, and writes none of them", async () => {
      const items = itemsOf(3, (index) => ({ value: "x".repeat(index === 2 ? 400 * 1024 : 1) }));
      await expect(opened().insertMany(items)).rejects.toMatchObject({ code: "REQUEST_TOO_LARGE" });
      for (const item of items) expect(await stored(item)).toBeUndefined();
    });

    const first = { ...keyOf(0), attributes: { value: 1 } };
    test.each<[string, Item[]]>([
      ["26 items", itemsOf(26, () => ({}))],
      ["one key twice", [first, { ...first, attributes: {} }]],
      ["an empty sk", [first, { pk: "a", sk: "", attributes: {} }]],
      ["a quote in a name", [first, { ...keyOf(1), attributes: { "it's": 1 } }]],
      ["an attribute named sk", [first, { ...keyOf(1), attributes: { sk: "b" } }]],
      ["NaN", [first, { ...keyOf(1), attributes: { value: Number.NaN } }]],
    ])("may not be asked for %s", async (_, items) => {
      await expect(opened().insertMany(items)).rejects.toMatchObject({ code: "ERR_ASSERTION" });
      expect(await stored(first)).toBeUndefined();
    });
  });
}

function keyOf(index: number) {
  return { pk: `part#${index % 3}`, sk: `item ${index}` };
}

function itemsOf(count: number, attributesOf: (index: number) => Attributes): Item[] {
  return Array.from({ length: count }, (_, index) => ({
    ...keyOf(index),
    attributes: attributesOf(index),
  }));
}

function kinds(outcomes: readonly { readonly kind: string }[]): string[] {
  return outcomes.map(({ kind }) => kind);
}
