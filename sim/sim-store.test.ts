import { expect, test } from "vitest";
import { MemoryStore } from "../src/store/memory-store.ts";
import type { InsertOutcome } from "../src/store/store.ts";
import { Dice } from "./dice.ts";
import { Network } from "./network.ts";
import { ProcessClock } from "./process-clock.ts";
import { calmStore, SimStore, type StoreTrouble } from "./sim-store.ts";
import { Timeline } from "./timeline.ts";

const items = Array.from({ length: 25 }, (_, index) => ({
  pk: "part#1",
  sk: `host#${index}`,
  attributes: { revision: 1 },
}));

/** What one `insertMany` of `items` gives, what was stored, and what the simulator was told of. */
async function insert(trouble: Partial<StoreTrouble>, seed = 1) {
  const timeline = new Timeline();
  const weights = { lossRatio: 0, duplicateRatio: 0, lateRatio: 0, delayMinMs: 1, delayMaxMs: 2 };
  const inner = new MemoryStore();
  const told: string[] = [];
  const store = new SimStore(
    {
      inner,
      timeline,
      network: new Network(timeline, Dice.of(1, "network"), weights),
      trouble: { ...calmStore, ...trouble },
      dice: Dice.of(seed, "store"),
      onTrouble: () => {},
      onWritten: ({ sk }) => void told.push(sk),
    },
    "a",
    new ProcessClock(timeline),
  );
  let outcomes: readonly InsertOutcome[] = [];
  let error: unknown;
  const ended = store.insertMany(items).then(
    (value) => (outcomes = value),
    (thrown: unknown) => (error = thrown),
  );
  await timeline.run(10_000, () => false);
  await ended;
  const kinds = outcomes.map(({ kind }) => kind);
  return { kinds, error, told, stored: inner.dump().map(({ sk }) => sk) };
}

const all = items.map(({ sk }) => sk);

test("a calm store writes each item of an insert and tells of each", async () => {
  const { kinds, told, stored } = await insert({});
  expect(new Set(kinds)).toEqual(new Set(["written"]));
  expect([told, stored]).toEqual([all, all]);
});

test("an insert whose answer is lost has landed, and every item of it is unknown", async () => {
  const { kinds, told, stored } = await insert({ unknownRatio: 1 });
  expect(kinds).toEqual(items.map(() => "unknown"));
  expect([told, stored]).toEqual([all, all]);
});

test("an insert to a store that is down is unknown and has not landed", async () => {
  const { kinds, told, stored } = await insert({ isDown: true });
  expect(kinds).toEqual(items.map(() => "unknown"));
  expect([told, stored]).toEqual([[], []]);
});

test("a store that refuses calls takes nothing of an insert", async () => {
  const { error, told, stored } = await insert({ isRefusing: true });
  expect(error).toMatchObject({ code: "STORE_UNAVAILABLE" });
  expect([told, stored]).toEqual([[], []]);
});

test("a store that throttles does so item by item, and tells which ones it wrote", async () => {
  const { kinds, told, stored } = await insert({ throttledRatio: 0.3 }, 2);
  expect(new Set(kinds)).toEqual(new Set(["written", "notWritten"]));
  const written = all.filter((_, index) => kinds[index] === "written");
  expect([told, stored]).toEqual([written, written]);
});
