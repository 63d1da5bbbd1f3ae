import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { createRandom, randomId } from "../kernel/random.ts";
import { MemoryStore } from "../store/memory-store.ts";
import { keys } from "../store/store.ts";
import { readCheckpoint, readCheckpoints, viewNumber, writeCheckpoint } from "./checkpoints.ts";
import { failCalls, loseAnswers } from "./test-faults.ts";

const view = (version: number, generation = 1) => ({ generation, version });
const isPut = (call: string) => call === "put";

function parseEntry(value: unknown): { id: string } {
  const { id } = Object(value) as { id?: unknown };
  if (typeof id !== "string") throw new Error("an entry has no id");
  return { id };
}

/** Entries that do not compress: 2,000 of them take three chunks. */
const large = (seed: string) => {
  const random = createRandom(seed);
  return Array.from({ length: 2_000 }, () => ({ id: randomId(random, 800) }));
};

describe("view numbers", () => {
  it("order as views do and stay exact", () => {
    const ordered = [
      view(0),
      view(1),
      view(2 ** 32 - 1),
      view(0, 2),
      view(2 ** 32 - 1, 2 ** 21 - 1),
    ];
    const numbers = ordered.map(viewNumber);
    expect(numbers).toEqual(numbers.toSorted((left, right) => left - right));
    expect(new Set(numbers).size).toBe(ordered.length);
    expect(() => viewNumber(view(2 ** 32))).toThrow(RangeError);
    expect(() => viewNumber(view(0, 2 ** 21))).toThrow(RangeError);
  });
});

