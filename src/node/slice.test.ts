import { describe, expect, test } from "vitest";
import { failCalls } from "../inventory/test-faults.ts";
import type { MembershipSnapshot } from "../membership/snapshot.ts";
import { hostId, overlapMaxMs, partitionsCount, SliceFixture, snapshotOf } from "./node-fixture.ts";
import { filled, ids, ownedBy } from "./slice-fixture.ts";

const moved = async () => {
  const fixture = await filled();
  await fixture.adopt(1, "a");
  await fixture.adopt(2, "a", "b");
  return fixture;
};

const release = (fixture: SliceFixture, seen: number | undefined, isStoreReachable = true) =>
  fixture.slice.release(
    snapshotOf(2, ["a", "b"], seen === undefined ? {} : { b: seen }, isStoreReachable),
  );

describe("taking up a view", () => {
  test("gained partitions are loaded, and only then is the view reported", async () => {
    const fixture = await filled();
    const { store } = fixture;
    let reportedDuringLoads = 0;
    store.faults = {
      before: () => {
        reportedDuringLoads += fixture.reports.length;
      },
    };
    await fixture.adopt(1, "a", "b");
    const own = ownedBy("a", ["a", "b"]);
    expect(own.length).toBeGreaterThan(0);
    expect(fixture.targetIds()).toEqual(own);
    expect(fixture.reports).toEqual([`1:${own.length}`]);
    expect(reportedDuringLoads).toBe(0);
    expect(fixture.slice.hostsCount()).toBe(own.length);
  });

  test("a node that is not in the view serves nothing and says so", async () => {
    const fixture = await filled();
    await fixture.adopt(1, "b");
    expect([fixture.targetIds(), fixture.reports]).toEqual([[], ["1:0"]]);
  });

  test("reads that fail are tried again, and nothing is reported before they worked", async () => {
    const fixture = await filled();
    fixture.store.faults = failCalls((call) => call === "query", 2);
    const adopting = fixture.adopt(1, "a");
    await fixture.clock.advance(100);
    expect(fixture.reports).toEqual([]);
    await fixture.clock.advance(2_000);
    await adopting;
    expect(fixture.reports).toEqual([`1:${ids.length}`]);
    expect(fixture.targetIds()).toEqual(ids);
    expect(fixture.clock.timerCount).toBe(0);
  });

  test("stopping ends the tries", async () => {
    const fixture = await filled();
    fixture.store.faults = failCalls(() => true, Number.POSITIVE_INFINITY);
    const stopping = new AbortController();
    const adopting = fixture.slice.adopt(snapshotOf(1, ["a"]), () => false, stopping.signal);
    await fixture.clock.advance(1_000);
    stopping.abort(new Error("stop"));
    await expect(adopting).rejects.toThrow("stop");
    expect([fixture.reports, fixture.clock.timerCount]).toEqual([[], 0]);
  });

  test("a view that is superseded while it loads is not reported; the next one goes on", async () => {
    const fixture = await filled();
    let reads = 0;
    fixture.store.faults = {
      before: () => {
        reads += 1;
      },
    };
    const isSuperseded = () => reads >= 5;
    const { signal } = new AbortController();
    await fixture.slice.adopt(snapshotOf(1, ["a"]), isSuperseded, signal);
    expect(fixture.reports).toEqual([]);
    const loaded = fixture.slice.servedPartitions().length;
    expect(loaded).toBeGreaterThan(0);
    expect(loaded).toBeLessThan(partitionsCount);
    await fixture.adopt(2, "a");
    expect([fixture.reports, fixture.targetIds()]).toEqual([[`2:${ids.length}`], ids]);
    expect(fixture.pusher.calls.filter((call) => call.startsWith("load"))).toHaveLength(ids.length);
  });

  test("a new owner starts from what its predecessor had acknowledged", async () => {
    const checkpoint = { id: hostId("h00"), reachability: "lost" as const, failures: 3 };
    const fixture = new SliceFixture({
      read: async (partitions) =>
        new Map(partitions.map((partition) => [partition, new Map([[checkpoint.id, checkpoint]])])),
      write: async () => {},
    });
    await fixture.put("h00");
    await fixture.put("h01");
    await fixture.slice.refreshFleet();
    await fixture.adopt(1, "a");
    expect([...fixture.pusher.known]).toEqual([[checkpoint.id, checkpoint]]);
  });

  test("checkpoints are read for some partitions with one call, and not for those without hosts", async () => {
    const asked: number[][] = [];
    const fixture = new SliceFixture({
      read: async (partitions) => {
        asked.push([...partitions]);
        return new Map();
      },
      write: async () => {},
    });
    for (const id of ids) await fixture.put(id);
    await fixture.slice.refreshFleet();
    await fixture.adopt(1, "a");
    const withHosts = new Set(ids.map((id) => fixture.partitionOf(id)));
    expect(asked.flat()).toHaveLength(withHosts.size);
    expect(new Set(asked.flat())).toEqual(withHosts);
    expect(asked).toHaveLength(Math.ceil(partitionsCount / 16));
  });

  test("a new generation gives every host a new fence, the same one nothing", async () => {
    const fixture = await filled();
    await fixture.adopt(1, "a");
    const calls = fixture.pusher.calls.length;
    await fixture.adopt(2, "a");
    expect(fixture.pusher.calls).toHaveLength(calls);
    const { view, ...rest } = snapshotOf(1, ["a"]);
    const raised = { ...rest, view: { ...view, generation: 2 } };
    await fixture.slice.adopt(raised, () => false, new AbortController().signal);
    const fences = [...fixture.pusher.targets.values()].map(({ fence }) => fence.generation);
    expect(fences).toEqual(ids.map(() => 2));
  });
});

