/** What the tests of the slice share: forty hosts, and slices in the states they start from. */
import { createInventory } from "../inventory/inventory.ts";
import { createRandom } from "../kernel/random.ts";
import { partitionOf } from "../ring/hash.ts";
import { place } from "../ring/placement.ts";
import { partitionsCount, SliceFixture, snapshotOf } from "./node-fixture.ts";

/** Host ids, ascending. */
export const ids = Array.from({ length: 40 }, (_, index) => `h${String(index).padStart(2, "0")}`);

/** Hosts in the store and rules known, no view yet. */
export async function filled(): Promise<SliceFixture> {
  const fixture = new SliceFixture();
  for (const id of ids) await fixture.put(id);
  await fixture.slice.refreshFleet();
  return fixture;
}

/** Hosts of `slot` in a view of `slots`. */
export function ownedBy(slot: string, slots: readonly string[]): string[] {
  const placement = place(snapshotOf(1, slots).view, partitionsCount);
  return ids.filter((id) => placement.ownerOf(partitionOf(id, partitionsCount)) === slot);
}

export async function rollout(fixture: SliceFixture, config: string): Promise<void> {
  const { store } = fixture;
  const inventory = createInventory({
    store,
    random: createRandom("rollout"),
    partitionOf: (id) => fixture.partitionOf(id),
  });
  const by = { author: "t", at: "2026-01-01T00:00:00.000Z" };
  const content = { author: by.author, atIso: by.at };
  const { digest } = await inventory.releases.put(config, Buffer.from(config), content);
  await inventory.rollouts.start({ config, digest, selector: "", ...by });
}

/** A slice that serves every host; calls so far are forgotten. */
export const serving = async () => {
  const fixture = await filled();
  await fixture.adopt(1, "a");
  fixture.pusher.calls.length = 0;
  return fixture;
};

export const refresh = (fixture: SliceFixture, id: string) =>
  fixture.slice.refreshPartition(fixture.partitionOf(id));
