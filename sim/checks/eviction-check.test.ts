import { expect, test } from "vitest";
import { controlsFor } from "../controls.ts";
import { swarmOf } from "../swarm.ts";
import { World } from "../world.ts";
import { EvictionCheck } from "./eviction-check.ts";

const victim = "node-c";
const formMs = 20_000;

/** A cluster without faults, its members formed, and a check that hears only what it is told. */
async function formedCluster(seed: number) {
  const world = new World(seed, swarmOf(seed, "pauses"), controlsFor(undefined));
  const check = new EvictionCheck(world);
  await world.create();
  for (const node of world.nodes.values()) node.start();
  const pass = (durationMs: number) =>
    world.timeline.run(world.timeline.nowMs + durationMs, () => false);
  await pass(formMs);
  const process = world.nodes.get(victim)?.process;
  if (process === undefined) throw new Error(`Expected ${victim} to run`);
  expect(process.node.isMember()).toBe(true);
  return { world, check, pass, clock: process.clock };
}

const freezes: readonly {
  readonly title: string;
  /** Lengths in turn: running, frozen, running ... */
  readonly turnsMs: readonly number[];
  readonly isFalse: boolean;
}[] = [
  { title: "froze for 3.1 s", turnsMs: [2_000, 3_100], isFalse: false },
  { title: "froze for 3 s", turnsMs: [2_000, 3_000], isFalse: true },
  { title: "ran all the time", turnsMs: [5_100], isFalse: true },
  {
    title: "froze, and again as that ended",
    turnsMs: [500, 2_500, 0, 2_600],
    isFalse: false,
  },
  {
    title: "froze twice and ran for a moment between",
    turnsMs: [500, 2_500, 1, 2_600],
    isFalse: true,
  },
  {
    title: "was starved, 300 ms at a time",
    turnsMs: [10, ...Array.from({ length: 17 }, () => [300, 5]).flat()],
    isFalse: true,
  },
];

test.each(freezes)(
  "a mark on a member that $title is taken for a false one: $isFalse",
  async (row) => {
    const { world, check, pass, clock } = await formedCluster(7);
    check.take({ kind: "stored", by: victim, key: `member/${victim}` });
    for (const [index, turnMs] of row.turnsMs.entries()) {
      if (index % 2 === 1) clock.freeze();
      else clock.resume();
      await pass(turnMs);
    }
    expect(world.recorder.failure).toBeUndefined();
    check.take({ kind: "member.marked", by: "node-a", slot: victim, reason: "silent" });
    const { category, check: name } = world.recorder.failure ?? {};
    expect({ category, name }).toEqual(row.isFalse ? { category: "safety", name: check.name } : {});
  },
);

test("a member in a long freeze must not be marked while its last beat is young", async () => {
  const { world, check, pass, clock } = await formedCluster(7);
  clock.freeze();
  await pass(2_500);
  check.take({ kind: "stored", by: victim, key: `member/${victim}` });
  clock.resume();
  clock.freeze();
  await pass(2_500);
  check.take({ kind: "member.marked", by: "node-a", slot: victim, reason: "silent" });
  expect(world.recorder.failure?.check).toBe(check.name);
});
