import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { digestOf } from "../protocol/digest.ts";
import { limits } from "../protocol/limits.ts";
import { MemoryStore } from "../store/memory-store.ts";
import { keys } from "../store/store.ts";
import { Releases } from "./releases.ts";
import { failCalls, interleave, loseAnswers } from "./test-faults.ts";

const by = { author: "ann", atIso: "2026-11-23T10:00:00.000Z" };
const bytes = (text: string) => new TextEncoder().encode(text);

/** Bytes that do not compress: every chunk is at its largest. */
function noise(size: number): Uint8Array {
  let state = 1;
  return Uint8Array.from({ length: size }, () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return state >>> 24;
  });
}

function create() {
  const store = new MemoryStore();
  return { store, releases: new Releases(store) };
}

describe("releases refused", () => {
  it.each(["../etc/passwd", "a/../b", "", "/a", "a//b", "a b", ".", "a/", "n".repeat(129)])(
    "for a bad name: %j",
    async (name) => {
      const { releases, store } = create();
      await expect(releases.put(name, bytes("x"), by)).rejects.toMatchObject({
        code: "CONFIG_INVALID",
      });
      await expect(releases.get(name, digestOf(bytes("x")))).rejects.toMatchObject({
        code: "CONFIG_INVALID",
      });
      await expect(releases.list(name)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
      expect(store.dump()).toEqual([]);
    },
  );

  it("one byte over the limit, and taken at the limit", async () => {
    const { releases, store } = create();
    const content = noise(limits.contentBytesMax + 1);
    await expect(releases.put("c", content, by)).rejects.toMatchObject({
      code: "REQUEST_TOO_LARGE",
    });
    expect(store.dump()).toEqual([]);
    const { digest } = await releases.put("c", content.subarray(1), by);
    expect(await releases.readContent(digest)).toEqual(content.slice(1));
    const chunks = store.dump().filter(({ pk }) => pk.startsWith("content#"));
    const sizes = chunks.map(({ attributes }) => (attributes["bytes"] as Uint8Array).length);
    expect(sizes).toHaveLength(4);
    expect(Math.max(...sizes)).toBeLessThan(300_000);
  });

  it("leaves no release behind where the content could not be written", async () => {
    const { releases, store } = create();
    store.faults = failCalls((call) => call === "put", 1, 1);
    await expect(releases.put("c", noise(600_000), by)).rejects.toMatchObject({
      code: "STORE_UNAVAILABLE",
    });
    expect(store.dump().map(({ pk }) => pk.split("#")[0])).toEqual(["content"]);
    await expect(releases.readContent(digestOf(noise(600_000)))).rejects.toMatchObject({
      code: "RELEASE_NOT_FOUND",
    });
  });
});

describe("releases", () => {
  it("are listed newest first by their counter, whatever the clocks say", async () => {
    const { releases } = create();
    const first = await releases.put("c", bytes("1"), by);
    const second = await releases.put("c", bytes("2"), {
      author: "bob",
      atIso: "1999-01-01T00:00:00Z",
    });
    expect(first).toMatchObject({ name: "c", size: 1, isNew: true });
    const list = await releases.list("c");
    expect(list.map(({ digest }) => digest)).toEqual([second.digest, first.digest]);
    expect(list[0]).toMatchObject({ author: "bob", at: "1999-01-01T00:00:00Z", size: 1 });
  });

  it("are the same when the same content comes again, and keep their first author", async () => {
    const { releases } = create();
    const { digest } = await releases.put("c", bytes("1"), by);
    await releases.put("c", bytes("2"), by);
    const again = await releases.put("c", bytes("1"), { author: "bob", atIso: "later" });
    expect(again).toEqual({ name: "c", digest, size: 1, isNew: false });
    expect((await releases.list("c")).map(({ author }) => author)).toEqual(["ann", "ann"]);
  });

  it("read back byte for byte, empty ones too", async () => {
    const { releases } = create();
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 2_000 }), async (content) => {
        const { digest, size } = await releases.put("dir/c", content, by);
        expect(size).toBe(content.length);
        expect(await releases.readContent(digest)).toEqual(content);
      }),
      { numRuns: 30 },
    );
    expect(await releases.readContent((await releases.put("c", bytes(""), by)).digest)).toEqual(
      bytes(""),
    );
  });

  it("of an unknown config or digest are not found", async () => {
    const { releases } = create();
    await expect(releases.list("c")).rejects.toMatchObject({ code: "CONFIG_NOT_FOUND" });
    await expect(releases.readContent("nonsense")).rejects.toMatchObject({
      code: "RELEASE_NOT_FOUND",
    });
    await expect(releases.require("c", digestOf(bytes("x")))).rejects.toMatchObject({
      code: "RELEASE_NOT_FOUND",
    });
    const { digest } = await releases.put("c", bytes("x"), by);
    await expect(releases.require("other", digest)).rejects.toMatchObject({
      code: "RELEASE_NOT_FOUND",
    });
    expect(await releases.get("other", digest)).toBeUndefined();
    expect(await releases.require("c", digest)).toMatchObject({ name: "c", digest });
  });

  it.each<[string, number, object | undefined]>([
    ["another content", 0, { count: 3, bytes: bytes("nonsense") }],
    ["a missing chunk", 1, undefined],
    ["an impossible count", 0, { count: 99, bytes: bytes("") }],
    ["a count that is too small", 0, "count 1" as never],
  ])(
    "with %s are RELEASE_DAMAGED, and whole again once put again",
    async (_, chunk, attributes) => {
      const { releases, store } = create();
      const content = noise(600_000);
      const { digest } = await releases.put("c", content, by);
      const key = keys.content(digest, chunk);
      const before = await store.get(key);
      if (attributes === undefined) await store.delete(key);
      else if (typeof attributes === "string")
        await store.put({ ...key, attributes: { ...before?.attributes, count: 1 } });
      else await store.put({ ...key, attributes: attributes as never });
      await expect(releases.readContent(digest)).rejects.toMatchObject({ code: "RELEASE_DAMAGED" });
      await releases.put("c", content, by);
      expect(await releases.readContent(digest)).toEqual(content);
    },
  );

  it("that hold other bytes than their digest says are RELEASE_DAMAGED", async () => {
    const { releases, store } = create();
    const { digest } = await releases.put("c", bytes("good"), by);
    const other = await releases.put("c", bytes("evil"), by);
    const evil = await store.get(keys.content(other.digest, 0));
    await store.put({ ...keys.content(digest, 0), attributes: evil?.attributes ?? {} });
    await expect(releases.readContent(digest)).rejects.toMatchObject({ code: "RELEASE_DAMAGED" });
  });

  it("are new exactly once when two writers publish the same content at once", async () => {
    const { releases, store } = create();
    let other: { isNew: boolean } | undefined;
    store.faults = interleave(
      (call, { sk }) => call === "put" && sk.startsWith("release#"),
      async () => {
        other = await releases.put("c", bytes("x"), by);
      },
    );
    const mine = await releases.put("c", bytes("x"), by);
    expect([mine.isNew, other?.isNew]).toEqual([false, true]);
    expect(await releases.list("c")).toHaveLength(1);
  });

  it.each(["put", "increment"])("are new although the answer to a %s was lost", async (lost) => {
    const { releases, store } = create();
    store.faults = loseAnswers((call, { pk }) => call === lost && pk.startsWith("config"), 2);
    expect(await releases.put("c", bytes("x"), by)).toMatchObject({ isNew: true });
    expect(await releases.list("c")).toHaveLength(1);
  });

  it("end in STORE_UNKNOWN_OUTCOME where no answer ever comes", async () => {
    for (const lost of ["put", "increment"]) {
      const { releases, store } = create();
      store.faults = loseAnswers((call) => call === lost, 9);
      await expect(releases.put("c", bytes("x"), by)).rejects.toMatchObject({
        code: "STORE_UNKNOWN_OUTCOME",
      });
    }
  });
});

describe("configs", () => {
  it("are listed by name with their newest release, even where a first put died", async () => {
    const { releases, store } = create();
    await releases.put("b", bytes("1"), by);
    const newest = await releases.put("b", bytes("2"), by);
    await releases.put("a/x", bytes("1"), by);
    await store.increment(keys.config("z"), "sequence", 1);
    const configs = await releases.listConfigs();
    expect(configs.map(({ name, releaseCount }) => [name, releaseCount])).toEqual([
      ["a/x", 1],
      ["b", 2],
      ["z", 0],
    ]);
    expect(configs[1]?.latest?.digest).toBe(newest.digest);
    expect(configs[2]?.latest).toBeUndefined();
    expect(await releases.list("z")).toEqual([]);
  });

  it("come whole over several pages, and a damaged release is STORE_CORRUPT", async () => {
    const { releases, store } = create();
    for (let at = 0; at < 501; at++) await releases.put("c", bytes(String(at)), by);
    expect(await releases.list("c")).toHaveLength(501);
    await store.put({ ...keys.release("c", "sha256:x"), attributes: {} });
    await expect(releases.listConfigs()).rejects.toMatchObject({ code: "STORE_CORRUPT" });
  });
});
