import { describe, expect, it } from "vitest";
import { keys } from "../store/store.ts";
import { TestCluster } from "./test-cluster.ts";
import { ensureView, readView } from "./view-store.ts";

const three = ["a", "b", "c"];

async function formed() {
  const cluster = new TestCluster();
  await ensureView(cluster.store);
  const backup = cluster.store.dump();
  await cluster.form(three);
  return { cluster, backup };
}

const viewOf = (cluster: TestCluster, slot: string) =>
  cluster.node(slot).membership.snapshot().view;

describe("a table that was emptied or rolled back (R12)", () => {
  it.each(["emptied", "rolled back"])(
    "and %s is put right by the nodes, in a new generation",
    async (what) => {
      const { cluster, backup } = await formed();
      const before = viewOf(cluster, "a");
      cluster.store.restore(what === "emptied" ? [] : backup);
      const isRaised = async () => (await readView(cluster.store))?.generation === 2;
      let pauses = 0;
      await cluster.until(async () => {
        if (!three.every((slot) => cluster.node(slot).membership.mayPush())) pauses++;
        return isRaised();
      }, 10_000);
      await cluster.clock.advance(2_000);
      expect(pauses).toBe(0);
      for (const slot of three) {
        const view = viewOf(cluster, slot);
        expect(view.members).toEqual(before.members);
        expect(view).toMatchObject({ generation: 2, fleetRevisionMin: 7 });
        expect(view.version).toBeGreaterThan(before.version);
        expect(cluster.node(slot).membership.snapshot().isStoreBehind).toBe(false);
      }
      expect(await cluster.node("a").gauge("coxswain_store_behind")).toBe(0);
      // It is a view like any other: the dead are evicted from it.
      cluster.node("c").kill();
      await cluster.until(async () => (await cluster.storedSlots()).join() === "a,b", 10_000);
      await cluster.stop();
    },
  );

  it("raises the alarm and nothing else while a living member has not written back", async () => {
    const { cluster } = await formed();
    const before = viewOf(cluster, "a");
    cluster.node("b").canRestore = false;
    cluster.store.restore([]);
    await cluster.clock.advance(60_000);
    expect(await readView(cluster.store)).toBeUndefined();
    expect(viewOf(cluster, "c")).toEqual(before);
    expect(await cluster.node("a").gauge("coxswain_store_behind")).toBe(1);
    // Nobody is judged by such a table: not even the dead are marked.
    cluster.node("b").kill();
    await cluster.until(async () => (await readView(cluster.store)) !== undefined, 15_000);
    expect(viewOf(cluster, "a").generation).toBe(2);
    await cluster.stop();
  });

  it("does not make a member believe that an older item of its slot is its successor's", async () => {
    const { cluster } = await formed();
    const backup = cluster.store.dump();
    cluster.node("b").kill();
    const fresh = cluster.add("b", 2);
    fresh.isListening = false;
    const started = fresh.start();
    await cluster.until(() => fresh.status === "active", 5_000);
    await started;
    cluster.store.restore(backup);
    await cluster.until(async () => (await readView(cluster.store))?.generation === 2, 15_000);
    expect(fresh.status).toBe("active");
    expect((await cluster.store.get(keys.member("b")))?.attributes["incarnation"]).toBe(
      fresh.membership.snapshot().self.incarnation,
    );
    await cluster.stop();
  });

  it("twice in a row is put right twice, half a minute apart", async () => {
    const { cluster } = await formed();
    cluster.store.restore([]);
    await cluster.until(async () => (await readView(cluster.store))?.generation === 2, 10_000);
    await cluster.clock.advance(1_000);
    cluster.store.restore([]);
    await cluster.until(async () => (await readView(cluster.store))?.generation === 3, 45_000);
    await cluster.clock.advance(5_000);
    expect(three.map((slot) => viewOf(cluster, slot).generation)).toEqual([3, 3, 3]);
    await cluster.stop();
  });
});
