import { describe, expect, it } from "vitest";
import { createRandom } from "../kernel/random.ts";
import { MemoryStore } from "../store/memory-store.ts";
import { keys, type Store } from "../store/store.ts";
import { FleetStore, packRules } from "./fleet.ts";
import { pack } from "./packed-json.ts";
import { emptyFleet, type Patch, type Rule } from "./rules.ts";
import { parseSelector } from "./selector.ts";
import { failCalls, interleave, loseAnswers } from "./test-faults.ts";

const digest = `sha256:${"1".repeat(64)}`;
const rule = (rollout: string, revision: number, selector = "*"): Rule => ({
  rollout,
  config: "c",
  digest,
  selector: parseSelector(selector),
  revision,
});
const adding =
  (rollout: string) =>
  async (_: unknown, revision: number): Promise<Patch> => ({
    config: "c",
    added: [rule(rollout, revision)],
    superseded: [],
    revision,
  });
const isPut = (call: string) => call === "put";

function create() {
  const store = new MemoryStore();
  return { store, fleets: new FleetStore(store, createRandom("test")) };
}

/** A store whose first write of the rules gets no answer and lands just before the second arrives. */
function lateFirstWrite(store: MemoryStore): Store {
  let late: (() => Promise<unknown>) | undefined;
  let puts = 0;
  const put: Store["put"] = async (item, conditions) => {
    if (item.pk !== keys.fleet.pk || ++puts > 2) return store.put(item, conditions);
    if (puts === 2) await late?.();
    else {
      late = () => store.put(item, conditions);
      return { kind: "unknown", cause: new Error("no answer") };
    }
    return store.put(item, conditions);
  };
  return new Proxy(store, {
    get: (target, name) => {
      if (name === "put") return put;
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

describe("the fleet item", () => {
  it("takes a write that landed during the next try for its own, whatever that try would say", async () => {
    const { store } = create();
    const fleets = new FleetStore(lateFirstWrite(store), createRandom("test"));
    let tries = 0;
    const made = await fleets.change(async (current, revision) => {
      if (++tries > 2) throw new Error("nothing is left to be done");
      return adding("r1")(current, revision);
    });
    expect(made).toMatchObject({ revision: 1, rules: [{ rollout: "r1" }] });
    expect(tries).toBe(2);
  });

  it("is empty where there is none, and a failed read is an error, never empty", async () => {
    const { fleets, store } = create();
    expect(await fleets.read()).toBe(emptyFleet);
    store.faults = failCalls((call) => call === "get", 1);
    await expect(fleets.read()).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
  });

  it.each<[string, Record<string, unknown>]>([
    ["no revision", { revision: undefined }],
    ["revision 0", { revision: 0 }],
    ["no rules", { rules: undefined }],
    ["rules that are not compressed", { rules: new Uint8Array([1, 2, 3]) }],
    ["rules that are no list", { rules: pack({}) }],
    [
      "a rule without a config",
      { rules: pack([{ rollout: "r", revision: 1, digest, selector: "*" }]) },
    ],
    [
      "a rule with a bad digest",
      { rules: pack([{ ...rule("r", 1), digest: "x", selector: "*" }]) },
    ],
    ["a rule with a bad selector", { rules: pack([{ ...rule("r", 1), selector: "a=" }]) }],
    [
      "a rule with a bad revision",
      { rules: pack([{ ...rule("r", 1), selector: "*", revision: 1.5 }]) },
    ],
    ["a rule that is null", { rules: pack([null]) }],
  ])("with %s is STORE_CORRUPT", async (_, change) => {
    const { fleets, store } = create();
    const attributes = { revision: 1, writer: "w", rules: packRules([rule("r", 1)]), ...change };
    store.restore([{ ...keys.fleet, attributes }]);
    await expect(fleets.read()).rejects.toMatchObject({
      code: "STORE_CORRUPT",
      message: expect.stringContaining("cluster/fleet"),
    });
  });

  it("is the same object until it changes, and another one after a restore with the same number", async () => {
    const { fleets, store } = create();
    await fleets.change(adding("a"));
    const first = await fleets.read();
    expect(first.rules).toEqual([rule("a", 1)]);
    expect(await fleets.read()).toBe(first);
    const attributes = { revision: 1, writer: "other", rules: packRules([rule("b", 1)]) };
    store.restore([{ ...keys.fleet, attributes }]);
    expect((await fleets.read()).rules).toEqual([rule("b", 1)]);
  });

  it("reads back what another process wrote", async () => {
    const { fleets, store } = create();
    const removal = { ...rule("x", 1, "a in (b,c),!d"), digest: undefined };
    await fleets.change(async (_, revision) => ({
      config: "c",
      added: [removal],
      superseded: [],
      revision,
    }));
    expect(await new FleetStore(store, createRandom("other")).read()).toEqual({
      revision: 1,
      rules: [removal],
    });
  });
});

describe("changing the rules", () => {
  it("is worked out again where another writer came first, with a higher revision", async () => {
    const { fleets, store } = create();
    const other = new FleetStore(store, createRandom("other"));
    store.faults = interleave(isPut, async () => void (await other.change(adding("other"))));
    const fleet = await fleets.change(adding("mine"));
    expect(fleet).toEqual({ revision: 2, rules: [rule("other", 1), rule("mine", 2)] });
    expect(await other.read()).toEqual(fleet);
  });

  it("lands once although answers were lost", async () => {
    const { fleets, store } = create();
    store.faults = loseAnswers(isPut, 1);
    expect((await fleets.change(adding("a"))).rules).toEqual([rule("a", 1)]);
    expect((await fleets.read()).revision).toBe(1);
  });

  it("recognises itself below a newer change after a lost answer", async () => {
    const { fleets, store } = create();
    const other = new FleetStore(store, createRandom("other"));
    let puts = 0;
    store.faults = {
      async after(call) {
        if (call !== "put" || puts++ > 0) return;
        await other.change(adding("other"));
        throw new Error("the answer was lost");
      },
    };
    expect(await fleets.change(adding("mine"))).toEqual({
      revision: 2,
      rules: [rule("mine", 1), rule("other", 2)],
    });
  });

  it("recognises itself when a repetition inside the store's client was refused", async () => {
    const { fleets, store } = create();
    const write = store.put.bind(store);
    store.put = async (item, conditions) => {
      await write(item, conditions);
      return write(item, conditions);
    };
    expect((await fleets.change(adding("a"))).revision).toBe(1);
  });

  it("loses none of twelve writers at once", async () => {
    const { store } = create();
    const names = Array.from({ length: 12 }, (_, at) => `w${10 + at}`);
    await Promise.all(
      names.map((name) => new FleetStore(store, createRandom(name)).change(adding(name))),
    );
    const { revision, rules } = await new FleetStore(store, createRandom("reader")).read();
    expect(revision).toBe(12);
    expect(rules.map(({ rollout }) => rollout).toSorted()).toEqual(names);
  });

  it("ends in STORE_CONTENDED where it never gets through", async () => {
    const { fleets, store } = create();
    let revision = 0;
    store.faults = {
      async before(call) {
        if (call !== "put") return;
        const attributes = { revision: ++revision, writer: "other", rules: packRules([]) };
        await store.update(keys.fleet, { set: attributes });
      },
    };
    await expect(fleets.change(adding("a"))).rejects.toMatchObject({ code: "STORE_CONTENDED" });
    expect(revision).toBe(32);
  });

  it("beyond the size of one item is RULES_FULL and changes nothing", async () => {
    const { fleets } = create();
    await fleets.change(adding("first"));
    const random = createRandom("noise");
    const hex = (digits: number) =>
      Array.from({ length: digits }, () => Math.floor(random.next() * 16).toString(16)).join("");
    const many = Array.from({ length: 9_000 }, (_, at) => ({
      ...rule(`r${at}`, 2),
      digest: `sha256:${hex(64)}`,
    }));
    await expect(
      fleets.change(async (_, revision) => ({
        config: "c",
        added: many,
        superseded: [],
        revision,
      })),
    ).rejects.toMatchObject({ code: "RULES_FULL" });
    expect((await fleets.read()).revision).toBe(1);
  });
});
