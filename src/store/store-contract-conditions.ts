/**
 * The part of the store contract about what a write is conditioned on, and what no call may say.
 * Every case runs against put, update and delete, and looks at what is stored afterwards.
 */
import { describe, expect, test } from "vitest";
import type { Attributes, Condition, Store } from "./store.ts";

const key = { pk: "test", sk: "item" };

/** `opened` gives the store of the running test, which is empty at its start. */
export function describeConditions(opened: () => Store): void {
  describe("conditions", () => {
    const present: Attributes = { number: 5, text: "5", empty: "" };
    const cases: [string, Condition[], "absent" | "present", "written" | "refused"][] = [
      ["absent, of none", [{ kind: "absent" }], "absent", "written"],
      ["absent, of an item", [{ kind: "absent" }], "present", "refused"],
      ["equal number", [equal("number", 5)], "present", "written"],
      ["equal text", [equal("text", "5")], "present", "written"],
      ["equal empty text", [equal("empty", "")], "present", "written"],
      ["equal, other number", [equal("number", 6)], "present", "refused"],
      ["equal, number for text", [equal("text", 5)], "present", "refused"],
      ["equal, text for number", [equal("number", "5")], "present", "refused"],
      ["equal, missing attribute", [equal("none", 5)], "present", "refused"],
      ["equal, of none", [equal("number", 5)], "absent", "refused"],
      ["without, missing attribute", [without("none")], "present", "written"],
      ["without, of none", [without("number")], "absent", "written"],
      ["without, attribute there", [without("number")], "present", "refused"],
      ["without, empty attribute there", [without("empty")], "present", "refused"],
      ["below, less", [below("number", 6)], "present", "written"],
      ["below, the same", [below("number", 5)], "present", "refused"],
      ["below, more", [below("number", 4)], "present", "refused"],
      ["below, missing attribute", [below("none", 0)], "present", "written"],
      ["below, of none", [below("number", 0)], "absent", "written"],
      ["below, text", [below("text", 6)], "present", "refused"],
      ["atMost, less", [atMost("number", 6)], "present", "written"],
      ["atMost, the same", [atMost("number", 5)], "present", "written"],
      ["atMost, more", [atMost("number", 4)], "present", "refused"],
      ["atMost, missing attribute", [atMost("none", 0)], "present", "written"],
      ["atMost, of none", [atMost("number", 0)], "absent", "written"],
      ["atMost, text", [atMost("text", 6)], "present", "refused"],
      ["all hold", [equal("text", "5"), below("number", 9), without("none")], "present", "written"],
      ["the first fails", [equal("text", "6"), below("number", 9)], "present", "refused"],
      [
        "the last fails",
        [equal("text", "5"), below("none", 1), below("number", 5)],
        "present",
        "refused",
      ],
      ["two on one attribute", [below("number", 9), equal("number", 5)], "present", "written"],
      [
        "two on one attribute, one fails",
        [below("number", 9), equal("number", 4)],
        "present",
        "refused",
      ],
      ["numbers compare as numbers", [below("number", 10)], "present", "written"],
    ];

    describe.each(cases)("%s", (_, conditions, state, outcome) => {
      const before = state === "present" ? present : undefined;

      test(`put is ${outcome}`, async () => {
        if (before !== undefined) await put(opened(), before);
        const answer = await opened().put({ ...key, attributes: { changed: 1 } }, conditions);
        expect(answer).toEqual({ kind: outcome });
        expect(await read(opened())).toEqual(outcome === "written" ? { changed: 1 } : before);
      });

      test(`update is ${outcome}`, async () => {
        if (before !== undefined) await put(opened(), before);
        const answer = await opened().update(key, { set: { changed: 1 } }, conditions);
        expect(answer).toEqual({ kind: outcome });
        expect(await read(opened())).toEqual(
          outcome === "written" ? { ...before, changed: 1 } : before,
        );
      });

      test(`delete is ${outcome}`, async () => {
        if (before !== undefined) await put(opened(), before);
        expect(await opened().delete(key, conditions)).toEqual({ kind: outcome });
        expect(await read(opened())).toEqual(outcome === "written" ? undefined : before);
      });
    });

    test("of concurrent writers with one condition exactly one wins", async () => {
      await put(opened(), { version: 1 });
      const outcomes = await Promise.all(
        Array.from({ length: 20 }, (_, writer) =>
          opened().update(key, { set: { version: 2, writer } }, [equal("version", 1)]),
        ),
      );
      const winners = outcomes.flatMap(({ kind }, writer) => (kind === "written" ? [writer] : []));
      expect(winners).toHaveLength(1);
      expect(await read(opened())).toEqual({ version: 2, writer: winners[0] });
    });
  });

  describe("invalid use fails an assertion and changes nothing", () => {
    const long = "x".repeat(2049);
    const cases: [string, (on: Store) => Promise<unknown>][] = [
      ["empty pk", (on) => on.get({ pk: "", sk: "a" })],
      ["empty sk", (on) => on.put({ pk: "a", sk: "", attributes: {} })],
      ["pk above 2,048 bytes", (on) => on.delete({ pk: long, sk: "a" })],
      ["sk above 1,024 bytes", (on) => on.get({ pk: "a", sk: long.slice(0, 1025) })],
      ["half a surrogate pair in a key", (on) => on.get({ pk: "a", sk: "\ud834" })],
      ["half a surrogate pair in a value", (on) => on.put({ ...key, attributes: { a: "\ud834" } })],
      ["NaN", (on) => on.put({ ...key, attributes: { value: Number.NaN } })],
      ["infinity", (on) => on.update(key, { set: { value: Infinity } })],
      ["a number beyond DynamoDB's", (on) => on.put({ ...key, attributes: { value: 1e126 } })],
      ["a structure", (on) => on.put({ ...key, attributes: { value: {} as never } })],
      ["an attribute without a name", (on) => on.put({ ...key, attributes: { "": 1 } })],
      ["an attribute named pk", (on) => on.update(key, { set: { pk: "other" } })],
      ["an update that sets nothing", (on) => on.update(key, { set: {}, remove: ["a"] })],
      ["an attribute set and removed", (on) => on.update(key, { set: { a: 1 }, remove: ["a"] })],
      ["a condition on sk", (on) => on.put({ ...key, attributes: {} }, [equal("sk", "item")])],
      ["a limit of 0", (on) => on.query("a", { limit: 0 })],
      ["an increment by a fraction", (on) => on.increment(key, "value", 0.5)],
      [
        "101 keys",
        (on) => on.getMany(Array.from({ length: 101 }, (_, n) => ({ pk: "a", sk: `${n}` }))),
      ],
      ["one key twice", (on) => on.getMany([key, { ...key }])],
    ];

    test.each(cases)("%s", async (_, use) => {
      await expect(use(opened())).rejects.toMatchObject({ code: "ERR_ASSERTION" });
      expect(await opened().get(key)).toBeUndefined();
    });
  });
}

async function put(store: Store, attributes: Attributes): Promise<void> {
  expect(await store.put({ ...key, attributes })).toEqual({ kind: "written" });
}

async function read(store: Store): Promise<Attributes | undefined> {
  return (await store.get(key))?.attributes;
}

const equal = (attribute: string, value: string | number): Condition => ({
  kind: "equal",
  attribute,
  value,
});
const without = (attribute: string): Condition => ({ kind: "without", attribute });
const below = (attribute: string, value: number): Condition => ({
  kind: "below",
  attribute,
  value,
});
const atMost = (attribute: string, value: number): Condition => ({
  kind: "atMost",
  attribute,
  value,
});