describe("checkpoints", () => {
  it("are none before the first, and read back as written", async () => {
    const store = new MemoryStore();
    expect(await readCheckpoint(store, 3, parseEntry)).toEqual({ kind: "none" });
    const entries = [{ id: "a" }, { id: "b" }];
    expect(await writeCheckpoint(store, 3, view(1), entries)).toEqual({ kind: "written" });
    expect(await readCheckpoint(store, 3, parseEntry)).toEqual({ kind: "found", entries });
    await writeCheckpoint(store, 3, view(1), []);
    expect(await readCheckpoint(store, 3, parseEntry)).toEqual({ kind: "found", entries: [] });
    expect(await readCheckpoint(store, 4, parseEntry)).toEqual({ kind: "none" });
  });

  it("of many partitions come with one call, whatever each of them is", async () => {
    const store = new MemoryStore();
    const entries = large("a");
    await writeCheckpoint(store, 1, view(1), [{ id: "one" }]);
    await writeCheckpoint(store, 2, view(1), entries);
    await writeCheckpoint(store, 3, view(1), [{ id: "three" }]);
    await store.update(keys.status(3, 0), { set: { bytes: new Uint8Array([1]) } });
    const calls: string[] = [];
    store.faults = { before: (call) => void calls.push(call) };
    const read = await readCheckpoints(store, [4, 3, 2, 1], parseEntry);
    expect([...read.keys()]).toEqual([4, 3, 2, 1]);
    expect(read.get(1)).toEqual({ kind: "found", entries: [{ id: "one" }] });
    expect(read.get(2)).toEqual({ kind: "found", entries });
    expect(read.get(3)).toMatchObject({ kind: "damaged" });
    expect(read.get(4)).toEqual({ kind: "none" });
    // The second is for the other chunks of the large one.
    expect(calls).toEqual(["getMany", "getMany"]);
    calls.length = 0;
    expect(await readCheckpoints(store, [], parseEntry)).toEqual(new Map());
    expect(calls).toEqual([]);
  });

  it("of an older view are refused and change nothing; those of the same view replace", async () => {
    const store = new MemoryStore();
    await writeCheckpoint(store, 3, view(5), [{ id: "new" }]);
    expect(await writeCheckpoint(store, 3, view(4), [{ id: "old" }])).toEqual({ kind: "refused" });
    expect(await readCheckpoint(store, 3, parseEntry)).toMatchObject({ entries: [{ id: "new" }] });
    await writeCheckpoint(store, 3, view(1, 2), [{ id: "newer" }]);
    expect(await readCheckpoint(store, 3, parseEntry)).toMatchObject({
      entries: [{ id: "newer" }],
    });
  });

  it("take several chunks of at most 300 KB, and ignore those left over from a larger one", async () => {
    const store = new MemoryStore();
    const entries = large("a");
    await writeCheckpoint(store, 3, view(1), entries);
    const chunks = store.dump().map(({ attributes }) => (attributes["bytes"] as Uint8Array).length);
    expect(chunks.length).toBeGreaterThan(2);
    expect(Math.max(...chunks)).toBeLessThanOrEqual(300_000);
    expect(await readCheckpoint(store, 3, parseEntry)).toEqual({ kind: "found", entries });
    await writeCheckpoint(store, 3, view(2), [{ id: "a" }]);
    expect(await readCheckpoint(store, 3, parseEntry)).toMatchObject({ entries: [{ id: "a" }] });
  });

  it("mixed from two writes are damaged, not half old", async () => {
    const store = new MemoryStore();
    await writeCheckpoint(store, 3, view(1), large("a"));
    store.faults = failCalls(isPut, 1, 1);
    await expect(writeCheckpoint(store, 3, view(2), large("b"))).rejects.toMatchObject({
      code: "STORE_UNAVAILABLE",
    });
    expect(await readCheckpoint(store, 3, parseEntry)).toEqual({
      kind: "damaged",
      reason: "the chunks do not belong together",
    });
  });

  it("report an unknown outcome, after which the same write may be repeated", async () => {
    const store = new MemoryStore();
    store.faults = loseAnswers(isPut, 1);
    expect(await writeCheckpoint(store, 3, view(1), [{ id: "a" }])).toMatchObject({
      kind: "unknown",
    });
    expect(await writeCheckpoint(store, 3, view(1), [{ id: "a" }])).toEqual({ kind: "written" });
  });

  it("too large for 32 chunks are refused before anything is written", async () => {
    const store = new MemoryStore();
    const entries = [{ id: randomBytes(11_000_000).toString("base64") }];
    await expect(writeCheckpoint(store, 3, view(1), entries)).rejects.toMatchObject({
      code: "REQUEST_TOO_LARGE",
    });
    expect(store.dump()).toEqual([]);
  });

  it.each<[string, Record<string, unknown>, string]>([
    ["no count", { count: "x" }, "counts x"],
    ["a count of 33", { count: 33 }, "counts 33"],
    ["a missing chunk", { count: 2 }, "chunk 1 of 2 is missing"],
    ["other bytes", { bytes: new Uint8Array([1]) }, "do not belong together"],
    ["no bytes", { bytes: "x" }, "chunk 0 of 1 is missing"],
  ])("with %s are damaged, with the reason", async (_, change, reason) => {
    const store = new MemoryStore();
    await writeCheckpoint(store, 3, view(1), [{ id: "a" }]);
    await store.update(keys.status(3, 0), { set: change as never });
    expect(await readCheckpoint(store, 3, parseEntry)).toEqual({
      kind: "damaged",
      reason: expect.stringContaining(reason),
    });
  });

  it("with entries that the reader does not know are damaged", async () => {
    const store = new MemoryStore();
    await writeCheckpoint(store, 3, view(1), [{ name: "a" }]);
    expect(await readCheckpoint(store, 3, parseEntry)).toEqual({
      kind: "damaged",
      reason: "an entry has no id",
    });
  });

  it("that cannot be read are an error, not none", async () => {
    const store = new MemoryStore();
    await writeCheckpoint(store, 3, view(1), large("a"));
    for (const call of ["get", "getMany"]) {
      store.faults = failCalls((each) => each === call, 1);
      await expect(readCheckpoint(store, 3, parseEntry)).rejects.toMatchObject({
        code: "STORE_UNAVAILABLE",
      });
    }
  });
});
