import { describe, expect, it } from "vitest";
import { CoxswainError } from "../kernel/errors.ts";
import { keys } from "../store/store.ts";
import { markMember } from "./mark.ts";
import { decodeMember } from "./member.ts";
import { TestCluster } from "./test-cluster.ts";

const three = ["a", "b", "c"];

describe("a dead member", () => {
  it.each(["s1", "s2", "s3", "s4", "s5", "s6"])(
    "is replaced within 4 s of SIGKILL (%s)",
    async (seed) => {
      const cluster = new TestCluster({ seed });
      await cluster.form(three);
      await cluster.clock.advance(Number(seed.slice(1)) * 170);
      cluster.node("b").kill();
      const tookMs = await cluster.until(
        async () => !(await cluster.storedSlots()).includes("b"),
        4_000,
      );
      // Faster would be a verdict on fewer missed beats than agreed.
      expect(tookMs).toBeGreaterThan(900);
      await cluster.stop();
    },
  );

  it.each(["s1", "s2", "s3", "s4"])("is replaced within 8 s when frozen (%s)", async (seed) => {
    const cluster = new TestCluster({ seed });
    await cluster.form(three);
    await cluster.clock.advance(Number(seed.slice(1)) * 230);
    cluster.node("a").freeze();
    const tookMs = await cluster.until(
      async () => !(await cluster.storedSlots()).includes("a"),
      8_000,
    );
    expect(tookMs).toBeGreaterThan(4_000);
    cluster.node("a").thaw();
    await cluster.stop();
  });

  it("is evicted by observers that start only after its death", async () => {
    const cluster = new TestCluster();
    await cluster.form(["a"]);
    cluster.node("a").kill();
    await cluster.clock.advance(60_000);
    const started = cluster.add("b").start();
    await cluster.until(() => cluster.node("b").status === "active", 5_000);
    await started;
    await cluster.clock.advance(10_000);
    expect(await cluster.storedSlots()).toEqual(["b"]);
    await cluster.stop();
  });

  it("is evicted by any member when the one that marked it dies in between", async () => {
    const cluster = new TestCluster();
    await cluster.form(["a", "b", "c", "d", "e", "f"]);
    cluster.node("f").kill();
    const isMarked = async () =>
      (await cluster.store.get(keys.member("f")))?.attributes["evicting"] !== undefined;
    // Whoever marks loses the write to the view that would follow.
    cluster.store.faults = {
      before: (call, key) => {
        if (call === "put" && key.sk === "view") throw unavailable();
      },
    };
    await cluster.until(isMarked, 5_000);
    cluster.store.faults = {};
    cluster.node("a").kill();
    await cluster.clock.advance(5_000);
    expect(await cluster.storedSlots()).toEqual(["b", "c", "d", "e"]);
    await cluster.stop();
  });

  it("leaves no row behind for ever", async () => {
    const cluster = new TestCluster({ options: { rowRetentionMs: 20_000 } });
    await cluster.form(three);
    cluster.node("c").kill();
    await cluster.clock.advance(10_000);
    expect(await cluster.store.get(keys.member("c"))).toBeDefined();
    await cluster.clock.advance(20_000);
    expect(await cluster.store.get(keys.member("c"))).toBeUndefined();
    await cluster.stop();
  });

  it("is evicted even when its item has vanished from the table", async () => {
    const cluster = new TestCluster();
    await cluster.form(three);
    cluster.node("c").freeze();
    await cluster.store.delete(keys.member("c"));
    await cluster.until(async () => (await cluster.storedSlots()).join() === "a,b", 10_000);
    cluster.node("c").thaw();
    await cluster.clock.advance(5_000);
    expect(await cluster.storedSlots()).toEqual(three);
    expect(cluster.node("c").status).toBe("active");
    await cluster.stop();
  });
});

