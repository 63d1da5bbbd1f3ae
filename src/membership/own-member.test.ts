import { describe, expect, it } from "vitest";
import { CoxswainError } from "../kernel/errors.ts";
import { MemoryStore } from "../store/memory-store.ts";
import { keys } from "../store/store.ts";
import { markMember } from "./mark.ts";
import { decodeMember, encodeMember, type MemberReport } from "./member.ts";
import { membershipDefaults as options } from "./options.ts";
import { OwnMember } from "./own-member.ts";

const { signal } = new AbortController();

async function claimed(store: MemoryStore): Promise<OwnMember> {
  const url = "http://a.test";
  const own = new OwnMember({ slot: "a", weight: 1, zone: "", url, fleetUrl: url }, "holder");
  await store.put({ ...keys.member("a"), attributes: encodeMember(own.row) });
  own.claimed(1, 1, 0);
  return own;
}

async function stored(store: MemoryStore): Promise<MemberReport> {
  const item = await store.get(keys.member("a"));
  if (item === undefined) throw new Error("No item");
  return decodeMember(item);
}

const beatAt = (own: OwnMember, store: MemoryStore, atMs: number) =>
  own.beat(store, { monotonicMs: () => atMs }, options, signal);

describe("a beat", () => {
  it("that lands late does not undo a newer one", async () => {
    const store = new MemoryStore();
    const own = await claimed(store);
    const { promise, resolve } = Promise.withResolvers<void>();
    store.faults = { before: (call) => (call === "update" ? promise : undefined) };
    const late = beatAt(own, store, 1_000);
    store.faults = {};
    own.suspect({ b: "1:1" });
    expect(await beatAt(own, store, 2_000)).toEqual({ kind: "written" });
    resolve();
    await late;
    expect(await stored(store)).toMatchObject({ beat: 3, suspects: { b: "1:1" } });
  });

  it("whose answer is lost is said again by the next, which succeeds", async () => {
    const store = new MemoryStore();
    const own = await claimed(store);
    store.faults = { after: lost };
    expect(await beatAt(own, store, 1_000)).toMatchObject({ kind: "unknown" });
    store.faults = {};
    expect(await beatAt(own, store, 2_000)).toEqual({ kind: "written" });
    expect(own.lastWrittenMs).toBe(2_000);
  });

  it("that the store refuses to take is failed, and does not count as written", async () => {
    const store = new MemoryStore();
    const own = await claimed(store);
    store.faults = { before: lost };
    expect(await beatAt(own, store, 1_000)).toMatchObject({ kind: "failed" });
    expect(own.lastWrittenMs).toBe(0);
  });
});

describe("a marked member", () => {
  it("registers the next incarnation, without the mark", async () => {
    const store = new MemoryStore();
    const own = await claimed(store);
    await markMember(store, await stored(store));
    expect(await beatAt(own, store, 1_000)).toEqual({ kind: "rejoined" });
    expect(await stored(store)).toMatchObject({ incarnation: 2, evicting: undefined });
    expect(own.isMarked).toBe(false);
  });

  it("waits between two registrations", async () => {
    const store = new MemoryStore();
    const own = await claimed(store);
    await markMember(store, await stored(store));
    await beatAt(own, store, 1_000);
    await markMember(store, await stored(store));
    expect(await beatAt(own, store, 2_000)).toEqual({ kind: "marked" });
    expect(own.isMarked).toBe(true);
    expect(await beatAt(own, store, 1_000 + options.rejoinMinMs)).toEqual({ kind: "rejoined" });
    expect(own.row.incarnation).toBe(3);
  });

  it("recognises its own registration after a lost answer", async () => {
    const store = new MemoryStore();
    const own = await claimed(store);
    await markMember(store, await stored(store));
    store.faults = { after: (call) => (call === "put" ? lost() : undefined) };
    expect(await beatAt(own, store, 1_000)).toMatchObject({ kind: "unknown" });
    store.faults = {};
    expect(await beatAt(own, store, 2_000)).toEqual({ kind: "rejoined" });
    expect(own.row.incarnation).toBe(2);
    expect(await beatAt(own, store, 3_000)).toEqual({ kind: "written" });
  });

  it("that is leaving does not come back", async () => {
    const store = new MemoryStore();
    const own = await claimed(store);
    own.intend("leave");
    await markMember(store, await stored(store));
    expect(await beatAt(own, store, 1_000)).toEqual({ kind: "marked" });
  });
});

describe("a member whose item is not its own", () => {
  it("is replaced where another holder has the slot, even with the same incarnation", async () => {
    const store = new MemoryStore();
    const own = await claimed(store);
    const attributes = encodeMember({ ...own.row, holder: "other" });
    await store.put({ ...keys.member("a"), attributes });
    expect(await beatAt(own, store, 1_000)).toEqual({ kind: "replaced" });
    expect(await own.remove(store)).toEqual({ kind: "refused" });
  });

  it("registers the same incarnation again where the item is gone", async () => {
    const store = new MemoryStore();
    const own = await claimed(store);
    store.restore([]);
    expect(await beatAt(own, store, 1_000)).toEqual({ kind: "restored" });
    expect(await stored(store)).toMatchObject({ incarnation: 1, holder: "holder" });
  });
});

function lost(): never {
  throw new CoxswainError("STORE_UNAVAILABLE", "The test lost the answer");
}
