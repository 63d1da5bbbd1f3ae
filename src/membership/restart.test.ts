import { describe, expect, it } from "vitest";
import { CoxswainError } from "../kernel/errors.ts";
import { keys } from "../store/store.ts";
import { TestCluster, type TestNode } from "./test-cluster.ts";
import { ensureView } from "./view-store.ts";

const three = ["a", "b", "c"];
const graceMs = 30_000;

async function stopForRestart(cluster: TestCluster, node: TestNode): Promise<void> {
  const stopped = node.membership.stopForRestart(graceMs);
  await cluster.clock.advance(100);
  await stopped;
  node.isListening = false;
}

/** Slots and states of the view, as every reader places hosts by it. */
const placedBy = async (cluster: TestCluster) => (await cluster.storedSlots()).join();

describe("a restart with grace (R10)", () => {
  it("of twenty slots, one at a time, makes one view each and moves nothing", async () => {
    const cluster = new TestCluster();
    const slots = Array.from({ length: 20 }, (_, index) => `n${String(index).padStart(2, "0")}`);
    await cluster.form(slots);
    const version = (await cluster.storedVersion()) ?? 0;
    for (const slot of slots) {
      await stopForRestart(cluster, cluster.node(slot));
      await cluster.clock.advance(20_000);
      const started = cluster.add(slot, 2).start();
      await cluster.until(() => cluster.node(slot).status === "active", 5_000);
      await started;
    }
    expect(await cluster.storedSlots()).toEqual(slots);
    expect(await cluster.storedVersion()).toBe(version + slots.length);
    // No view in between had other slots.
    const seen = new Set(cluster.placements);
    expect([...seen].filter((placement) => placement.split(",").length === 20)).toHaveLength(1);
    await cluster.stop();
  }, 60_000);

  it("of twenty slots at once makes at most three views from the cold", async () => {
    const cluster = new TestCluster();
    await ensureView(cluster.store);
    const slots = Array.from({ length: 20 }, (_, index) => `n${index}`);
    const started = slots.map((slot) => cluster.add(slot).start());
    await cluster.until(() => slots.every((s) => cluster.node(s).status === "active"), 15_000);
    await Promise.all(started);
    expect(await cluster.storedVersion()).toBeLessThanOrEqual(3);
    await cluster.stop();
  });

  it("is over after the grace: the slot is evicted, and comes back with a second view", async () => {
    const cluster = new TestCluster();
    await cluster.form(three);
    const version = (await cluster.storedVersion()) ?? 0;
    await stopForRestart(cluster, cluster.node("b"));
    await cluster.clock.advance(graceMs - 1_000);
    expect(await placedBy(cluster)).toBe("a,b,c");
    await cluster.until(async () => (await placedBy(cluster)) === "a,c", 6_000);
    const started = cluster.add("b", 2).start();
    await cluster.until(() => cluster.node("b").status === "active", 5_000);
    await started;
    expect(await cluster.storedVersion()).toBe(version + 2);
    await cluster.stop();
  });

  it("does not keep two others from replacing a third one that dies meanwhile", async () => {
    const cluster = new TestCluster();
    await cluster.form(["a", "b", "c", "d"]);
    await stopForRestart(cluster, cluster.node("b"));
    cluster.node("d").kill();
    await cluster.clock.advance(5_000);
    expect(await placedBy(cluster)).toBe("a,b,c");
    await cluster.stop();
  });

  it("is not waited for by the next process of the slot, which takes it at once", async () => {
    const cluster = new TestCluster();
    await cluster.form(three);
    await stopForRestart(cluster, cluster.node("b"));
    const node = cluster.add("b", 2);
    // Somebody else answers at the address: a probe would prove nothing.
    node.isListening = true;
    const started = node.start();
    await cluster.clock.advance(1_500);
    expect(node.status).toBe("active");
    await started;
    await cluster.stop();
  });

  it("whose last beat is lost is a crash, and evicted as one", async () => {
    const cluster = new TestCluster();
    await cluster.form(three);
    const node = cluster.node("b");
    node.storeState = "hanging";
    const stopped = node.membership.stopForRestart(graceMs);
    await cluster.clock.advance(2_000);
    await stopped;
    await cluster.clock.advance(8_000);
    expect(await placedBy(cluster)).toBe("a,c");
    await cluster.stop();
  });

  it("of a node in no view leaves nothing behind", async () => {
    const cluster = new TestCluster();
    await cluster.form(["a"]);
    cluster.store.faults = {
      before: (call, key) => {
        if (call === "put" && key.sk === "view") throw new CoxswainError("STORE_UNAVAILABLE", "no");
      },
    };
    const node = cluster.add("b");
    const started = node.start();
    await cluster.clock.advance(2_000);
    await started;
    expect(node.status).toBe("joining");
    await stopForRestart(cluster, node);
    expect(await cluster.store.get(keys.member("b"))).toBeUndefined();
    await cluster.stop();
  });
});