describe("a paused member", () => {
  it("causes no view change by a pause of 3 s, and does not push before it has read", async () => {
    const cluster = new TestCluster();
    await cluster.form(three);
    const version = await cluster.storedVersion();
    const node = cluster.node("b");
    node.freeze();
    await cluster.clock.advance(3_000);
    // The pusher's timer may be the first to run after the pause.
    expect(node.membership.mayPush()).toBe(false);
    node.thaw();
    await cluster.clock.advance(1_000);
    expect(node.membership.mayPush()).toBe(true);
    await cluster.clock.advance(20_000);
    expect(await cluster.storedVersion()).toBe(version);
    await cluster.stop();
  });

  it("evicts nobody after 60 s, does not push what it lost, and rejoins", async () => {
    const cluster = new TestCluster();
    await cluster.form(three);
    const node = cluster.node("a");
    const before = node.membership.snapshot().self.incarnation;
    node.freeze();
    await cluster.clock.advance(60_000);
    expect(await cluster.storedSlots()).toEqual(["b", "c"]);
    const allowed: boolean[] = [];
    node.membership.subscribe(({ view, self }) => {
      const isHeld = view.members.some((m) => m.slot === "a" && m.incarnation === self.incarnation);
      if (!isHeld) allowed.push(node.membership.mayPush());
    });
    expect(node.membership.mayPush()).toBe(false);
    node.thaw();
    const hasNewLife = () => node.membership.snapshot().self.incarnation > before;
    await cluster.until(() => hasNewLife() && node.status === "active", 10_000);
    expect(allowed.length).toBeGreaterThan(0);
    expect(allowed).not.toContain(true);
    await cluster.clock.advance(10_000);
    expect(await cluster.storedSlots()).toEqual(three);
    expect(node.membership.mayPush()).toBe(true);
    expect(await evictionsBy(cluster, "a")).toBe(0);
    await cluster.stop();
  });

  it("keeps its slot when its beat moves before the mark (R3)", async () => {
    const cluster = new TestCluster();
    await cluster.form(three);
    const node = cluster.node("c");
    let attempts = 0;
    cluster.store.faults = {
      before: async (call, key) => {
        const isMark = call === "update" && key.sk === "c" && node.clock.state === "frozen";
        if (!isMark) return;
        attempts++;
        node.thaw();
        await cluster.clock.sleep(300);
      },
    };
    node.freeze();
    await cluster.until(() => attempts > 0, 10_000);
    const version = await cluster.storedVersion();
    await cluster.clock.advance(10_000);
    expect(await cluster.storedVersion()).toBe(version);
    expect(node.status).toBe("active");
    await cluster.stop();
  });

  it("does not push while it is marked, though the view still holds it", async () => {
    const cluster = new TestCluster();
    await cluster.form(three);
    const node = cluster.node("c");
    const mark = async () => {
      const item = await cluster.store.get(keys.member("c"));
      if (item === undefined) throw new Error("No item");
      await markMember(cluster.store, decodeMember(item), "silent");
    };
    // A second mark soon after the first, so that the next registration has to wait.
    await mark();
    await cluster.clock.advance(4_000);
    expect(node.status).toBe("active");
    expect(node.membership.mayPush()).toBe(true);
    cluster.store.faults = {
      before: (call, key) => {
        if (call === "put" && key.sk === "view") throw unavailable();
      },
    };
    await mark();
    await cluster.clock.advance(1_300);
    expect(await cluster.storedSlots()).toEqual(three);
    expect(node.membership.mayPush()).toBe(false);
    cluster.store.faults = {};
    await cluster.clock.advance(12_000);
    expect(node.membership.mayPush()).toBe(true);
    await cluster.stop();
  });

  it("stops for good when another process has taken its slot", async () => {
    const cluster = new TestCluster();
    await cluster.form(three);
    const old = cluster.node("b");
    old.freeze();
    await cluster.clock.advance(3_000);
    const fresh = cluster.add("b", 2);
    const started = fresh.start();
    await cluster.until(() => fresh.status === "active", 8_000);
    await started;
    old.thaw();
    await cluster.until(() => old.status === "replaced", 1_500);
    expect(old.membership.mayPush()).toBe(false);
    await cluster.clock.advance(5_000);
    expect(old.membership.mayPush()).toBe(false);
    expect(fresh.status).toBe("active");
    await old.membership.stop();
    await cluster.stop();
    expect(cluster.clock.timerCount).toBe(0);
  });
});

