import { describe, expect, test } from "vitest";
import { FleetStore } from "../inventory/fleet.ts";
import { createRandom } from "../kernel/random.ts";
import type { MemberReport } from "../membership/member.ts";
import type { MembershipSnapshot } from "../membership/snapshot.ts";
import { overlapMaxMs, type SliceFixture, snapshotOf } from "./node-fixture.ts";
import { filled, ids, ownedBy, rollout, serving } from "./slice-fixture.ts";

describe("a table that goes back (R12)", () => {
  test("takes no host away: not by an emptied partition, not while it is being emptied", async () => {
    const fixture = await serving();
    const backup = fixture.store.dump();
    const partitions = fixture.slice.servedPartitions();
    const rereadAll = async () => {
      for (const partition of partitions) await fixture.slice.refreshPartition(partition);
    };
    // Emptied between the read of a counter and the read of its hosts.
    fixture.store.faults = {
      before: (call) => {
        if (call === "query") fixture.store.restore([]);
      },
    };
    for (const partition of partitions) {
      fixture.store.restore(backup);
      await fixture.slice.refreshPartition(partition);
    }
    fixture.store.faults = {};
    expect(fixture.targetIds()).toEqual(ids);
    fixture.store.restore([]);
    await rereadAll();
    await fixture.slice.refreshFleet();
    expect([fixture.targetIds(), fixture.slice.isFleetLost]).toEqual([ids, false]);
    expect(await fixture.slice.movedPartitions()).toEqual([]);
    expect(fixture.slice.losses.seen.length).toBeGreaterThan(0);
  });

  test("takes no host away whose counter others have moved on, until the view is there", async () => {
    const fixture = await serving();
    const { slice, store, hosts } = fixture;
    const [id = ""] = ids;
    const partition = fixture.partitionOf(id);
    const count = [...slice.hostsOf(partition)].length;
    store.restore([]);
    // Writers that know nothing of the loss move the counter above the one that was loaded.
    while ((await hosts.partitions.head(partition)) <= slice.revisionOf(partition)) {
      await hosts.partitions.next(partition);
    }
    const { view } = slice;
    for (const stored of [undefined, { ...view, version: 0 }, { ...view, generation: 2 }]) {
      fixture.tableView = { view: stored };
      await slice.refreshPartition(partition);
      expect([...slice.hostsOf(partition)]).toHaveLength(count);
    }
    fixture.tableView = { view };
    await slice.losses.hold(partition, () => slice.refreshPartition(partition));
    expect([...slice.hostsOf(partition)]).toHaveLength(count);
    await slice.refreshPartition(partition);
    expect([...slice.hostsOf(partition)]).toHaveLength(0);
  });

  test("other rules under the known revision are a loss, and are not taken up", async () => {
    const fixture = await serving();
    const backup = fixture.store.dump();
    await rollout(fixture, "app");
    await fixture.slice.refreshFleet();
    const known = fixture.slice.fleet;
    fixture.store.restore(backup);
    const { store } = fixture;
    const stranger = new FleetStore(store, createRandom("stranger"));
    await stranger.change(async (_fleet, revision) => ({
      config: "other",
      added: [{ rollout: "x", config: "other", digest: undefined, selector: [], revision }],
      superseded: [],
      revision,
    }));
    await fixture.slice.refreshFleet();
    expect([fixture.slice.fleet, fixture.slice.isFleetLost]).toEqual([known, true]);
    await fixture.fleets.restore(known);
    await fixture.slice.refreshFleet();
    expect(fixture.slice.isFleetLost).toBe(false);
    expect(fixture.slice.fleet).toEqual({ rules: known.rules, revision: known.revision + 1 });
  });

  test("lets go of nothing: what it lacks may be in this memory only", async () => {
    const fixture = await serving();
    await fixture.adopt(2, "b");
    const snapshot = snapshotOf(2, ["b"], { b: 2 });
    await fixture.slice.release({ ...snapshot, isStoreBehind: true });
    expect(fixture.targetIds()).toEqual(ids);
    await fixture.slice.release(snapshot);
    expect(fixture.targetIds()).toEqual([]);
  });

  test("nothing is pushed in a raised generation by rules older than its view names", async () => {
    const fixture = await filled();
    const { view, ...rest } = snapshotOf(9, ["a"]);
    const raised = { ...rest, view: { ...view, generation: 2, fleetRevisionMin: 1 } };
    const adopt = () => fixture.slice.adopt(raised, () => false, new AbortController().signal);
    await adopt();
    expect([fixture.targetIds(), fixture.reports]).toEqual([[], []]);
    expect(fixture.slice.isBehind(raised)).toBe(true);
    await rollout(fixture, "app");
    await adopt();
    expect(fixture.targetIds()).toEqual(ids);
    const manifests = [...fixture.pusher.targets.values()].map(
      ({ manifest }) => manifest.configs.length,
    );
    expect(new Set(manifests)).toEqual(new Set([1]));
  });
});

/** What `a` sees where the others report these hashes of their placements. */
const disputed = (version: number, slots: readonly string[], hashes: readonly string[]) => {
  const snapshot = snapshotOf(version, slots);
  const others = slots.filter((slot) => slot !== "a");
  const members = new Map(
    others.map((slot, index) => {
      const viewSeen = { generation: 1, version };
      const placementHash = hashes[index] ?? null;
      return [slot, { incarnation: 1, intent: "run", viewSeen, placementHash } as MemberReport];
    }),
  );
  return { ...snapshot, members };
};
const adopt = (fixture: SliceFixture, snapshot: MembershipSnapshot) =>
  fixture.slice.adopt(snapshot, () => false, new AbortController().signal);

describe("members that place hosts differently (R5)", () => {
  test("a node in the minority takes up nothing, keeps what it has, and goes on when it agrees", async () => {
    const fixture = await filled();
    const slots = ["a", "b", "c"];
    await fixture.adopt(1, ...slots);
    const own = ownedBy("a", slots);
    expect(fixture.targetIds()).toEqual(own);
    const { members } = disputed(1, slots, ["x", "x"]);
    await adopt(fixture, { ...snapshotOf(2, ["a", "b"]), members });
    expect(fixture.targetIds()).toEqual(own);
    expect(fixture.reports.at(-1)).toBe(`2:${own.length}`);
    const { hash } = fixture.slice.placement;
    expect(fixture.slice.isBehind(disputed(2, ["a", "b"], ["x"]))).toBe(false);
    const agreed = disputed(2, ["a", "b"], [hash]);
    expect(fixture.slice.isBehind(agreed)).toBe(true);
    await adopt(fixture, agreed);
    expect(fixture.targetIds()).toEqual(ownedBy("a", ["a", "b"]));
    expect(fixture.slice.isBehind(agreed)).toBe(false);
  });

  test("nothing is let go to a member that places the view differently, or restarts (R10)", async () => {
    const fixture = await serving();
    await fixture.adopt(2, "a", "b");
    const differing = disputed(2, ["a", "b"], ["x"]);
    const away = disputed(2, ["a", "b"], [fixture.slice.placement.hash]);
    for (const member of away.members.values()) Object.assign(member, { intent: "restart" });
    for (const snapshot of [differing, away]) {
      await fixture.clock.advance(2 * overlapMaxMs);
      await fixture.slice.release(snapshot);
      expect(fixture.targetIds()).toEqual(ids);
    }
  });
});
