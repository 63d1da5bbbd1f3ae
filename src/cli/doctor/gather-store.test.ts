import { expect, test } from "vitest";
import { systemClock } from "../../kernel/clock.ts";
import { CoxswainError } from "../../kernel/errors.ts";
import { createRandom } from "../../kernel/random.ts";
import { ensureView } from "../../membership/view-store.ts";
import { MemoryStore, type StoreFaults } from "../../store/memory-store.ts";
import { initialiseCluster } from "../../store/meta.ts";
import type { StoreCall } from "../../store/store.ts";
import { gatherStore } from "./gather-store.ts";

const ports = { clock: systemClock, signal: new AbortController().signal };

async function clusterStore(): Promise<MemoryStore> {
  const store = new MemoryStore();
  const wanted = { partitions: 64, clusterId: "prod" };
  await initialiseCluster(store, wanted, { clock: systemClock, random: createRandom("doctor") });
  await ensureView(store);
  return store;
}

async function gatherFrom(store: MemoryStore, faults: StoreFaults = {}, signal = ports.signal) {
  store.faults = faults;
  const opened = { kind: "opened", store, place: "table t", close: async () => {} } as const;
  const seen = await gatherStore({ ...ports, signal }, opened, "item-1");
  store.faults = {};
  const left = await store.query("doctor", { limit: 10 });
  if (seen.facts.kind !== "tried") throw new Error("a store that was opened is tried");
  return { ...seen, facts: seen.facts, left: left.items };
}

const denied = (...calls: StoreCall[]): StoreFaults => ({
  before(call) {
    if (calls.includes(call)) throw new CoxswainError("STORE_DENIED", `no right to ${call}`);
  },
});

const outcomesOf = ({
  actions,
}: {
  actions: readonly { action: string; outcome: { kind: string } }[];
}) => Object.fromEntries(actions.map(({ action, outcome }) => [action, outcome.kind]));

const allAnswered = {
  PutItem: "answered",
  UpdateItem: "answered",
  GetItem: "answered",
  BatchGetItem: "answered",
  Query: "answered",
  DeleteItem: "answered",
};

test("a store with a cluster: parameters, view, all actions, and nothing left behind", async () => {
  const { facts, view, members, left } = await gatherFrom(await clusterStore());
  expect(facts.meta).toMatchObject({
    kind: "answered",
    value: { id: "prod", partitions: 64, schema: 1 },
  });
  expect(view).toMatchObject({ generation: 1, version: 0 });
  expect(members).toEqual([]);
  expect(outcomesOf(facts)).toEqual(allAnswered);
  expect([facts.isConditionKept, facts.leftItem]).toEqual([true, undefined]);
  expect(left).toEqual([]);
});

test("doctor writes no other item than its own", async () => {
  const written = new Set<string>();
  await gatherFrom(await clusterStore(), {
    before(call, { pk, sk }) {
      if (!["get", "getMany", "query"].includes(call)) written.add(`${pk}/${sk}`);
    },
  });
  expect([...written]).toEqual(["doctor/item-1"]);
});

test("actions that are denied do not end the others", async () => {
  const { facts, left } = await gatherFrom(await clusterStore(), denied("query", "update"));
  expect(outcomesOf(facts)).toEqual({ ...allAnswered, UpdateItem: "failed", Query: "failed" });
  expect(left).toEqual([]);
});

test("where nothing may be read, the writes are tried all the same", async () => {
  const { facts } = await gatherFrom(await clusterStore(), denied("get", "getMany", "query"));
  expect(facts.meta).toMatchObject({ kind: "failed", code: "STORE_DENIED" });
  expect(outcomesOf(facts)).toMatchObject({ GetItem: "failed", PutItem: "answered" });
});

test("an item that cannot be deleted is named", async () => {
  const { facts, left } = await gatherFrom(await clusterStore(), denied("delete"));
  expect(facts.leftItem).toBe("doctor / item-1");
  expect(left).toHaveLength(1);
});

test("where nothing can be written nothing is left, and nothing is said to be", async () => {
  const { facts } = await gatherFrom(await clusterStore(), denied("put", "update", "delete"));
  expect(facts.leftItem).toBeUndefined();
});

test("a store that does not answer is asked once, not eight times", async () => {
  let callCount = 0;
  const { facts } = await gatherFrom(await clusterStore(), {
    before() {
      callCount += 1;
      throw new CoxswainError("STORE_UNAVAILABLE", "no answer");
    },
  });
  expect(callCount).toBe(1);
  expect([facts.meta.kind, facts.actions]).toEqual(["failed", []]);
});

test("a write whose answer is lost counts as failed, and its item is deleted", async () => {
  const { facts, left } = await gatherFrom(await clusterStore(), {
    after(call) {
      if (call === "put") throw new Error("the line went dead");
    },
  });
  expect(facts.actions[0]).toMatchObject({
    action: "PutItem",
    outcome: { kind: "failed", code: "STORE_UNKNOWN_OUTCOME" },
  });
  expect(left).toEqual([]);
});

test("when the time for all checks is over, nothing more is tried but the deletion", async () => {
  const over = new AbortController();
  const { facts, left } = await gatherFrom(
    await clusterStore(),
    {
      after(call) {
        if (call === "put") over.abort(new Error("out of time"));
      },
    },
    over.signal,
  );
  expect(outcomesOf(facts)).toMatchObject({ GetItem: "failed", DeleteItem: "answered" });
  expect(left).toEqual([]);
});

test("a table without parameters is not a missing table", async () => {
  const { facts } = await gatherFrom(new MemoryStore());
  expect(facts.meta).toMatchObject({ kind: "failed", code: "CLUSTER_NOT_INITIALISED" });
  expect(facts.isTableMissing).toBe(false);
  expect(outcomesOf(facts)).toEqual(allAnswered);
});
