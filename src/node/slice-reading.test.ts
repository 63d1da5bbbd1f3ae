import { describe, expect, test } from "vitest";
import { parseHostInput } from "../inventory/host.ts";
import { packIndexOf } from "../inventory/host-pack.ts";
import { importHosts } from "../inventory/import-hosts.ts";
import { failCalls } from "../inventory/test-faults.ts";
import { MemoryStore } from "../store/memory-store.ts";
import { keys, type Item } from "../store/store.ts";
import { hostId, SliceFixture } from "./node-fixture.ts";
import { filled, ids, refresh, rollout, serving } from "./slice-fixture.ts";

/** Eventually consistent reads are answered with `items`, as by a replica that is behind. */
function answerLate(store: MemoryStore, items: readonly Item[]): void {
  const replica = new MemoryStore();
  replica.restore(items);
  const strong = store.getMany.bind(store);
  store.getMany = (asked, options?: { readonly isEventual: boolean }) =>
    options?.isEventual === true ? replica.getMany(asked) : strong(asked);
}

describe("reading again", () => {
  test("a host that changes while its partition is being loaded is found without a poll", async () => {
    const fixture: SliceFixture = new SliceFixture({
      // Between the read of the hosts and the end of the load: a change, and its hint.
      async read(partitions) {
        await new Promise(setImmediate);
        if (!partitions.includes(fixture.partitionOf("h00"))) return new Map();
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
    expect(fixture.pusher.calls).toEqual(["record h00"]);
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
    expect(fixture.pusher.calls).toEqual(["record h00"]);
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
    expect(fixture.pusher.calls).toEqual([`record ${added}`]);
  });

  test("a damaged record keeps its host, and the others of its partition get their changes", async () => {
    const fixture = await serving();
    const partition = fixture.partitionOf("h00");
    await fixture.store.update(keys.host(partition, "h00"), { set: { labels: "{" } });
    await fixture.hosts.partitions.next(partition);
    await refresh(fixture, "h00");
    expect([fixture.targetIds(), fixture.pusher.calls]).toEqual([ids, []]);
  });

  test("a damaged pack keeps the hosts that may be in it, and others get their changes", async () => {
    const fixture = await serving();
    const partition = fixture.partitionOf("h00");
    const beside = Array.from({ length: 1_000 }, (_, at) => `imported${at}`).filter(
      (id) => fixture.partitionOf(id) === partition,
    );
    const lines = beside.map((id, at) => ({
      line: at + 1,
      input: parseHostInput({ id, address: `http://${id}:9000` }),
    }));
    await importHosts(fixture.hosts, lines, { onExisting: "refuse" });
    await refresh(fixture, "h00");
    const before = fixture.targetIds();
    expect(before).toEqual(expect.arrayContaining(beside));
    const index = packIndexOf(beside[0] ?? "");
    await fixture.store.update(keys.pack(partition, index), { set: { hosts: "x" } });
    await fixture.put("h00", "http://elsewhere:9000");
    await refresh(fixture, "h00");
    expect(fixture.targetIds()).toEqual(before);
    expect(fixture.pusher.targets.get(hostId("h00"))?.address).toBe("http://elsewhere:9000");
    expect(fixture.slice.damagedIn(partition)).toMatchObject([{ id: `hosts#${index}` }]);
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

  test("an old answer to the cheap look invents no loss", async () => {
    const fixture = await serving();
    const before = fixture.store.dump();
    await fixture.put("h00", "http://elsewhere:9000");
    await refresh(fixture, "h00");
    answerLate(fixture.store, before);
    expect(await fixture.slice.movedPartitions()).toEqual([]);
    expect(fixture.slice.losses.seen).toEqual([]);
  });

  test("a strong look finds the loss that an old answer hides", async () => {
    const fixture = await serving();
    answerLate(fixture.store, fixture.store.dump());
    fixture.store.restore([]);
    await fixture.slice.movedPartitions();
    expect(fixture.slice.losses.seen).toEqual([]);
    await fixture.slice.movedPartitions({ isStrong: true });
    expect(fixture.slice.losses.seen.length).toBeGreaterThan(0);
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
