import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createRandom } from "../kernel/random.ts";
import { limits } from "../protocol/limits.ts";
import { MemoryStore } from "../store/memory-store.ts";
import { keys } from "../store/store.ts";
import { compileFleet } from "./desired.ts";
import { parseHostId } from "./host.ts";
import { createInventory } from "./inventory.ts";
import { failCalls, interleave, loseAnswers } from "./test-faults.ts";

const by = { author: "ann", at: "2026-11-23T10:00:00.000Z" };
const isRolloutWrite = (call: string, { pk }: { pk: string }) => call === "put" && pk === "rollout";
const isFleetWrite = (call: string, { sk }: { sk: string }) => call === "put" && sk === "fleet";
const isFlip = (call: string) => call === "update";

function create() {
  const store = new MemoryStore();
  const inventory = createInventory({ store, partitionOf: () => 0, random: createRandom("test") });
  const { rollouts, releases, fleets } = inventory;
  const release = async (config: string, text: string) =>
    (await releases.put(config, new TextEncoder().encode(text), { author: "ann", atIso: by.at }))
      .digest;
  const start = async (config: string, text: string | null, selector: string) =>
    rollouts.start({
      config,
      selector,
      digest: text === null ? null : await release(config, text),
      ...by,
    });
  /** Digest text -> what a host with these labels would hold of config c. */
  const held = async (labels: Record<string, string>) =>
    compileFleet(await fleets.read())({ labels, pins: {} }).configs.find(({ name }) => name === "c")
      ?.digest;
  return { store, inventory, rollouts, releases, fleets, release, start, held };
}

const states = async (rollouts: ReturnType<typeof create>["rollouts"]) =>
  (await rollouts.list(100)).map(({ id, state }) => [id, state]);

describe("rollouts refused", () => {
  it.each<[string, object, string]>([
    ["a bad config name", { config: "../c" }, "CONFIG_INVALID"],
    ["a bad selector", { selector: "a=" }, "SELECTOR_INVALID"],
    [
      "a digest that was never published",
      { digest: `sha256:${"f".repeat(64)}` },
      "RELEASE_NOT_FOUND",
    ],
    ["a digest that is none", { digest: "../x" }, "RELEASE_NOT_FOUND"],
  ])("for %s leave no trace", async (_, change, code) => {
    const { rollouts, release, fleets, store } = create();
    const request = { config: "c", digest: await release("c", "1"), selector: "*", ...by };
    await expect(rollouts.start({ ...request, ...change })).rejects.toMatchObject({ code });
    expect((await fleets.read()).revision).toBe(0);
    expect(store.dump().some(({ pk }) => pk === "rollout")).toBe(false);
  });

  it("are those that would put one config too many on every host of the selector", async () => {
    const { start, fleets } = create();
    for (let at = 0; at < limits.configsPerHostMax - 1; at++) await start(`c${at}`, "1", "*");
    await start("narrow", "1", "a=b");
    await expect(start("more", "1", "a=b")).rejects.toMatchObject({ code: "RULES_FULL" });
    await start("more", "1", "a=c");
    await start("c0", null, "a=b");
    await start("more", "1", "a=b");
    const desired = compileFleet(await fleets.read());
    expect(desired.overLimit({ labels: { a: "b" }, pins: {} })).toBe(0);
    await start("c0", "2", "*");
    await expect(start("c0", "3", "a=b")).rejects.toMatchObject({ code: "RULES_FULL" });
  });

  it("that are unknown are ROLLOUT_NOT_FOUND to undo and undefined to get", async () => {
    const { rollouts } = create();
    for (const id of ["", "../x", "000000000000001-abcdef01"]) {
      await expect(rollouts.undo(id, by)).rejects.toMatchObject({ code: "ROLLOUT_NOT_FOUND" });
      expect(await rollouts.get(id)).toBeUndefined();
    }
    expect(await rollouts.list(10)).toEqual([]);
  });

  it("that are damaged are STORE_CORRUPT", async () => {
    const { rollouts, start, store } = create();
    const { id } = await start("c", "1", "*");
    await store.update(keys.rollout(id), { set: { added: new Uint8Array([1]) } });
    await expect(rollouts.get(id)).rejects.toMatchObject({ code: "STORE_CORRUPT" });
    await store.update(keys.rollout(id), { set: { state: "odd" } });
    await expect(rollouts.list(10)).rejects.toMatchObject({ code: "STORE_CORRUPT" });
  });
});

