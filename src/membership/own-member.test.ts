import { describe, expect, it } from "vitest";
import { CoxswainError } from "../kernel/errors.ts";
import { MemoryStore } from "../store/memory-store.ts";
import { keys } from "../store/store.ts";
import { markMember } from "./mark.ts";
import { decodeMember, encodeMember, type MemberReport } from "./member.ts";
import { membershipDefaults as options } from "./options.ts";
import { OwnMember } from "./own-member.ts";
import { noFlaps } from "./probation.ts";

const { signal } = new AbortController();

async function claimed(store: MemoryStore): Promise<OwnMember> {
  const url = "http://a.test";
  const own = new OwnMember({ slot: "a", weight: 1, zone: "", url, fleetUrl: url }, "holder");
  await store.put({ ...keys.member("a"), attributes: encodeMember(own.row) });
  own.claimed({ incarnation: 1, beat: 1, flaps: noFlaps }, 0);
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
    await markMember(store, await stored(store), "silent");
    expect(await beatAt(own, store, 1_000)).toEqual({ kind: "rejoined" });
    expect(await stored(store)).toMatchObject({ incarnation: 2, evicting: undefined });
    expect(own.isMarked).toBe(false);
  });

  it("waits between two registrations", async () => {
    const store = new MemoryStore();
    const own = await claimed(store);
    await markMember(store, await stored(store), "silent");
    await beatAt(own, store, 1_000);
    await markMember(store, await stored(store), "silent");
    expect(await beatAt(own, store, 2_000)).toEqual({ kind: "marked" });
    expect(own.isMarked).toBe(true);
    expect(await beatAt(own, store, 1_000 + options.rejoinMinMs)).toEqual({ kind: "rejoined" });
    expect(own.row.incarnation).toBe(3);
  });

  it("recognises its own registration after a lost answer", async () => {
    const store = new MemoryStore();
    const own = await claimed(store);
    await markMember(store, await stored(store), "silent");
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
    await markMember(store, await stored(store), "silent");
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

describe("an item of an older life of the same slot (R12)", () => {
  it.each(["holder", "another"])("held by %s is put right: the table went back", async (holder) => {
    const store = new MemoryStore();
    const own = await claimed(store);
    own.claimed({ incarnation: 5, beat: 40, flaps: noFlaps }, 0);
    const old = { ...own.row, incarnation: 4, holder, beat: 90, evicting: "4:90" };
    await store.put({ ...keys.member("a"), attributes: encodeMember(old) });
    expect(await beatAt(own, store, 1_000)).toEqual({ kind: "restored" });
    expect(await stored(store)).toMatchObject({ incarnation: 5, holder: "holder", beat: 41 });
    expect(await beatAt(own, store, 2_000)).toEqual({ kind: "written" });
  });
});

describe("beats without progress (R15)", () => {
  const progress = { viewSeen: null, placementHash: null, hosts: 9 };

  it("are counted while hosts are queued, and start again with a push or an empty queue", async () => {
    const store = new MemoryStore();
    const own = await claimed(store);
    own.intend("run");
    const counts: number[] = [];
    for (const [pushes, queued] of [
      [1, 3],
      [1, 3],
      [1, 2],
      [2, 2],
      [2, 1],
      [2, 0],
      [2, 1],
    ] as const) {
      own.report({ ...progress, pushes, queued });
      await beatAt(own, store, 1_000);
      counts.push((await stored(store)).stalledBeats);
    }
    expect(counts).toEqual([0, 1, 2, 0, 1, 0, 1]);
  });

  it("are not counted outside the view, where a member may not push", async () => {
    const store = new MemoryStore();
    const own = await claimed(store);
    own.report({ ...progress, pushes: 1, queued: 3 });
    for (let beats = 0; beats < 100; beats++) await beatAt(own, store, 1_000);
    expect((await stored(store)).stalledBeats).toBe(0);
    own.intend("run");
    await beatAt(own, store, 1_000);
    expect((await stored(store)).stalledBeats).toBe(1);
  });
});

describe("probation (R14)", () => {
  it("follows a stall at once, and starts again after a pause of the member", async () => {
    const store = new MemoryStore();
    const own = await claimed(store);
    await markMember(store, await stored(store), "stalled");
    expect(await beatAt(own, store, 1_000)).toEqual({ kind: "rejoined" });
    const { beat, flaps } = await stored(store);
    expect(flaps.untilBeat).toBe(beat + options.probationBeatsMin);
    await beatAt(own, store, 2_000);
    expect((await stored(store)).flaps).toEqual(flaps);
    await beatAt(own, store, 2_001 + options.silenceMs);
    expect((await stored(store)).flaps.untilBeat).toBe(flaps.untilBeat + 2);
  });
});
