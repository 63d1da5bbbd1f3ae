import { describe, expect, test } from "vitest";
import { failCalls } from "../inventory/test-faults.ts";
import { createInventory } from "../inventory/inventory.ts";
import { createRandom } from "../kernel/random.ts";
import type { MemberReport } from "../membership/member.ts";
import type { MembershipSnapshot } from "../membership/snapshot.ts";
import { partitionOf } from "../ring/hash.ts";
import { place } from "../ring/placement.ts";
import { keys } from "../store/store.ts";
import { hostId, overlapMaxMs, partitionsCount, SliceFixture, snapshotOf } from "./node-fixture.ts";

const ids = Array.from({ length: 40 }, (_, index) => `h${String(index).padStart(2, "0")}`);

async function filled(): Promise<SliceFixture> {
  const fixture = new SliceFixture();
  for (const id of ids) await fixture.put(id);
  await fixture.slice.refreshFleet();
  return fixture;
}

/** Hosts of `slot` in a view of `slots`. */
function ownedBy(slot: string, slots: readonly string[]): string[] {
  const placement = place(snapshotOf(1, slots).view, partitionsCount);
  return ids.filter((id) => placement.ownerOf(partitionOf(id, partitionsCount)) === slot);
}

async function rollout(fixture: SliceFixture, config: string): Promise<void> {
  const { store } = fixture;
  const inventory = createInventory({
    store,
    random: createRandom("rollout"),
    partitionOf: (id) => fixture.partitionOf(id),
  });
  const by = { author: "t", at: "2026-01-01T00:00:00.000Z" };
  const content = { author: by.author, atIso: by.at };
  const { digest } = await inventory.releases.put(config, Buffer.from(config), content);
  await inventory.rollouts.start({ config, digest, selector: "", ...by });
}

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

const serving = async () => {
  const fixture = await filled();
  await fixture.adopt(1, "a");
  fixture.pusher.calls.length = 0;
  return fixture;
};

const refresh = (fixture: SliceFixture, id: string) =>
  fixture.slice.refreshPartition(fixture.partitionOf(id));

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
      read: async () => new Map([[checkpoint.id, checkpoint]]),
      write: async () => {},
    });
    await fixture.put("h00");
    await fixture.put("h01");
    await fixture.slice.refreshFleet();
    await fixture.adopt(1, "a");
    expect([...fixture.pusher.known]).toEqual([[checkpoint.id, checkpoint]]);
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