describe("starting a rollout", () => {
  it("makes one rule at the new fleet revision and remembers who and what", async () => {
    const { start, rollouts, fleets, release } = create();
    const rollout = await start("c", "1", "b in (y,x) , a==z");
    expect(rollout).toMatchObject({
      config: "c",
      digest: await release("c", "1"),
      selector: "a=z,b in (x,y)",
      fleetRevision: 1,
      state: "active",
      superseded: [],
      ...by,
    });
    expect(await fleets.read()).toEqual({ revision: 1, rules: rollout.added });
    expect(await rollouts.get(rollout.id)).toEqual(rollout);
    expect(rollout).not.toHaveProperty("undoes");
  });

  it("supersedes the rule of the same selector, however it is written, and no other", async () => {
    const { start, rollouts, fleets } = create();
    const first = await start("c", "1", "a in (x,y)");
    const narrower = await start("c", "1", "a=x");
    const otherConfig = await start("d", "1", "a in (x,y)");
    const second = await start("c", "2", "a in (y, x)");
    expect(second.superseded).toEqual(first.added);
    expect((await fleets.read()).rules.map(({ rollout }) => rollout)).toEqual([
      narrower.id,
      otherConfig.id,
      second.id,
    ]);
    expect((await rollouts.get(first.id))?.state).toBe("superseded");
    expect((await rollouts.get(narrower.id))?.state).toBe("active");
  });

  it("to all hosts supersedes every older rule of the config", async () => {
    const { start, fleets, held } = create();
    await start("c", "1", "a=x");
    await start("c", "2", "b=y");
    const all = await start("c", "3", "*");
    expect(all.superseded).toHaveLength(2);
    expect((await fleets.read()).rules).toEqual(all.added);
    expect(await held({ a: "x" })).toBe(all.digest);
  });

  it("without a digest removes the config from the hosts it matches", async () => {
    const { start, held } = create();
    const all = await start("c", "1", "*");
    await start("c", null, "a=x");
    expect(await held({ a: "x" })).toBeUndefined();
    expect(await held({})).toBe(all.digest);
  });

  it("that dies before the rules changed leaves a record that nobody sees", async () => {
    const { start, rollouts, fleets, store } = create();
    const kept = await start("c", "1", "*");
    store.faults = failCalls(isFleetWrite, 1);
    await expect(start("c", "2", "*")).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    const dead = store.dump().find(({ pk, sk }) => pk === "rollout" && sk !== kept.id);
    expect(dead?.attributes["state"]).toBe("starting");
    expect(await rollouts.get(dead?.sk ?? "")).toBeUndefined();
    await expect(rollouts.undo(dead?.sk ?? "", by)).rejects.toMatchObject({
      code: "ROLLOUT_NOT_FOUND",
    });
    expect(await states(rollouts)).toEqual([[kept.id, "active"]]);
    const next = await start("c", "3", "*");
    expect(await states(rollouts)).toEqual([
      [next.id, "active"],
      [kept.id, "superseded"],
    ]);
    expect((await fleets.read()).revision).toBe(2);
  });

  it("that cannot write its record does not touch the rules", async () => {
    const { start, fleets, store } = create();
    store.faults = failCalls(isRolloutWrite, 1);
    await expect(start("c", "1", "*")).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    store.faults = loseAnswers(isRolloutWrite, 3);
    await expect(start("c", "1", "*")).rejects.toMatchObject({ code: "STORE_UNKNOWN_OUTCOME" });
    expect((await fleets.read()).revision).toBe(0);
  });

  it("is active although the last word on its record was never written", async () => {
    const { start, rollouts, store } = create();
    store.faults = failCalls(isFlip, 1);
    const rollout = await start("c", "1", "*");
    expect((await store.get(keys.rollout(rollout.id)))?.attributes["state"]).toBe("starting");
    expect(await rollouts.get(rollout.id)).toEqual(rollout);
    expect((await rollouts.undo(rollout.id, by)).undoes).toBe(rollout.id);
    expect((await rollouts.get(rollout.id))?.state).toBe("undone");
  });

  it("that loses a race is worked out again and says what it then superseded", async () => {
    const { start, rollouts, store } = create();
    let other: unknown;
    store.faults = interleave(isFleetWrite, async () => {
      other = await start("c", "1", "*");
    });
    const mine = await start("c", "2", "*");
    expect(mine.fleetRevision).toBe(2);
    expect(mine.superseded).toEqual((other as { added: unknown }).added);
    expect(await rollouts.get(mine.id)).toEqual(mine);
    expect((await rollouts.list(10)).map(({ fleetRevision }) => fleetRevision)).toEqual([2, 1]);
  });
});

