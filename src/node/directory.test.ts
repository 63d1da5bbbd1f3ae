import { describe, expect, test } from "vitest";
import { failCalls } from "../inventory/test-faults.ts";
import { CoxswainError } from "../kernel/errors.ts";
import { newStatus } from "../push/host-status.ts";
import { writeCheckpoint } from "../inventory/checkpoints.ts";
import { answerCounts, answerHosts, takenAddresses, type HostSource } from "./answers.ts";
import { Directory } from "./directory.ts";
import { hostId, partitionsCount, SliceFixture } from "./node-fixture.ts";
import type { PeerCalls, Peers } from "./peers.ts";
import { StoredHosts } from "./stored-hosts.ts";

const ids = Array.from({ length: 30 }, (_, index) => `h${String(index).padStart(2, "0")}`);
const all = Array.from({ length: partitionsCount }, (_, partition) => partition);

type Answering = "answers" | "silent" | "serves nothing" | "serves half";

/** Slots `a` (this node), `b` and `c`; what the others do when asked is up to the test. */
async function threeNodes(answering: { b: Answering; c: Answering }) {
  const fixture = new SliceFixture();
  for (const id of ids) await fixture.put(id);
  await fixture.slice.refreshFleet();
  await fixture.adopt(1, "a", "b", "c");
  const { slice, store, hosts, clock } = fixture;
  const loaded = new Map(
    await Promise.all(all.map(async (number) => [number, await hosts.load(number)] as const)),
  );
  const source: HostSource = (partition) =>
    loaded.get(partition)?.hosts.map((record) => ({
      record,
      partition,
      fence: slice.fenceOf(record),
      desired: slice.desiredOf(record),
      status: newStatus({ reachability: "ok" }),
    }));
  const asked: string[] = [];
  const bodies: unknown[] = [];
  const peers: Peers = {
    async call(fleetUrl, name, ask, _timeoutMs) {
      const slot = new URL(fleetUrl).hostname as "b" | "c";
      asked.push(`${name} ${slot}`);
      bodies.push(ask);
      const how = answering[slot];
      if (how === "silent") throw new CoxswainError("MEMBER_UNREACHABLE", `No answer from ${slot}`);
      const serves: HostSource = (partition) =>
        how === "serves nothing" || (how === "serves half" && partition % 2 === 0)
          ? undefined
          : source(partition);
      return answerOf(name, ask, serves);
    },
    probe: async () => "unknown",
    close: async () => {},
  };
  const directory = new Directory({
    clock,
    slot: "a",
    slice,
    peers,
    stored: new StoredHosts({ store, hosts, slice, clock }),
    local: (partition) => (slice.isServed(partition) ? source(partition) : undefined),
  });
  const ownedBy = (slot: string) =>
    ids.filter((id) => slice.placement.ownerOf(fixture.partitionOf(id)) === slot);
  return { slice, store, clock, directory, asked, bodies, ownedBy };
}

function answerOf(name: keyof PeerCalls, ask: unknown, source: HostSource) {
  if (name === "counts") return answerCounts(ask as PeerCalls["counts"]["ask"], source, () => []);
  if (name === "hosts") return answerHosts(ask as PeerCalls["hosts"]["ask"], source, () => "x");
  const { hosts } = ask as PeerCalls["addresses"]["ask"];
  const recordsOf = (partition: number) =>
    Array.from(source(partition) ?? [], ({ record }) => record);
  return { taken: takenAddresses(hosts, all, recordsOf) };
}

const query = { limit: 100, isDetailed: false };

