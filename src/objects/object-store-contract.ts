/** What every object store must do; run over each adapter. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ObjectStore } from "./object-store.ts";

const bytesMax = 1024 * 1024;
const textOf = (bytes: Uint8Array) => Buffer.from(bytes).toString();

/** `open` gives a store of its own with two writers, and how to end both. */
export function describeObjectStore(
  name: string,
  open: () => Promise<{ store: ObjectStore; other: ObjectStore; stop(): Promise<void> }>,
): void {
  describe(`object store: ${name}`, () => {
    let opened: Awaited<ReturnType<typeof open>>;
    let keys = 0;
    const newKey = () => `c1/v1/hosts/h${keys++}`;
    beforeAll(async () => {
      opened = await open();
    });
    afterAll(() => opened.stop());

    const write = (key: string, text: string) => opened.store.put(key, Buffer.from(text));
    const read = async (key: string) => {
      const found = await opened.store.get(key, { bytesMax });
      if (found.kind !== "value") throw new Error(`Expected a value, got ${found.kind}`);
      return { text: textOf(found.bytes), etag: found.etag };
    };

    it("says that an object is missing", async () => {
      expect(await opened.store.get(newKey(), { bytesMax })).toEqual({ kind: "missing" });
    });

    it.each([
      ["nothing", ""],
      ["text", "hällo"],
      ["half a mebibyte", "x".repeat(512 * 1024)],
    ])("gives back what was written: %s", async (_name, text) => {
      const key = newKey();
      await write(key, text);
      expect((await read(key)).text).toBe(text);
      expect(await opened.other.get(key, { bytesMax })).toMatchObject({ kind: "value" });
    });

    it("gives nothing back that the caller has, and the new bytes once there are some", async () => {
      const key = newKey();
      await write(key, "one");
      const { etag } = await read(key);
      expect(await opened.store.get(key, { bytesMax, ifNoneMatch: etag })).toEqual({
        kind: "notModified",
      });
      await write(key, "two");
      const found = await opened.store.get(key, { bytesMax, ifNoneMatch: etag });
      expect(found.kind === "value" && textOf(found.bytes)).toBe("two");
    });

    it("keeps what is larger than the caller takes to itself", async () => {
      const key = newKey();
      await write(key, "12345");
      expect(await opened.store.get(key, { bytesMax: 4 })).toEqual({ kind: "tooLarge" });
      expect(await opened.store.get(key, { bytesMax: 5 })).toMatchObject({ kind: "value" });
    });

    it("writes ifAbsent once", async () => {
      const key = newKey();
      const condition = { kind: "ifAbsent" } as const;
      expect(await opened.store.put(key, Buffer.from("a"), { condition })).toEqual({
        kind: "written",
      });
      expect(await opened.other.put(key, Buffer.from("b"), { condition })).toEqual({
        kind: "conditionFailed",
      });
      expect((await read(key)).text).toBe("a");
    });

    it("writes ifMatch only over the bytes that were read", async () => {
      const key = newKey();
      await write(key, "a");
      const { etag } = await read(key);
      const condition = { kind: "ifMatch", etag } as const;
      expect(await opened.other.put(key, Buffer.from("b"), { condition })).toEqual({
        kind: "written",
      });
      expect(await opened.store.put(key, Buffer.from("c"), { condition })).toEqual({
        kind: "conditionFailed",
      });
      expect((await read(key)).text).toBe("b");
    });

    it("does not write ifMatch where there is nothing", async () => {
      const key = newKey();
      const condition = { kind: "ifMatch", etag: '"0123456789abcdef0123456789abcdef"' } as const;
      expect(await opened.store.put(key, Buffer.from("c"), { condition })).toEqual({
        kind: "conditionFailed",
      });
      expect(await opened.store.get(key, { bytesMax })).toEqual({ kind: "missing" });
    });

    it("lets one of many conditional writers win", async () => {
      const key = newKey();
      await write(key, "start");
      const { etag } = await read(key);
      const outcomes = await Promise.all(
        Array.from({ length: 8 }, (_, index) =>
          (index % 2 === 0 ? opened.store : opened.other).put(key, Buffer.from(String(index)), {
            condition: { kind: "ifMatch", etag },
          }),
        ),
      );
      expect(outcomes.filter(({ kind }) => kind === "written")).toHaveLength(1);
      const winner = outcomes.findIndex(({ kind }) => kind === "written");
      expect((await read(key)).text).toBe(String(winner));
    });

    it("never shows half an object to a reader", async () => {
      const key = newKey();
      const texts = ["a".repeat(300_000), "b".repeat(200_000)];
      await write(key, "");
      const writing = (async () => {
        for (let round = 0; round < 10; round++) await write(key, texts[round % 2] ?? "");
      })();
      const seen = new Set<string>();
      for (let round = 0; round < 20; round++) seen.add((await read(key)).text);
      await writing;
      for (const text of seen) expect(["", ...texts]).toContain(text);
    });

    it("ends with the reason of an aborted signal", async () => {
      const signal = AbortSignal.abort(new Error("enough"));
      await expect(opened.store.get(newKey(), { bytesMax, signal })).rejects.toThrow("enough");
    });

    it("refuses keys that could leave its prefix", async () => {
      for (const key of ["../x", "/x", "a//b", "a/../b", ".hidden", ""]) {
        const attempt = async () => opened.store.get(key, { bytesMax });
        await expect(attempt()).rejects.toThrow("Expected an object key");
      }
    });
  });
}