describe("undoing a rollout", () => {
  it("restores what it superseded, as a new rollout at a new revision", async () => {
    const { start, rollouts, fleets, held } = create();
    const first = await start("c", "1", "*");
    const second = await start("c", "2", "*");
    const undo = await rollouts.undo(second.id, { author: "bob", at: "later" });
    expect(undo).toMatchObject({
      undoes: second.id,
      digest: first.digest,
      selector: "*",
      fleetRevision: 3,
      state: "active",
      author: "bob",
      at: "later",
    });
    expect((await fleets.read()).revision).toBe(3);
    expect(await held({})).toBe(first.digest);
    expect(await states(rollouts)).toEqual([
      [undo.id, "active"],
      [second.id, "undone"],
      [first.id, "active"],
    ]);
  });

  it("is told of, as a rollout is, before its record says that it is in effect", async () => {
    const { release, rollouts, store } = create();
    const request = { config: "c", digest: await release("c", "1"), selector: "*", ...by };
    const told: string[] = [];
    /** The record is not written before somebody was told. */
    const tells = async (name: string, change: (committed: () => Promise<void>) => unknown) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      store.faults = interleave(isFlip, () => promise);
      await change(async () => {
        told.push(name);
        resolve();
      });
    };
    await tells("rollout", (committed) => rollouts.start(request, committed));
    const [{ id } = { id: "" }] = await rollouts.list(1);
    await tells("undo", (committed) => rollouts.undo(id, by, committed));
    expect(told).toEqual(["rollout", "undo"]);
  });

  it("of a first rollout takes the config away again", async () => {
    const { start, rollouts, held, fleets } = create();
    const { id } = await start("c", "1", "*");
    const undo = await rollouts.undo(id, by);
    expect(undo.digest).toBeUndefined();
    expect(await held({})).toBeUndefined();
    expect((await fleets.read()).rules).toEqual([]);
    expect(undo.state).toBe("active");
  });

  it("gives every narrower rule back its own hosts, and leaves later exceptions in force", async () => {
    const { start, rollouts, held } = create();
    const wide = await start("c", "1", "*");
    const edge = await start("c", "2", "role=edge");
    const all = await start("c", "3", "*");
    const canary = await start("c", "4", "canary");
    const undo = await rollouts.undo(all.id, by);
    expect(undo.digest).toBeUndefined();
    expect(await held({})).toBe(wide.digest);
    expect(await held({ role: "edge" })).toBe(edge.digest);
    expect(await held({ role: "edge", canary: "yes" })).toBe(canary.digest);
  });

  it("twice, or of a superseded one, is ROLLOUT_SUPERSEDED and changes nothing", async () => {
    const { start, rollouts, fleets } = create();
    const first = await start("c", "1", "*");
    const second = await start("c", "2", "*");
    await expect(rollouts.undo(first.id, by)).rejects.toMatchObject({
      code: "ROLLOUT_SUPERSEDED",
      details: { newer: [second.id] },
    });
    await rollouts.undo(second.id, by);
    await expect(rollouts.undo(second.id, by)).rejects.toMatchObject({
      code: "ROLLOUT_SUPERSEDED",
      message: expect.stringContaining("has been undone"),
    });
    expect((await fleets.read()).revision).toBe(3);
  });

  it("can itself be undone once, and not after something newer took its place", async () => {
    const { start, rollouts, held } = create();
    const { id, digest } = await start("c", "1", "a=x");
    const undo = await rollouts.undo(id, by);
    const redo = await rollouts.undo(undo.id, by);
    expect(await held({ a: "x" })).toBe(digest);
    expect((await rollouts.get(undo.id))?.state).toBe("undone");
    expect((await rollouts.get(id))?.state).toBe("active");
    await expect(rollouts.undo(undo.id, by)).rejects.toMatchObject({ code: "ROLLOUT_SUPERSEDED" });
    const again = await rollouts.undo(redo.id, by);
    await start("c", "2", "*");
    expect((await rollouts.get(again.id))?.state).toBe("superseded");
    await expect(rollouts.undo(again.id, by)).rejects.toMatchObject({ code: "ROLLOUT_SUPERSEDED" });
  });

  it("is done although the word on the undone record was lost", async () => {
    const { start, rollouts, store } = create();
    const { id } = await start("c", "1", "*");
    store.faults = failCalls(isFlip, 2);
    const undo = await rollouts.undo(id, by);
    expect(undo.state).toBe("active");
    expect((await rollouts.get(id))?.state).toBe("superseded");
  });

  it("racing with a newer rollout of the same hosts is refused", async () => {
    const { start, rollouts, store, held } = create();
    const { id } = await start("c", "1", "*");
    let newer: string | undefined;
    store.faults = interleave(isFleetWrite, async () => {
      newer = (await start("c", "2", "*")).digest;
    });
    await expect(rollouts.undo(id, by)).rejects.toMatchObject({ code: "ROLLOUT_SUPERSEDED" });
    expect(await held({})).toBe(newer);
    expect(await rollouts.list(10)).toHaveLength(2);
    expect(store.dump().filter(({ pk }) => pk === "rollout")).toHaveLength(2);
  });

  it("that dies before the rules changed stays unseen, whoever took its revision", async () => {
    const { start, rollouts, store } = create();
    const { id } = await start("c", "1", "*");
    store.faults = failCalls(isFleetWrite, 1);
    await expect(rollouts.undo(id, by)).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    expect(await states(rollouts)).toEqual([[id, "active"]]);
    const newer = await start("c", "2", "*");
    expect(await states(rollouts)).toEqual([
      [newer.id, "active"],
      [id, "superseded"],
    ]);
  });

  it("of everything, newest first, gives back every earlier state on the way", async () => {
    const selector = fc.constantFrom("*", "a=x", "a=y", "b", "!b");
    const step = fc.tuple(fc.constantFrom("1", "2", "3", null), selector);
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 6 }), async (steps) => {
        const { start, rollouts, fleets } = create();
        const before: unknown[] = [];
        const made: string[] = [];
        for (const [text, where] of steps) {
          before.push((await fleets.read()).rules);
          made.push((await start("c", text, where)).id);
        }
        let last = (await fleets.read()).revision;
        for (const id of made.toReversed()) {
          await rollouts.undo(id, by);
          const { rules, revision } = await fleets.read();
          expect(rules).toEqual(before.pop());
          expect(revision).toBe(++last);
        }
      }),
      { numRuns: 50 },
    );
  });
});

