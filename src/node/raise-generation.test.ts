import { expect, test } from "vitest";
import { FleetStore } from "../inventory/fleet.ts";
import { createRandom } from "../kernel/random.ts";
import { ensureView, readView } from "../membership/view-store.ts";
import { MemoryStore } from "../store/memory-store.ts";
import { raiseGeneration } from "./raise-generation.ts";

async function table(isInitialised = true) {
  const store = new MemoryStore();
  const random = createRandom("raise");
  const fleets = new FleetStore(store, random);
  if (isInitialised) await ensureView(store);
  const rule = { rollout: "r", config: "c", digest: undefined, selector: [], revision: 1 };
  const patch = { config: "c", added: [rule], superseded: [] };
  const addRule = () => fleets.change(async (_fleet, revision) => ({ ...patch, revision }));
  return { store, addRule, raise: (to: number) => raiseGeneration({ store, fleets, random }, to) };
}

test("the generation is raised to what is asked for, once, and names the table's rules", async () => {
  const { store, addRule, raise } = await table();
  await addRule();
  await raise(4);
  const raised = { generation: 4, version: 1, fleetRevisionMin: 1, members: [] };
  expect(await readView(store)).toEqual(raised);
  await raise(4);
  await raise(2);
  expect(await readView(store)).toEqual(raised);
});

test("the generation is not raised without rules, nor without a view", async () => {
  const { store, raise } = await table();
  await expect(raise(2)).rejects.toMatchObject({ code: "OPTION_INVALID" });
  expect((await readView(store))?.generation).toBe(1);
  const empty = await table(false);
  await expect(empty.raise(2)).rejects.toMatchObject({ code: "CLUSTER_NOT_INITIALISED" });
});