describe("judgement", () => {
  it("is frozen by an outage of the store for an hour; the view and the right to push stay", async () => {
    const cluster = new TestCluster();
    await cluster.form(three);
    const version = await cluster.storedVersion();
    cluster.store.faults = {
      before: () => {
        throw unavailable();
      },
    };
    await cluster.clock.advance(3_600_000);
    for (const slot of three) {
      const { membership } = cluster.node(slot);
      expect(membership.snapshot()).toMatchObject({ isStoreReachable: false });
      expect(membership.snapshot().view.version).toBe(version);
      expect(membership.mayPush()).toBe(true);
    }
    cluster.store.faults = {};
    await cluster.clock.advance(60_000);
    expect(await cluster.storedVersion()).toBe(version);
    expect(cluster.node("a").membership.snapshot().isStoreReachable).toBe(true);
    await cluster.stop();
  }, 30_000);

  it("leaves a node that alone lost the store to the others, and takes it back", async () => {
    const cluster = new TestCluster();
    await cluster.form(three);
    const node = cluster.node("b");
    node.storeState = "hanging";
    const tookMs = await cluster.until(
      async () => !(await cluster.storedSlots()).includes("b"),
      8_000,
    );
    expect(tookMs).toBeGreaterThan(4_000);
    expect(node.membership.mayPush()).toBe(true);
    const before = node.membership.snapshot().self.incarnation;
    node.storeState = "reachable";
    await cluster.until(() => node.membership.snapshot().self.incarnation > before, 5_000);
    await cluster.until(() => node.status === "active", 10_000);
    expect(await cluster.storedSlots()).toEqual(three);
    await cluster.stop();
  });

  it("of a node that cannot write its own beats counts for nothing", async () => {
    const cluster = new TestCluster();
    await cluster.form(three);
    cluster.node("b").storeState = "readOnly";
    await cluster.until(async () => !(await cluster.storedSlots()).includes("b"), 8_000);
    expect(cluster.node("b").membership.snapshot().silentSlots.size).toBe(0);
    expect(await cluster.storedSlots()).toEqual(["a", "c"]);
    await cluster.stop();
  });

  it("holds back when most members fall silent for 25 s, and evicts nobody", async () => {
    const cluster = new TestCluster();
    const slots = ["a", "b", "c", "d", "e"];
    await cluster.form(slots);
    const version = await cluster.storedVersion();
    for (const slot of ["a", "b", "c"]) cluster.node(slot).storeState = "readOnly";
    await cluster.clock.advance(20_000);
    expect(await cluster.node("d").gauge("coxswain_eviction_held")).toBe(1);
    await cluster.clock.advance(5_000);
    for (const slot of ["a", "b", "c"]) cluster.node(slot).storeState = "reachable";
    await cluster.clock.advance(20_000);
    expect(await cluster.storedVersion()).toBe(version);
    expect(await cluster.node("d").gauge("coxswain_eviction_held")).toBe(0);
    await cluster.stop();
  });

  it("still replaces most members within 90 s when they are truly dead", async () => {
    const cluster = new TestCluster();
    await cluster.form(["a", "b", "c", "d", "e"]);
    for (const slot of ["a", "b", "c"]) cluster.node(slot).kill();
    await cluster.clock.advance(25_000);
    expect(await cluster.storedSlots()).toHaveLength(5);
    await cluster.until(async () => (await cluster.storedSlots()).join() === "d,e", 65_000);
    await cluster.stop();
  });

  it("does not depend on wall clocks (R1)", async () => {
    const dayMs = 86_400_000;
    const transcript = await transcriptOf(new Map());
    expect(
      await transcriptOf(
        new Map([
          ["a", dayMs],
          ["b", -dayMs],
          ["c", 7],
        ]),
      ),
    ).toEqual(transcript);
    expect(transcript.length).toBeGreaterThan(10);
  });
});

async function transcriptOf(wallOffsetsMs: ReadonlyMap<string, number>): Promise<string[]> {
  const cluster = new TestCluster({ wallOffsetsMs });
  await cluster.form(three);
  cluster.node("b").kill();
  await cluster.clock.advance(8_000);
  cluster.node("a").freeze();
  await cluster.clock.advance(12_000);
  cluster.node("a").thaw();
  await cluster.clock.advance(20_000);
  await cluster.stop();
  return cluster.transcript;
}

function unavailable(): CoxswainError {
  return new CoxswainError("STORE_UNAVAILABLE", "The test cut the store off");
}

async function evictionsBy(cluster: TestCluster, slot: string): Promise<number> {
  const { values } = await cluster.node(slot).metrics.viewChangesTotal.get();
  return values
    .filter(({ labels }) => labels.reason === "evict")
    .reduce((sum, { value }) => sum + value, 0);
}
