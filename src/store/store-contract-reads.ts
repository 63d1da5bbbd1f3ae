/**
 * The part of the store contract about reading many items: getMany, and query with its order, pages
 * and prefixes.
 */
import { describe, expect, test } from "vitest";
import type { Attributes, Item, Key, Store } from "./store.ts";

const bytes = (...values: number[]) => Uint8Array.from(values);

/** `opened` gives the store of the running test, which is empty at its start. */
export function describeReads(opened: () => Store): void {
  const put = async (attributes: Attributes, of: Key) => {
    expect(await opened().put({ ...of, attributes })).toEqual({ kind: "written" });
  };

  const fill = async (sks: readonly string[], attributes: Attributes = {}) => {
    await Promise.all(sks.map((sk) => put({ ...attributes, of: sk }, { pk: "list", sk })));
  };

  /** The sort keys of every page, in the order they came. */
  const pages = async (options: { prefix?: string; limit: number }) => {
    const found: string[][] = [];
    let page = await opened().query("list", options);
    for (let count = 0; count < 100; count++) {
      found.push(page.items.map(({ sk }) => sk));
      if (page.next === undefined) return found;
      page = await opened().query("list", { ...options, after: page.next });
    }
    throw new Error("a query did not end");
  };

  describe("getMany", () => {
    test.each([0, 1, 2, 99, 100])("of %i keys returns the items that exist", async (count) => {
      const all = keysOf(count);
      const present = all.filter((_, index) => index % 3 !== 1);
      await Promise.all(present.map((of) => put({ of: of.sk, bytes: bytes(7) }, of)));
      const found = await opened().getMany(all);
      expect(sortedTexts(found)).toEqual(
        sortedTexts(present.map((of) => ({ ...of, attributes: { of: of.sk, bytes: bytes(7) } }))),
      );
    });

    test("returns all of 60 items of 350 KB, more than one answer holds", async () => {
      const all = keysOf(60);
      const value = "x".repeat(350 * 1024);
      for (const of of all) await put({ value }, of);
      const found = await opened().getMany(all);
      expect(new Set(found.map(({ sk }) => sk)).size).toBe(60);
      expect(found.every(({ attributes }) => attributes["value"] === value)).toBe(true);
    }, 60_000);
  });

  describe("query", () => {
    test("of a pk without items is empty and ends", async () => {
      await fill(["a"]);
      expect(await opened().query("other", { limit: 5 })).toEqual({ items: [], next: undefined });
    });

    test("returns whole items of the pk only", async () => {
      await fill(["b", "a"], { value: bytes(1, 2) });
      await put({ value: 0 }, { pk: "list2", sk: "a" });
      const page = await opened().query("list", { limit: 5 });
      expect(page.items.map((item) => plain(item))).toEqual(
        ["a", "b"].map((sk) =>
          plain({ pk: "list", sk, attributes: { value: bytes(1, 2), of: sk } }),
        ),
      );
      expect(page.next).toBeUndefined();
    });

    test("orders by the UTF-8 bytes of sk, not by UTF-16 or by number", async () => {
      const ordered = ["10", "9", "A", "a", "aa", "b", "z", "é", "ﬀ", "\uffee", "𝄞", "𝄞a", "😀"];
      const byBytes = ordered.toSorted((left, right) =>
        Buffer.compare(Buffer.from(left), Buffer.from(right)),
      );
      await fill(ordered.toReversed());
      expect(byBytes).toEqual(ordered);
      expect(await pages({ limit: 100 })).toEqual([ordered]);
      expect((await pages({ limit: 1 })).flat()).toEqual(ordered);
    });

    test.each([
      ["fewer than there are", 2, [["a", "b"], ["c", "d"], ["e"]]],
      ["a divisor", 5, [["a", "b", "c", "d", "e"]]],
      ["more than there are", 6, [["a", "b", "c", "d", "e"]]],
    ])("with a limit of %s gives full pages and no empty last one", async (_, limit, expected) => {
      await fill(["a", "b", "c", "d", "e"]);
      expect(await pages({ limit })).toEqual(expected);
    });

    test("a prefix selects what begins with it, byte for byte", async () => {
      await fill(["host#a", "host#b", "host$", "host", "hos", "Host#c", "host#𝄞", "i"]);
      expect(await pages({ prefix: "host#", limit: 2 })).toEqual([
        ["host#a", "host#b"],
        ["host#𝄞"],
      ]);
      expect(await pages({ prefix: "host", limit: 9 })).toEqual([
        ["host", "host#a", "host#b", "host#𝄞", "host$"],
      ]);
      expect(await pages({ prefix: "none", limit: 9 })).toEqual([[]]);
    });

    test.each([
      ["of an item", "host#b", ["host#c"]],
      ["between items", "host#aa", ["host#b", "host#c"]],
      ["of the prefix itself", "host#", ["host#a", "host#b", "host#c"]],
      ["below the prefix", "head", ["host#a", "host#b", "host#c"]],
      ["empty", "", ["host#a", "host#b", "host#c"]],
      ["above the prefix", "status", []],
      ["last", "host#c", []],
    ])("`after` %s goes on behind it", async (_, after, expected) => {
      await fill(["head", "host#a", "host#b", "host#c", "status"]);
      const page = await opened().query("list", { prefix: "host#", after, limit: 10 });
      expect(page.items.map(({ sk }) => sk)).toEqual(expected);
      expect(page.next).toBeUndefined();
    });

    test("fills a page of more than 1 MB", async () => {
      const sks = Array.from({ length: 12 }, (_, index) => `item-${100 + index}`);
      await fill(sks, { value: "x".repeat(300 * 1024) });
      expect(await pages({ limit: 12 })).toEqual([sks]);
      expect(await pages({ limit: 7 })).toEqual([sks.slice(0, 7), sks.slice(7)]);
    }, 30_000);
  });
}

function keysOf(count: number): Key[] {
  return Array.from({ length: count }, (_, index) => ({ pk: `part#${index % 7}`, sk: `${index}` }));
}

function sortedTexts(items: readonly Item[]): string[] {
  return items.map((item) => JSON.stringify(plain(item))).toSorted();
}

/** Bytes as arrays and names in order: adapters may answer with Buffer, and in any order. */
export function plain(item: Item | undefined): unknown {
  if (item === undefined) return undefined;
  const attributes = Object.entries(item.attributes)
    .toSorted(([left], [right]) => (left < right ? -1 : 1))
    .map(([name, value]) => [name, value instanceof Uint8Array ? { bytes: [...value] } : value]);
  return { ...item, attributes: Object.fromEntries(attributes) as unknown };
}