describe("reading again", () => {
  test("a host that changes while its partition is being loaded is found without a poll", async () => {
    const fixture: SliceFixture = new SliceFixture({
      // Between the read of the hosts and the end of the load: a change, and its hint.
      async read() {
        if (fixture.slice.placement.ownerOf(fixture.partitionOf("h00")) !== "a") return new Map();
        await fixture.put("h00", "http://elsewhere:9000");
        await fixture.slice.refreshPartition(fixture.partitionOf("h00"));
        return new Map();
      },
      write: async () => {},
    });
    await fixture.put("h00");
    await fixture.slice.refreshFleet();
    await fixture.adopt(1, "a");
    expect(fixture.pusher.targets.get(hostId("h00"))?.address).toBe("http://elsewhere:9000");
  });

  test("a rollback that a poll has seen first still goes ahead of other work", async () => {
    const fixture = await serving();
    await fixture.slice.refreshFleet("rollback");
    expect(fixture.pusher.calls.toSorted()).toEqual(ids.map((id) => `rollback ${id}`));
  });

  test("a changed host gets a new target, the others of its partition none", async () => {
    const fixture = await serving();
    await fixture.put("h00", "http://elsewhere:9000");
    await refresh(fixture, "h00");
    expect(fixture.pusher.calls).toEqual(["change h00"]);
    expect(fixture.pusher.targets.get(hostId("h00"))?.address).toBe("http://elsewhere:9000");
  });

  test("a removed host is removed", async () => {
    const fixture = await serving();
    await fixture.hosts.delete(hostId("h00"));
    await refresh(fixture, "h00");
    expect(fixture.pusher.calls).toEqual(["remove h00"]);
    expect(fixture.slice.record(fixture.partitionOf("h00"), hostId("h00"))).toBeUndefined();
  });

  test.each(["get", "query"] as const)("a failed read (%s) removes nothing", async (failing) => {
    const fixture = await serving();
    fixture.store.faults = failCalls((call) => call === failing, Number.POSITIVE_INFINITY);
    await expect(refresh(fixture, "h00")).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    expect([fixture.targetIds(), fixture.pusher.calls]).toEqual([ids, []]);
  });

  test("an older load that ends later replaces nothing", async () => {
    const fixture = await serving();
    const { promise: hold, resolve: go } = Promise.withResolvers<void>();
    let isFirst = true;
    fixture.store.faults = {
      after: async (call) => {
        if (call !== "query" || !isFirst) return;
        isFirst = false;
        await hold;
      },
    };
    const older = refresh(fixture, "h00");
    await fixture.clock.advance(0);
    await fixture.put("h00", "http://elsewhere:9000");
    await refresh(fixture, "h00");
    go();
    await older;
    expect(fixture.pusher.targets.get(hostId("h00"))?.address).toBe("http://elsewhere:9000");
    expect(fixture.pusher.calls).toEqual(["change h00"]);
  });

  test("a host added after an older load was read survives its end", async () => {
    const fixture = await serving();
    const { promise: hold, resolve: go } = Promise.withResolvers<void>();
    const added = Array.from({ length: 1_000 }, (_, index) => `new${index}`).find(
      (id) => fixture.partitionOf(id) === fixture.partitionOf("h00"),
    );
    let isFirst = true;
    fixture.store.faults = {
      after: async (call) => {
        if (call !== "query" || !isFirst) return;
        isFirst = false;
        await hold;
      },
    };
    const older = refresh(fixture, "h00");
    await fixture.clock.advance(0);
    await fixture.put(added ?? "");
    await refresh(fixture, "h00");
    go();
    await older;
    expect(fixture.pusher.calls).toEqual([`change ${added}`]);
  });

  test("a damaged record keeps its host, and the others of its partition get their changes", async () => {
    const fixture = await serving();
    const partition = fixture.partitionOf("h00");
    await fixture.store.update(keys.host(partition, "h00"), { set: { labels: "{" } });
    await fixture.hosts.partitions.next(partition);
    await refresh(fixture, "h00");
    expect([fixture.targetIds(), fixture.pusher.calls]).toEqual([ids, []]);
  });

  test("a partition that is not served is not read", async () => {
    const fixture = await filled();
    fixture.store.faults = failCalls(() => true, 1);
    await refresh(fixture, "h00");
    expect(fixture.pusher.calls).toEqual([]);
  });

  test("moved counters name the partitions to read, and only those", async () => {
    const fixture = await serving();
    expect(await fixture.slice.movedPartitions()).toEqual([]);
    await fixture.put("h00", "http://elsewhere:9000");
    expect(await fixture.slice.movedPartitions()).toEqual([fixture.partitionOf("h00")]);
    await refresh(fixture, "h00");
    expect(await fixture.slice.movedPartitions()).toEqual([]);
  });
});

describe("rules", () => {
  test("that moved forward give every host a new target and fence", async () => {
    const fixture = await filled();
    await fixture.adopt(1, "a");
    fixture.pusher.calls.length = 0;
    await rollout(fixture, "app");
    await fixture.slice.refreshFleet("rollback");
    expect(fixture.pusher.calls).toEqual(expect.arrayContaining(ids.map((id) => `rollback ${id}`)));
    expect(fixture.pusher.calls).toHaveLength(ids.length);
    const targets = [...fixture.pusher.targets.values()];
    expect(new Set(targets.map(({ fence }) => fence.fleet))).toEqual(new Set([1]));
    expect(new Set(targets.map(({ manifest }) => manifest)).size).toBe(1);
    expect(targets[0]?.manifest.configs).toMatchObject([{ name: "app" }]);
  });

  test("that are the same push nothing", async () => {
    const fixture = await filled();
    await rollout(fixture, "app");
    await fixture.slice.refreshFleet();
    await fixture.adopt(1, "a");
    fixture.pusher.calls.length = 0;
    await fixture.slice.refreshFleet();
    expect(fixture.pusher.calls).toEqual([]);
  });

  test("that cannot be read leave the known ones in force", async () => {
    const fixture = await filled();
    await rollout(fixture, "app");
    await fixture.slice.refreshFleet();
    await fixture.adopt(1, "a");
    fixture.store.faults = failCalls(() => true, 1);
    await expect(fixture.slice.refreshFleet()).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    expect(fixture.slice.fleet.revision).toBe(1);
  });

  test("are unknown until they were read once", async () => {
    const fixture = new SliceFixture();
    fixture.store.faults = failCalls(() => true, 1);
    await expect(fixture.slice.refreshFleet()).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    expect(fixture.slice.isFleetKnown).toBe(false);
    await fixture.slice.refreshFleet();
    expect(fixture.slice.isFleetKnown).toBe(true);
  });
});

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
    expect(fixture.slice.lostSeen.length).toBeGreaterThan(0);
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
