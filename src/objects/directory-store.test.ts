import { mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { systemClock } from "../kernel/clock.ts";
import { DirectoryStore } from "./directory-store.ts";
import { describeObjectStore } from "./object-store-contract.ts";

const folders: string[] = [];
const newFolder = async () => {
  const folder = await mkdtemp(join(tmpdir(), "coxswain-objects-"));
  folders.push(folder);
  return folder;
};
const removeFolders = async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
};

describeObjectStore("directory", async () => {
  const folder = await newFolder();
  folders.length = 0;
  return {
    store: new DirectoryStore(folder, systemClock),
    other: new DirectoryStore(folder, systemClock),
    stop: () => rm(folder, { recursive: true }),
  };
});

describe("a directory as object store", () => {
  afterEach(removeFolders);

  it("leaves neither locks nor halves behind", async () => {
    const folder = await newFolder();
    const store = new DirectoryStore(folder, systemClock);
    const condition = { kind: "ifAbsent" } as const;
    await store.put("a/x", Buffer.from("1"), { condition });
    await store.put("a/x", Buffer.from("2"), { condition });
    await store.put("a/x", Buffer.from("3"));
    expect(await readdir(join(folder, "a"))).toEqual(["x"]);
  });

  it("takes over a lock that a crash left behind, and waits for a fresh one", async () => {
    const folder = await newFolder();
    const hasty = { ...systemClock, sleep: () => Promise.resolve() };
    const store = new DirectoryStore(folder, hasty);
    await store.put("x", Buffer.from("1"));
    const lock = join(folder, "x.lock~");
    await writeFile(lock, "");
    const condition = { kind: "ifAbsent" } as const;
    await expect(store.put("x", Buffer.from("2"), { condition })).rejects.toMatchObject({
      code: "OBJECTS_UNAVAILABLE",
    });
    const old = new Date(systemClock.wallMs() - 60_000);
    await utimes(lock, old, old);
    expect(await store.put("x", Buffer.from("2"), { condition })).toEqual({
      kind: "conditionFailed",
    });
    expect(await readdir(folder)).toEqual(["x"]);
  });

  it("names the object and the trouble", async () => {
    const folder = await newFolder();
    await writeFile(join(folder, "a"), "a file where a folder should be");
    const store = new DirectoryStore(folder, systemClock);
    await expect(store.put("a/x", Buffer.from("1"))).rejects.toMatchObject({
      code: "OBJECTS_UNAVAILABLE",
      message: expect.stringContaining("Cannot write object a/x"),
    });
  });
});
