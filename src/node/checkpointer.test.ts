import { describe, expect, test } from "vitest";
import { writeCheckpoint } from "../inventory/checkpoints.ts";
import { failCalls, loseAnswers } from "../inventory/test-faults.ts";
import { silentLogger } from "../kernel/log.ts";
import { newStatus } from "../push/host-status.ts";
import { keys } from "../store/store.ts";
import { Checkpointer, parseHostCheckpoint } from "./checkpointer.ts";
import { hostId, SliceFixture, snapshotOf } from "./node-fixture.ts";

const intervalMs = 5_000;

async function serving() {
  const fixture = new SliceFixture();
  await fixture.put("h1");
  await fixture.slice.refreshFleet();
  await fixture.adopt(1, "a");
  const { store, clock, slice, pusher } = fixture;
  const checkpointer = new Checkpointer(
    { store, clock, log: silentLogger, slice: () => slice, pusher: () => pusher },
    intervalMs,
  );
  const partition = fixture.partitionOf("h1");
  const setFailures = (failures: number) => {
    pusher.statuses.set(hostId("h1"), newStatus({ failures }));
    checkpointer.markChanged(partition);
  };
  const readOne = async (one: number) => (await checkpointer.read([one])).get(one) ?? new Map();
  const stored = async () => [...(await readOne(partition)).values()];
  let writes = 0;
  const countWrites = () => {
    store.faults = {
      before: (call) => {
        if (call === "put") writes += 1;
      },
    };
    return () => writes;
  };
  const adopt = () => fixture.adopt(2, "b");
  const release = () => slice.release(snapshotOf(2, ["b"], { b: 2 }));
  return {
    store,
    clock,
    slice,
    pusher,
    checkpointer,
    partition,
    setFailures,
    readOne,
    stored,
    countWrites,
    adopt,
    release,
  };
}

const isPut = (call: string) => call === "put";

describe("writing", () => {
  test("many changes are one write, an interval after the first", async () => {
    const { clock, checkpointer, setFailures, stored, countWrites } = await serving();
    const writes = countWrites();
    for (let count = 1; count <= 4; count++) {
      setFailures(count);
      await clock.advance(intervalMs / 4 - 1);
      await checkpointer.writeDue();
      expect([writes(), await stored()]).toEqual([0, []]);
    }
    await clock.advance(4);
    await checkpointer.writeDue();
    expect(writes()).toBe(1);
    expect(await stored()).toMatchObject([{ id: "h1", failures: 4 }]);
    await clock.advance(10 * intervalMs);
    await checkpointer.writeDue();
    expect(writes()).toBe(1);
  });

  test("a rollout goes first, for another interval", async () => {
    const { clock, pusher, checkpointer, setFailures, countWrites } = await serving();
    const writes = countWrites();
    setFailures(1);
    pusher.queued = 64;
    await clock.advance(2 * intervalMs - 1);
    await checkpointer.writeDue();
    expect(writes()).toBe(0);
    await clock.advance(1);
    await checkpointer.writeDue();
    expect(writes()).toBe(1);
  });

  test("what a rollout went before is written when few pushes are left", async () => {
    const { clock, pusher, checkpointer, setFailures, countWrites } = await serving();
    const writes = countWrites();
    setFailures(1);
    pusher.queued = 64;
    await clock.advance(intervalMs);
    await checkpointer.writeDue();
    expect(writes()).toBe(0);
    pusher.queued = 63;
    await checkpointer.writeDue();
    expect(writes()).toBe(1);
  });

  test("a node that goes writes what changed without waiting", async () => {
    const { checkpointer, setFailures, stored, countWrites } = await serving();
    const writes = countWrites();
    setFailures(1);
    await checkpointer.writeAll();
    await checkpointer.writeAll();
    expect([writes(), await stored()]).toMatchObject([1, [{ failures: 1 }]]);
  });

  test.each([
    ["fails", failCalls(isPut, 1)],
    ["loses its answer", loseAnswers(isPut, 1)],
  ])("a write that %s is tried again an interval later", async (_name, faults) => {
    const { store, clock, checkpointer, setFailures, stored, countWrites } = await serving();
    setFailures(7);
    store.faults = faults;
    await checkpointer.writeAll();
    const writes = countWrites();
    await clock.advance(intervalMs - 1);
    await checkpointer.writeDue();
    expect(writes()).toBe(0);
    await clock.advance(1);
    await checkpointer.writeDue();
    expect([writes(), await stored()]).toMatchObject([1, [{ failures: 7 }]]);
  });

  test("the owner of a newer view is not overwritten, and is not fought with", async () => {
    const { store, clock, checkpointer, partition, setFailures, stored, countWrites } =
      await serving();
    const newer = { id: "h1", reachability: "ok", failures: 9 };
    await writeCheckpoint(store, partition, { generation: 1, version: 2 }, [newer]);
    setFailures(1);
    const writes = countWrites();
    await checkpointer.writeAll();
    await clock.advance(10 * intervalMs);
    await checkpointer.writeDue();
    expect([writes(), await stored()]).toMatchObject([1, [{ failures: 9 }]]);
  });

  test("a partition that was let go is not written", async () => {
    const { checkpointer, adopt, slice, setFailures, countWrites, release } = await serving();
    setFailures(1);
    await adopt();
    await release();
    expect(slice.servedPartitions()).toEqual([]);
    const writes = countWrites();
    await checkpointer.writeAll();
    expect(writes()).toBe(0);
  });
});

describe("reading", () => {
  test("a partition without a checkpoint has none", async () => {
    const { readOne } = await serving();
    expect(await readOne(1)).toEqual(new Map());
  });

  test("a damaged one counts as none", async () => {
    const { store, checkpointer, partition, setFailures, readOne } = await serving();
    setFailures(1);
    await checkpointer.writeAll();
    await store.update(keys.status(partition, 0), { set: { bytes: new Uint8Array([1]) } });
    expect(await readOne(partition)).toEqual(new Map());
  });

  const whole = { id: "h1", reachability: "ok", failures: 0 };
  const error = { class: "refused", message: "no", wallMs: 1 };

  test.each([
    whole,
    { ...whole, manifest: `sha256:${"a".repeat(64)}`, fence: "1.2.3", lastContactAt: 5, error },
    { ...whole, parked: { manifest: "m", class: "rejected", message: "no" }, problems: [] },
  ])("%j is taken", (entry) => {
    expect(parseHostCheckpoint(entry)).toEqual(entry);
  });

  test.each([
    undefined,
    null,
    "h1",
    {},
    { ...whole, id: 1 },
    { ...whole, failures: "0" },
    { ...whole, failures: 0.5 },
    { ...whole, reachability: "asleep" },
    { ...whole, manifest: "md5:1" },
    { ...whole, fence: 1 },
    { ...whole, lastContactAt: 1e300 },
    { ...whole, error: { ...error, class: "a class of a later version" } },
    { ...whole, error: { ...error, class: "__proto__" } },
    { ...whole, error: { ...error, wallMs: "now" } },
    { ...whole, error: { ...error, message: 1 } },
    { ...whole, parked: { manifest: "m", class: "new", message: "" } },
    { ...whole, problems: {} },
  ])("%j is refused", (entry) => {
    expect(() => parseHostCheckpoint(entry)).toThrow(/^not a host's checkpoint/);
  });
});
