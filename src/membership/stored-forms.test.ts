import { describe, expect, it } from "vitest";
import { CoxswainError } from "../kernel/errors.ts";
import { emptyView, type View } from "../ring/view.ts";
import { MemoryStore } from "../store/memory-store.ts";
import { keys, type Attributes } from "../store/store.ts";
import { decodeMember, encodeMember, readMembers } from "./member.ts";
import { buildMember } from "./situation-builder.ts";
import { ensureView, proposeView, readView } from "./view-store.ts";

const member = buildMember({ slot: "a", suspects: { b: "1:2" }, viewSeen: null });
const attributes = encodeMember(member);
const report = JSON.parse(String(attributes["report"])) as Record<string, unknown>;
const withReport = (changes: object): Attributes => ({
  ...attributes,
  report: JSON.stringify({ ...report, ...changes }),
});

describe("the member item", () => {
  it.each<[string, Attributes]>([
    ["no attributes", {}],
    ["a beat of text", { ...attributes, beat: "1" }],
    ["an incarnation of zero", { ...attributes, incarnation: 0 }],
    ["a report that is no JSON", { ...attributes, report: "{" }],
    ["an unknown intent", withReport({ intent: "nap" })],
    ["a weight out of range", withReport({ weight: 101 })],
  ])("is refused with %s", (_, stored) => {
    expect(() => decodeMember({ ...keys.member("a"), attributes: stored })).toThrow(
      expect.objectContaining({ code: "STORE_CORRUPT" }),
    );
  });

  it("is read by an older version that does not know all its fields", () => {
    const stored = { ...withReport({ future: 1 }), another: "x" };
    expect(decodeMember({ ...keys.member("a"), attributes: stored })).toEqual(member);
  });

  it("comes back as it was written, mark included", () => {
    const stored = { ...attributes, evicting: "1:10" };
    expect(decodeMember({ ...keys.member("a"), attributes: stored })).toEqual({
      ...member,
      evicting: "1:10",
    });
  });

  it("with a reason for its mark that this version does not know is like a silent one", () => {
    const stored = { ...attributes, evicting: "1:10", evictReason: "boredom" };
    expect(decodeMember({ ...keys.member("a"), attributes: stored }).evictReason).toBe("silent");
  });

  it("is read in pages, and a damaged one hides no other", async () => {
    const store = new MemoryStore();
    for (let index = 0; index < 250; index++) {
      const slot = `n${index}`;
      await store.put({ ...keys.member(slot), attributes });
    }
    await store.put({ ...keys.member("bad"), attributes: {} });
    const read = await readMembers(store);
    expect(read.members.size).toBe(250);
    expect([...read.corrupt.keys()]).toEqual(["bad"]);
  });
});

describe("the view item", () => {
  const { slot, incarnation, weight, zone, url, fleetUrl } = member;
  const next: View = {
    generation: 1,
    version: 1,
    members: [{ slot, incarnation, state: "active", weight, zone, url, fleetUrl }],
  };

  it("is written empty once and never reset", async () => {
    const store = new MemoryStore();
    expect(await readView(store)).toBeUndefined();
    await ensureView(store);
    expect(await readView(store)).toEqual(emptyView);
    await proposeView(store, emptyView, next, "w1");
    await ensureView(store);
    expect(await readView(store)).toEqual(next);
  });

  it("carries the oldest rules that may be pushed (R12), and is made anew only where there is none", async () => {
    const store = new MemoryStore();
    const raised = { ...next, generation: 2, fleetRevisionMin: 9 };
    expect(await proposeView(store, undefined, raised, "w1")).toEqual({ kind: "won" });
    expect(await readView(store)).toEqual(raised);
    expect(await proposeView(store, undefined, next, "w2")).toEqual({ kind: "lost" });
  });

  it("is changed by one of two proposers", async () => {
    const store = new MemoryStore();
    await ensureView(store);
    expect(await proposeView(store, emptyView, next, "w1")).toEqual({ kind: "won" });
    expect(await proposeView(store, emptyView, { ...next, members: [] }, "w2")).toEqual({
      kind: "lost",
    });
    expect(await readView(store)).toEqual(next);
  });

  it("is recognised by its writer when the answer was lost or the write was repeated", async () => {
    const store = new MemoryStore();
    await ensureView(store);
    store.faults = {
      after: (call) => {
        if (call === "put") throw new CoxswainError("STORE_UNAVAILABLE", "lost");
      },
    };
    expect(await proposeView(store, emptyView, next, "w1")).toEqual({ kind: "won" });
    expect(await proposeView(store, emptyView, next, "w1")).toEqual({ kind: "won" });
    expect(await proposeView(store, emptyView, next, "w2")).toEqual({ kind: "lost" });
  });

  it.each<[string, Attributes]>([
    ["another shape", { version: 1 }],
    ["members that are no JSON", { generation: 1, version: 1, members: "[", writer: "w" }],
    ["a member of another shape", { generation: 1, version: 1, members: "[{}]", writer: "w" }],
  ])("is refused with %s", async (_, stored) => {
    const store = new MemoryStore();
    await store.put({ ...keys.view, attributes: stored });
    await expect(readView(store)).rejects.toMatchObject({ code: "STORE_CORRUPT" });
  });
});
