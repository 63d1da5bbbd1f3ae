import { describe, expect, it } from "vitest";
import { CoxswainError } from "../kernel/errors.ts";
import { TestCluster } from "./test-cluster.ts";

const three = ["a", "b", "c"];
const hourMs = 3_600_000;

describe("an outage of the store (R11)", () => {
  it("of an hour for all, then for one, evicts nobody who lives when it is over", async () => {
    const cluster = new TestCluster();
    await cluster.form(three);
    const version = (await cluster.storedVersion()) ?? 0;
    for (const slot of three) cluster.node(slot).storeState = "failing";
    await cluster.clock.advance(hourMs);
    for (const slot of three) {
      expect(cluster.node(slot).membership.mayPush()).toBe(true);
      cluster.node(slot).storeState = "reachable";
      // They come back one after the other: the first must not judge the last.
      await cluster.clock.advance(1_500);
    }
    await cluster.clock.advance(60_000);
    expect(await cluster.storedVersion()).toBe(version);
    const cutOff = cluster.node("b");
    cutOff.storeState = "failing";
    await cluster.until(async () => (await cluster.storedSlots()).join() === "a,c", 8_000);
    await cluster.clock.advance(hourMs);
    expect(cutOff.membership.snapshot().silentSlots.size).toBe(0);
    expect(cutOff.membership.mayPush()).toBe(true);
    cutOff.storeState = "reachable";
    await cluster.until(async () => (await cluster.storedSlots()).length === 3, 10_000);
    await cluster.clock.advance(60_000);
    // Its own eviction and its return, nothing else.
    expect(await cluster.storedVersion()).toBe(version + 2);
    await cluster.stop();
  }, 60_000);

  it("keeps a node that starts during it waiting; it never forms a view of its own", async () => {
    const cluster = new TestCluster();
    await cluster.form(three);
    const version = (await cluster.storedVersion()) ?? 0;
    cluster.store.faults = {
      before: () => {
        throw new CoxswainError("STORE_UNAVAILABLE", "The test cut the store off");
      },
    };
    await cluster.clock.advance(10_000);
    cluster.node("b").kill();
    const node = cluster.add("b", 2);
    const started = node.start();
    await cluster.clock.advance(hourMs / 4);
    expect(node.status).toBe("joining");
    expect(node.membership.mayPush()).toBe(false);
    expect(node.membership.snapshot().view.members).toEqual([]);
    cluster.store.faults = {};
    await cluster.until(() => node.status === "active", 10_000);
    await started;
    expect(await cluster.storedSlots()).toEqual(three);
    // The same slot under a new incarnation: one view, nobody was evicted.
    await cluster.clock.advance(20_000);
    expect(await cluster.storedVersion()).toBe(version + 1);
    await cluster.stop();
  }, 60_000);
});
