import { describe, expect, it } from "vitest";
import { CoxswainError } from "../kernel/errors.ts";
import { keys } from "../store/store.ts";
import { TestCluster } from "./test-cluster.ts";
import { ensureView, readView } from "./view-store.ts";

const three = ["a", "b", "c"];

describe("starting", () => {
  it("waits for the view item instead of forming a cluster alone", async () => {
    const cluster = new TestCluster();
    const started = cluster.add("a").start();
    await cluster.clock.advance(30_000);
    expect(cluster.store.dump()).toEqual([]);
    await ensureView(cluster.store);
    await cluster.until(() => cluster.node("a").status === "active", 5_000);
    await started;
    await cluster.stop();
  });

  it("waits for a store that does not answer", async () => {
    const cluster = new TestCluster();
    await ensureView(cluster.store);
    const node = cluster.add("a");
    node.storeState = "hanging";
    const started = node.start();
    await cluster.clock.advance(30_000);
    expect(node.status).toBe("joining");
    node.storeState = "reachable";
    await cluster.until(() => node.status === "active", 5_000);
    await started;
    expect(await cluster.storedSlots()).toEqual(["a"]);
    await cluster.stop();
  });

  it("is given up by stop, with its error", async () => {
    const cluster = new TestCluster();
    const node = cluster.add("a");
    const started = node.start();
    const failure = started.catch((error: unknown) => error);
    await cluster.clock.advance(3_000);
    await cluster.stop();
    expect(await failure).toMatchObject({ code: "NODE_STOPPED" });
    expect(cluster.clock.timerCount).toBe(0);
  });

  it("makes at most three views of five nodes that start within a second", async () => {
    const cluster = new TestCluster();
    await ensureView(cluster.store);
    const slots = ["a", "b", "c", "d", "e"];
    const started: Promise<void>[] = [];
    for (const slot of slots) {
      started.push(cluster.add(slot).start());
      await cluster.clock.advance(200);
    }
    await cluster.until(() => slots.every((s) => cluster.node(s).status === "active"), 8_000);
    await Promise.all(started);
    expect(await cluster.storedSlots()).toEqual(slots);
    expect(await cluster.storedVersion()).toBeLessThanOrEqual(3);
    await cluster.stop();
  });

  it("refuses a slot whose holder lives, and names it", async () => {
    const cluster = new TestCluster();
    await cluster.form(three);
    const holder = cluster.node("b");
    const second = cluster.add("b", 2);
    const outcome = second.start().catch((error: unknown) => error);
    await cluster.clock.advance(4_000);
    expect(await outcome).toMatchObject({
      code: "MEMBER_SLOT_TAKEN",
      details: { slot: "b", url: "http://b.test" },
    });
    expect(holder.status).toBe("active");
    await holder.membership.stop();
    await cluster.stop();
  });

  it.each([
    { isListening: false, maxMs: 1_500, title: "at once when its address refuses" },
    { isListening: true, maxMs: 5_000, title: "after 2.5 beats when something answers there" },
  ])("takes a dead process's slot over $title, moving nothing", async (given) => {
    const cluster = new TestCluster();
    await cluster.form(three);
    const version = (await cluster.storedVersion()) ?? 0;
    cluster.node("b").kill();
    const node = cluster.add("b", 2);
    node.isListening = given.isListening;
    const started = node.start();
    await cluster.until(() => node.status === "active", given.maxMs);
    await started;
    expect(await cluster.storedSlots()).toEqual(three);
    expect(await cluster.storedVersion()).toBe(version + 1);
    expect(node.membership.mayPush()).toBe(true);
    await cluster.stop();
  });
});

describe("the stored view", () => {
  it("is recognised as an own change when the answer to the write was lost", async () => {
    const cluster = new TestCluster();
    await ensureView(cluster.store);
    let lostCount = 0;
    cluster.store.faults = {
      after: (call, key) => {
        if (call !== "put" || key.sk !== "view") return;
        lostCount++;
        throw unavailable();
      },
    };
    const started = cluster.add("a").start();
    await cluster.until(() => cluster.node("a").status === "active", 5_000);
    await started;
    expect(lostCount).toBe(1);
    expect(await cluster.storedVersion()).toBe(1);
    const changes = await cluster.node("a").metrics.viewChangesTotal.get();
    expect(changes.values).toMatchObject([{ value: 1, labels: { reason: "join" } }]);
    await cluster.stop();
  });

  it("is never adopted when it is older or gone; the members register again", async () => {
    const cluster = new TestCluster();
    await ensureView(cluster.store);
    const backup = cluster.store.dump();
    await cluster.form(three);
    for (const slot of three) cluster.node(slot).canRestore = false;
    const view = cluster.node("a").membership.snapshot().view;
    for (const content of [[], backup]) {
      cluster.store.restore(content);
      await cluster.clock.advance(30_000);
      for (const slot of three) {
        expect(cluster.node(slot).membership.snapshot().view).toEqual(view);
        expect(cluster.node(slot).membership.mayPush()).toBe(true);
        expect(await cluster.store.get(keys.member(slot))).toBeDefined();
      }
    }
    // Nothing is decided on such a view: not even the dead are marked.
    cluster.node("c").kill();
    await cluster.clock.advance(30_000);
    expect((await cluster.store.get(keys.member("c")))?.attributes["evicting"]).toBeUndefined();
    expect((await readView(cluster.store))?.version).toBe(0);
    await cluster.stop();
  });

  it("survives a damaged row of one member, which is counted and not judged", async () => {
    const cluster = new TestCluster();
    await cluster.form(three);
    cluster.node("c").kill();
    await cluster.store.update(keys.member("c"), { set: { report: "{", beat: "x" } });
    await cluster.clock.advance(15_000);
    expect(await cluster.storedSlots()).toEqual(three);
    expect(await cluster.node("a").gauge("coxswain_member_items_corrupt")).toBe(1);
    await cluster.store.delete(keys.member("c"));
    await cluster.until(async () => (await cluster.storedSlots()).join() === "a,b", 10_000);
    await cluster.stop();
  });
});

