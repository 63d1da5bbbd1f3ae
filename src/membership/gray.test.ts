import { describe, expect, it } from "vitest";
import { keys } from "../store/store.ts";
import { TestCluster } from "./test-cluster.ts";

const three = ["a", "b", "c"];

/** Finished pushes of a node, once a second, until told to stop. */
function work(cluster: TestCluster, slot: string): () => void {
  let isWorking = true;
  const node = cluster.node(slot);
  const step = () => {
    if (!isWorking) return;
    node.pushes++;
    node.report();
    cluster.clock.after(1_000, step);
  };
  node.queued = 5;
  step();
  return () => {
    isWorking = false;
  };
}

describe("a flapping member (R14)", () => {
  it("is parked: at most six view changes in the hour after the first ten minutes", async () => {
    const cluster = new TestCluster();
    await cluster.form(three);
    const node = cluster.node("c");
    const flap = async (cycles: number) => {
      for (let cycle = 0; cycle < cycles; cycle++) {
        node.freeze();
        await cluster.clock.advance(15_000);
        node.thaw();
        await cluster.clock.advance(15_000);
      }
    };
    await flap(20);
    const version = (await cluster.storedVersion()) ?? 0;
    // Three evictions and returns at least: the first two cost it nothing.
    expect(version).toBeGreaterThanOrEqual(6);
    await flap(120);
    expect(((await cluster.storedVersion()) ?? 0) - version).toBeLessThanOrEqual(6);
    expect(await cluster.storedSlots()).toEqual(["a", "b"]);
    // Once it beats without a break it is back, and stays.
    await cluster.until(async () => (await cluster.storedSlots()).length === 3, 310_000, 1_000);
    await cluster.stop();
  }, 120_000);

  it("is parked by a supervisor's restarts just the same", async () => {
    const cluster = new TestCluster();
    await cluster.form(three);
    let versions = 0;
    for (let life = 2; life < 30; life++) {
      cluster.node("c").kill();
      await cluster.clock.advance(15_000);
      const started = cluster.add("c", life).start();
      await cluster.clock.advance(15_000);
      await started;
      if (life === 15) versions = (await cluster.storedVersion()) ?? 0;
    }
    expect(((await cluster.storedVersion()) ?? 0) - versions).toBeLessThanOrEqual(1);
    await cluster.stop();
  }, 60_000);

  it("is taken back at once where nobody else is left", async () => {
    const cluster = new TestCluster();
    await cluster.form(["a", "b"]);
    const evicted = cluster.node("a").membership.evict("b");
    await cluster.clock.advance(3_000);
    expect(await evicted).toMatchObject({ kind: "evicted" });
    cluster.node("a").kill();
    await cluster.until(async () => (await cluster.storedSlots()).join() === "b", 20_000);
    await cluster.stop();
  });
});

describe("a member that beats and does not push (R15)", () => {
  it("is demoted within 60 s, comes back on probation, and stays when it works", async () => {
    const cluster = new TestCluster();
    await cluster.form(three);
    const stops = three.map((slot) => work(cluster, slot));
    await cluster.clock.advance(120_000);
    expect(await cluster.storedSlots()).toEqual(three);
    stops[1]?.();
    await cluster.until(async () => (await cluster.storedSlots()).join() === "a,c", 60_000, 500);
    work(cluster, "b");
    await cluster.clock.advance(20_000);
    expect(await cluster.storedSlots()).toEqual(["a", "c"]);
    await cluster.until(async () => (await cluster.storedSlots()).length === 3, 20_000, 500);
    await cluster.clock.advance(120_000);
    expect(await cluster.storedSlots()).toEqual(three);
    await cluster.stop();
  });

  it("is left alone while nothing is queued", async () => {
    const cluster = new TestCluster();
    await cluster.form(three);
    const version = await cluster.storedVersion();
    await cluster.clock.advance(180_000);
    expect(await cluster.storedVersion()).toBe(version);
    await cluster.stop();
  });

  it("is only alarmed of where most do not push: the fault is elsewhere", async () => {
    const cluster = new TestCluster();
    await cluster.form(three);
    const version = await cluster.storedVersion();
    for (const slot of ["a", "b"]) work(cluster, slot)();
    await cluster.clock.advance(120_000);
    expect(await cluster.storedVersion()).toBe(version);
    expect(await cluster.node("c").gauge("coxswain_members_stalled")).toBe(2);
    await cluster.stop();
  });
});

describe("eviction by command (R15)", () => {
  it.each(["a", "b"])(
    "takes a living member out within 3 s, asked of %s",
    async (asked) => {
      const cluster = new TestCluster();
      await cluster.form(three);
      const version = ((await cluster.storedVersion()) ?? 0) + 1;
      const outcome = cluster.node(asked).membership.evict("b");
      const isOut = async () => (await cluster.storedSlots()).join() === "a,c";
      // Nobody waits for a round that would come anyway.
      const tookMs = await cluster.until(isOut, 500);
      await cluster.clock.advance(3_000 - tookMs);
      expect(await outcome).toEqual({ kind: "evicted", view: { generation: 1, version } });
      await cluster.clock.advance(290_000);
      expect(await cluster.storedSlots()).toEqual(["a", "c"]);
      await cluster.until(async () => (await cluster.storedSlots()).length === 3, 30_000, 500);
      await cluster.stop();
    },
    30_000,
  );

  it("is tried again while the member's beat moves, and counts a mark that is there", async () => {
    const cluster = new TestCluster();
    await cluster.form(three);
    let raced = 0;
    cluster.store.faults = {
      before: async (call, key) => {
        if (call !== "update" || key.sk !== "b" || raced > 0) return;
        raced++;
        // Between the read and the mark: one more beat.
        const item = await cluster.store.get(keys.member("b"));
        if (item === undefined) return;
        const beat = Number(item.attributes["beat"]) + 1;
        await cluster.store.put({ ...item, attributes: { ...item.attributes, beat } });
      },
    };
    const outcome = cluster.node("a").membership.evict("b");
    await cluster.clock.advance(3_000);
    expect(await outcome).toMatchObject({ kind: "evicted" });
    expect(raced).toBe(1);
    await cluster.stop();
  });

  it.each([
    ["unknownSlot", ["a", "b"], "z"],
    ["lastMember", ["a"], "a"],
  ])("answers %s", async (kind, slots, slot) => {
    const cluster = new TestCluster();
    await cluster.form(slots);
    expect(await cluster.node("a").membership.evict(slot)).toEqual({ kind });
    expect(await cluster.storedSlots()).toEqual(slots);
    await cluster.stop();
  });
});