describe("a question about the cluster", () => {
  test.each<[Answering, Answering]>([
    ["answers", "answers"],
    ["silent", "answers"],
    ["silent", "silent"],
    ["serves nothing", "answers"],
    ["serves half", "silent"],
    ["serves half", "serves half"],
  ])("covers every host exactly once when b %s and c %s", async (b, c) => {
    const { directory, asked } = await threeNodes({ b, c });
    const { counts, missing } = await directory.counts();
    expect([counts.total, counts.neverSeen, missing]).toEqual([ids.length, ids.length, []]);
    const listed = await directory.hosts(query);
    expect([listed.hosts.map(({ id }) => id), listed.missing]).toEqual([ids, []]);
    expect(asked.toSorted()).toEqual(["counts b", "counts c", "hosts b", "hosts c"]);
  });

  test("names the owners of what neither they nor the store answer for", async () => {
    const { directory, store, ownedBy } = await threeNodes({ b: "silent", c: "answers" });
    store.faults = failCalls(() => true, Number.POSITIVE_INFINITY);
    const { counts, missing } = await directory.counts();
    expect([counts.total, missing]).toEqual([ids.length - ownedBy("b").length, ["b"]]);
    const listed = await directory.hosts(query);
    expect(listed.missing).toEqual(["b"]);
    expect(listed.hosts.map(({ id }) => id)).toEqual(
      ids.filter((id) => !ownedBy("b").includes(id)),
    );
    const [lost = ""] = ownedBy("b");
    const asking = directory.host(hostId(lost), new SliceFixture().partitionOf(lost));
    await expect(asking).rejects.toMatchObject({ code: "MEMBER_UNREACHABLE" });
  });

  test("that fails in another way is not hidden", async () => {
    const { directory } = await threeNodes({ b: "answers", c: "answers" });
    const bad = directory.hosts({ ...query, selector: "=" });
    await expect(bad).rejects.toMatchObject({ code: "SELECTOR_INVALID" });
  });

  test("pages are cut after merging the answers", async () => {
    const { directory } = await threeNodes({ b: "answers", c: "silent" });
    const first = await directory.hosts({ ...query, limit: 7 });
    expect(first.hosts.map(({ id }) => id)).toEqual(ids.slice(0, 7));
    const second = await directory.hosts({ ...query, limit: 7, after: "h06" });
    expect(second.hosts.map(({ id }) => id)).toEqual(ids.slice(7, 14));
  });
});

describe("one host", () => {
  test("is asked of its owner only, and unknown where the owner does not know it", async () => {
    const { directory, asked, ownedBy } = await threeNodes({ b: "answers", c: "answers" });
    const [id = ""] = ownedBy("b");
    expect(await directory.host(hostId(id), new SliceFixture().partitionOf(id))).toMatchObject({
      id,
    });
    expect(asked).toEqual(["hosts b"]);
    const nobody = hostId("nobody");
    const partition = new SliceFixture().partitionOf("nobody");
    expect(await directory.host(nobody, partition)).toBeUndefined();
  });

  test("comes with the last checkpoint where its owner is silent", async () => {
    const { directory, store, ownedBy } = await threeNodes({ b: "silent", c: "answers" });
    const [id = ""] = ownedBy("b");
    const partition = new SliceFixture().partitionOf(id);
    const entry = { id, reachability: "lost", failures: 3, lastContactAt: 0 };
    await writeCheckpoint(store, partition, { generation: 1, version: 1 }, [entry]);
    const view = await directory.host(hostId(id), partition);
    expect(view).toMatchObject({ id, reachability: "lost", sync: "unreachable" });
  });

  test("what was read from the store is shared for a moment and read again after", async () => {
    const { directory, store, clock, ownedBy } = await threeNodes({ b: "silent", c: "answers" });
    const [id = ""] = ownedBy("b");
    const partition = new SliceFixture().partitionOf(id);
    let reads = 0;
    store.faults = {
      before: () => {
        reads += 1;
      },
    };
    await Promise.all([
      directory.host(hostId(id), partition),
      directory.host(hostId(id), partition),
    ]);
    const once = reads;
    expect(once).toBeLessThanOrEqual(4);
    await directory.host(hostId(id), partition);
    expect(reads).toBe(once);
    await clock.advance(2_000);
    await directory.host(hostId(id), partition);
    expect(reads).toBeGreaterThan(once);
  });
});

describe("taken addresses", () => {
  const asking = { id: "new", address: "http://h00:9000", labels: { role: "edge" }, pins: {} };

  test("are found wherever the other host is, and only ids and addresses are sent", async () => {
    const { directory, bodies } = await threeNodes({ b: "answers", c: "answers" });
    const taken = await directory.takenAddresses([asking]);
    expect(new Set(taken.map(({ by }) => by))).toEqual(new Set(["h00"]));
    const ask = { hosts: [{ id: "new", address: "http://h00:9000" }] };
    expect(bodies).toEqual([ask, ask]);
  });

  test("of a peer that does not answer hold nothing up", async () => {
    const { directory } = await threeNodes({ b: "silent", c: "silent" });
    const free = { id: "new", address: "http://free:9000" };
    expect(await directory.takenAddresses([free])).toEqual([]);
  });
});
