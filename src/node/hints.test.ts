import { describe, expect, test } from "vitest";
import { failCalls } from "../inventory/test-faults.ts";
import { CoxswainError } from "../kernel/errors.ts";
import { silentLogger } from "../kernel/log.ts";
import { createMetrics } from "../kernel/metrics.ts";
import type { MembershipSnapshot } from "../membership/snapshot.ts";
import { Hints } from "./hints.ts";
import { SliceFixture, snapshotOf } from "./node-fixture.ts";
import type { Hint, Peers } from "./peers.ts";

async function telling(lost: readonly string[] = []) {
  const fixture = new SliceFixture();
  await fixture.put("h1");
  await fixture.slice.refreshFleet();
  const sent: [string, Hint][] = [];
  const peers: Peers = {
    async call(fleetUrl, _name, ask) {
      const slot = new URL(fleetUrl).hostname;
      sent.push([slot, ask as Hint]);
      if (lost.includes(slot)) throw new CoxswainError("MEMBER_UNREACHABLE", "no answer");
      return {};
    },
    probe: async () => "unknown",
    close: async () => {},
  };
  const metrics = createMetrics();
  const { slice } = fixture;
  const hints = new Hints({
    clock: fixture.clock,
    peers,
    metrics,
    log: silentLogger,
    slice,
    slot: "a",
  });
  const adopt = (snapshot: MembershipSnapshot) =>
    slice.adopt(snapshot, () => false, new AbortController().signal);
  const counted = async (direction: string, outcome: string) => {
    const { values } = await metrics.hintsTotal.get();
    const found = values.find(
      ({ labels }) => labels.direction === direction && labels.outcome === outcome,
    );
    return found?.value ?? 0;
  };
  let reads = 0;
  const countReads = () => {
    fixture.store.faults = {
      before: (call) => {
        if (call === "query") reads += 1;
      },
    };
    return () => reads;
  };
  return { fixture, hints, sent, adopt, counted, countReads };
}

describe("telling", () => {
  test("each owner hears of its own partitions, and a lost hint is counted", async () => {
    const { fixture, hints, sent, adopt, counted } = await telling(["b"]);
    await adopt(snapshotOf(1, ["a", "b", "c"]));
    const { placement } = fixture.slice;
    const partitions = ["a", "b", "c"].map((slot) => placement.partitionsOf(slot)[0] ?? -1);
    await hints.tell({ partitions });
    expect(sent.toSorted(([left], [right]) => (left < right ? -1 : 1))).toEqual([
      ["b", { partitions: [partitions[1]] }],
      ["c", { partitions: [partitions[2]] }],
    ]);
    expect(await counted("out", "lost")).toBe(1);
    expect(await counted("out", "taken")).toBe(1);
    expect(await counted("in", "read")).toBe(1);
  });

  test("who owns nothing of it hears nothing, except a member that is leaving", async () => {
    const { fixture, hints, sent, adopt } = await telling();
    const { view, ...rest } = snapshotOf(1, ["a", "b", "c"]);
    const members = view.members.map((member) =>
      member.slot === "c" ? { ...member, state: "leaving" as const } : member,
    );
    await adopt({ ...rest, view: { ...view, members } });
    const [own = -1] = fixture.slice.placement.partitionsOf("a");
    await hints.tell({ partitions: [own] });
    expect(sent).toEqual([["c", { partitions: [own] }]]);
  });

  test("rules concern everyone", async () => {
    const { hints, sent, adopt } = await telling();
    await adopt(snapshotOf(1, ["a", "b"]));
    await hints.tell({ fleet: "rollback" });
    expect(sent).toEqual([["b", { fleet: "rollback", partitions: [] }]]);
  });
});

describe("following", () => {
  test("many hints about one partition are one read under way and one after it", async () => {
    const { fixture, hints, adopt, countReads } = await telling();
    await adopt(snapshotOf(1, ["a"]));
    const reads = countReads();
    const hint = { partitions: [fixture.partitionOf("h1")] };
    await Promise.all(Array.from({ length: 20 }, () => hints.take(hint)));
    expect(reads()).toBe(2);
  });

  test("a change that came before the hint is seen when it has been followed", async () => {
    const { fixture, hints, adopt } = await telling();
    await adopt(snapshotOf(1, ["a"]));
    await fixture.put("h1", "http://elsewhere:9000");
    await hints.take({ partitions: [fixture.partitionOf("h1")] });
    expect([...fixture.pusher.targets.values()].map(({ address }) => address)).toEqual([
      "http://elsewhere:9000",
    ]);
  });

  test("a partition that is not served here is not read", async () => {
    const { hints, adopt, countReads } = await telling();
    await adopt(snapshotOf(1, ["b"]));
    const reads = countReads();
    await hints.take({ partitions: [1, 2, 99_999] });
    expect(reads()).toBe(0);
  });

  test("a store that does not answer is counted and not thrown", async () => {
    const { fixture, hints, adopt, counted } = await telling();
    await adopt(snapshotOf(1, ["a"]));
    fixture.store.faults = failCalls(() => true, Number.POSITIVE_INFINITY);
    const hint = { partitions: [fixture.partitionOf("h1")] };
    await hints.take(hint);
    expect(await counted("in", "failed")).toBe(1);
    await expect(hints.read(hint)).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
  });
});