test("a view is taken up again once this process knows that it is the member in it", async () => {
  const fixture = await filled();
  const snapshot = snapshotOf(1, ["a", "b"]);
  const unaware = { ...snapshot, self: { ...snapshot.self, incarnation: 0 } };
  const adopt = (seen: MembershipSnapshot) =>
    fixture.slice.adopt(seen, () => false, new AbortController().signal);
  await adopt(unaware);
  expect(fixture.targetIds()).toEqual([]);
  expect(fixture.slice.isBehind(unaware)).toBe(false);
  expect(fixture.slice.isBehind(snapshot)).toBe(true);
  await adopt(snapshot);
  expect(fixture.targetIds()).toEqual(ownedBy("a", ["a", "b"]));
  expect(fixture.slice.isBehind(snapshot)).toBe(false);
});

describe("letting go", () => {
  const lost = ownedBy("b", ["a", "b"]);

  test("lost partitions are served until the successor has loaded the view", async () => {
    const fixture = await moved();
    expect(fixture.targetIds()).toEqual(ids);
    await release(fixture, undefined);
    await release(fixture, 1);
    expect(fixture.targetIds()).toEqual(ids);
    await release(fixture, 2);
    expect(fixture.targetIds()).toEqual(ids.filter((id) => !lost.includes(id)));
    const gone = new Set(lost.map((id) => fixture.partitionOf(id)));
    expect(fixture.written).toEqual(expect.arrayContaining([...gone]) as number[]);
    for (const partition of gone) expect(fixture.slice.isServed(partition)).toBe(false);
  });

  test("a successor that says nothing is waited for as long as the overlap, and no longer", async () => {
    const fixture = await moved();
    await fixture.clock.advance(overlapMaxMs - 1);
    await release(fixture, undefined);
    expect(fixture.targetIds()).toEqual(ids);
    await fixture.clock.advance(1);
    await release(fixture, undefined);
    expect(fixture.targetIds()).toEqual(ids.filter((id) => !lost.includes(id)));
  });

  test("without the store lost partitions are served on", async () => {
    const fixture = await moved();
    await fixture.clock.advance(10 * overlapMaxMs);
    await release(fixture, undefined, false);
    expect(fixture.targetIds()).toEqual(ids);
    // The successor's time starts when the store is back, not when the view changed.
    await fixture.clock.advance(overlapMaxMs - 1);
    await release(fixture, undefined);
    expect(fixture.targetIds()).toEqual(ids);
    await fixture.clock.advance(1);
    await release(fixture, undefined);
    expect(fixture.targetIds()).not.toEqual(ids);
  });

  test("a partition that comes back is kept, with its hosts as they are", async () => {
    const fixture = await moved();
    await fixture.adopt(3, "a");
    const calls = fixture.pusher.calls.length;
    await fixture.clock.advance(10 * overlapMaxMs);
    await fixture.slice.release(snapshotOf(3, ["a"]));
    expect([fixture.targetIds(), fixture.pusher.calls.length]).toEqual([ids, calls]);
  });

  test("what nobody takes is not let go", async () => {
    const fixture = await filled();
    await fixture.adopt(1, "a");
    await fixture.adopt(2);
    await fixture.clock.advance(10 * overlapMaxMs);
    await fixture.slice.release(snapshotOf(2, []));
    expect(fixture.targetIds()).toEqual(ids);
  });

  test("a partition wanted again while its checkpoint is written is kept", async () => {
    const fixture: SliceFixture = new SliceFixture({
      read: async () => new Map(),
      write: () => fixture.adopt(3, "a"),
    });
    for (const id of ids) await fixture.put(id);
    await fixture.slice.refreshFleet();
    await fixture.adopt(1, "a");
    await fixture.adopt(2, "a", "b");
    await release(fixture, 2);
    expect(fixture.targetIds()).toEqual(ids);
  });
});