describe("hints", () => {
  it("start a round at once, but no more than ten a second", async () => {
    const cluster = new TestCluster();
    await cluster.form(["a"]);
    let readsCount = 0;
    cluster.store.faults = { before: (call) => void (readsCount += call === "query" ? 1 : 0) };
    cluster.node("a").membership.wake();
    await cluster.clock.advance(100);
    expect(readsCount).toBe(1);
    for (let index = 0; index < 100; index++) {
      cluster.node("a").membership.wake();
      await cluster.clock.advance(10);
    }
    expect(readsCount).toBeGreaterThanOrEqual(9);
    expect(readsCount).toBeLessThanOrEqual(12);
    await cluster.stop();
  });

  it("follow a suspicion, before anybody has marked the silent member", async () => {
    const cluster = new TestCluster();
    await cluster.form(three);
    const before = cluster.hintCount;
    cluster.store.faults = {
      before: (call, key) => {
        if (call === "update" && key.sk === "c") throw unavailable();
      },
    };
    await cluster.clock.advance(3_000);
    expect(cluster.hintCount).toBe(before);
    cluster.node("c").kill();
    await cluster.clock.advance(6_000);
    expect(cluster.hintCount).toBeGreaterThan(before);
    expect(await cluster.storedSlots()).toEqual(three);
    await cluster.stop();
  });

  it("do not pile up probes of an address that does not answer", async () => {
    const cluster = new TestCluster();
    await cluster.form(["a", "b"]);
    cluster.node("b").freeze();
    for (let index = 0; index < 45; index++) {
      cluster.node("a").membership.wake();
      await cluster.clock.advance(100);
    }
    expect(cluster.probesCountMax).toBe(1);
    await cluster.stop();
  });
});

describe("leaving", () => {
  it("goes on serving until every successor has loaded the view without it", async () => {
    const cluster = new TestCluster();
    await cluster.form(three);
    const version = (await cluster.storedVersion()) ?? 0;
    cluster.node("a").loadMs = 3_000;
    const leaver = cluster.node("b");
    const left = leaver.membership.leave();
    expect(leaver.membership.leave()).toBe(left);
    let gapCount = 0;
    await cluster.until(() => {
      const seen = three
        .filter((slot) => slot !== "b")
        .map((slot) => leaver.membership.snapshot().members.get(slot)?.viewSeen?.version ?? 0);
      const areReady = seen.every((value) => value > version);
      if (!areReady && !leaver.membership.mayPush()) gapCount++;
      return leaver.status === "left";
    }, 25_000);
    await left;
    expect(gapCount).toBe(0);
    expect(leaver.status).toBe("left");
    expect(leaver.membership.mayPush()).toBe(false);
    expect(await cluster.storedSlots()).toEqual(["a", "c"]);
    expect(await cluster.store.get(keys.member("b"))).toBeUndefined();
    // One view to stop giving it partitions, one to let it go.
    expect(await cluster.storedVersion()).toBe(version + 2);
    await cluster.stop();
  });

  it("ends when a successor never loads the view", async () => {
    const cluster = new TestCluster();
    await cluster.form(three);
    cluster.node("a").loadMs = 1_000_000;
    const left = cluster.node("b").membership.leave();
    await cluster.clock.advance(26_000);
    await left;
    expect(await cluster.storedSlots()).toEqual(["a", "c"]);
    await cluster.stop();
  });

  it("ends when the store cannot be reached, and frees the slot by silence", async () => {
    const cluster = new TestCluster();
    await cluster.form(three);
    const leaver = cluster.node("b");
    leaver.storeState = "failing";
    const left = leaver.membership.leave();
    await cluster.clock.advance(27_000);
    await left;
    expect(leaver.status).toBe("left");
    expect(await cluster.storedSlots()).toEqual(["a", "c"]);
    await cluster.stop();
  });

  it("empties the cluster when the last member goes, and the slot can be taken again", async () => {
    const cluster = new TestCluster();
    await cluster.form(["a"]);
    const { incarnation } = cluster.node("a").membership.snapshot().self;
    const left = cluster.node("a").membership.leave();
    await cluster.clock.advance(5_000);
    await left;
    expect(await cluster.storedSlots()).toEqual([]);
    const started = cluster.add("a", 2).start();
    await cluster.until(() => cluster.node("a").status === "active", 5_000);
    await started;
    expect(cluster.node("a").membership.snapshot().self.incarnation).toBeGreaterThan(incarnation);
    await cluster.stop();
  });
});

describe("stopping", () => {
  it("leaves no timer behind, even with the store hanging and a probe under way", async () => {
    const cluster = new TestCluster();
    await cluster.form(three);
    cluster.node("c").freeze();
    await cluster.clock.advance(2_600);
    cluster.node("a").storeState = "hanging";
    await cluster.clock.advance(50);
    const stopped = Promise.all(["a", "b"].map((slot) => cluster.node(slot).membership.stop()));
    cluster.node("c").kill();
    await cluster.clock.advance(1_000);
    await stopped;
    expect(cluster.clock.timerCount).toBe(0);
    await cluster.node("a").membership.stop();
  });
});

function unavailable(): CoxswainError {
  return new CoxswainError("STORE_UNAVAILABLE", "The test cut the store off");
}
