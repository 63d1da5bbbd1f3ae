import { describe, expect, it } from "vitest";
import { createRandom, type Random } from "../kernel/random.ts";
import { TestCluster, type TestNode } from "./test-cluster.ts";

const slots = ["a", "b", "c", "d", "e"];

/** Kills, freezes, cuts off, heals, restarts or drains one node. */
function disturb(cluster: TestCluster, random: Random, life: number): void {
  const slot = slots[Math.floor(random.next() * slots.length)] ?? "a";
  const node = cluster.node(slot);
  const dice = random.next();
  if (dice < 0.2) node.kill();
  else if (dice < 0.4 && node.clock.state === "running") node.freeze();
  else if (dice < 0.6 && node.clock.state === "frozen") node.thaw();
  else if (dice < 0.7) node.storeState = random.next() < 0.5 ? "failing" : "hanging";
  else if (dice < 0.8) node.storeState = "reachable";
  else if (dice > 0.9) void node.membership.leave();
  if (hasEnded(node) && random.next() < 0.5) restart(cluster, slot, life, random.next() < 0.5);
}

function hasEnded(node: TestNode): boolean {
  return node.clock.state === "gone" || ["left", "replaced"].includes(node.status);
}

function restart(cluster: TestCluster, slot: string, life: number, isListening: boolean): void {
  cluster.node(slot).kill();
  const node = cluster.add(slot, life);
  node.isListening = isListening;
  // A start that fails shows in the final state.
  node.start().catch(() => {});
}

async function heal(cluster: TestCluster): Promise<void> {
  for (const node of cluster.nodes.values()) {
    node.storeState = "reachable";
    node.isListening = true;
    if (node.clock.state === "frozen") node.thaw();
  }
  await cluster.clock.advance(35_000);
  for (const slot of slots) if (hasEnded(cluster.node(slot))) restart(cluster, slot, 1_000, true);
  await cluster.clock.advance(150_000);
}

describe("any sequence of faults", () => {
  it.each(["1", "2", "3", "4", "5", "6"])(
    "ends in one whole view without help (seed %s)",
    async (seed) => {
      const random = createRandom(seed);
      const cluster = new TestCluster({ seed });
      await cluster.form(slots);
      const versions: number[] = [];
      for (let step = 0; step < 25; step++) {
        disturb(cluster, random, step + 2);
        await cluster.clock.advance(random.next() * 9_000);
        versions.push((await cluster.storedVersion()) ?? -1);
      }
      expect(versions).toEqual(versions.toSorted((left, right) => left - right));
      await heal(cluster);
      expect(await cluster.storedSlots()).toEqual(slots);
      for (const slot of slots) {
        const { membership } = cluster.node(slot);
        expect(membership.snapshot().view.version).toBe(await cluster.storedVersion());
        expect(membership.mayPush()).toBe(true);
      }
      await cluster.stop();
      expect(cluster.clock.timerCount).toBe(0);
    },
  );
});