describe("listing rollouts", () => {
  it("gives the newest first, as many as asked for, past records without effect", async () => {
    const { start, rollouts, store } = create();
    const made: string[] = [];
    for (let at = 0; at < 12; at++) {
      made.unshift((await start("c", String(at), "*")).id);
      store.faults = failCalls(isFleetWrite, 1);
      await expect(start("c", "dead", "*")).rejects.toThrow("away");
    }
    expect((await rollouts.list(5)).map(({ id }) => id)).toEqual(made.slice(0, 5));
    expect((await rollouts.list(0)).map(({ id }) => id)).toEqual(made.slice(0, 1));
    expect((await rollouts.list(1_000_000)).map(({ id }) => id)).toEqual(made);
  });
});

describe("a list of rollouts", () => {
  it("looks further back where revisions have no record to show", async () => {
    const { start, rollouts, store } = create();
    const shown: string[] = [];
    for (let at = 0; at < 12; at++) {
      shown.unshift((await start("c", String(at), "*")).id);
      // Died before its last word and superseded since: nothing tells whether it ever took effect.
      store.faults = failCalls(isFlip, 1);
      await start("c", "quiet", "*");
    }
    await start("c", "last", "*");
    expect((await rollouts.list(6)).slice(1).map(({ id }) => id)).toEqual(shown.slice(0, 5));
  });
});

describe("pinning a host", () => {
  const id = parseHostId("h1");

  it("asks for a release that exists and a name that is one", async () => {
    const { inventory, release } = create();
    await inventory.hosts.put({ id, address: "http://h", labels: {} });
    const digest = await release("c", "1");
    expect((await inventory.pinHost(id, "c", digest)).pins).toEqual({ c: digest });
    await expect(inventory.pinHost(id, "d", digest)).rejects.toMatchObject({
      code: "RELEASE_NOT_FOUND",
    });
    await expect(inventory.pinHost(id, "../d", undefined)).rejects.toMatchObject({
      code: "CONFIG_INVALID",
    });
    expect((await inventory.pinHost(id, "c", undefined)).pins).toEqual({});
  });
});
