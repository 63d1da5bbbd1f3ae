import { describe, expect, it } from "vitest";
import { keys } from "../store/store.ts";
import { decodeMember, encodeMember } from "./member.ts";
import { TestCluster } from "./test-cluster.ts";

const reason = new Error("SIGTERM");

describe("a process that is told to stop while it joins", () => {
  const moments = Array.from({ length: 9 }, (_, index) => 5 + index * 5);
  it.each(moments)("after %i ms leaves neither a row nor a place in the view", async (delayMs) => {
    const cluster = new TestCluster();
    await cluster.form(["a", "b"]);
    const node = cluster.add("c");
    const stopping = new AbortController();
    const started = node.membership.start(stopping.signal).then(
      () => "joined",
      (error: unknown) => error,
    );
    await cluster.clock.advance(delayMs);
    stopping.abort(reason);
    await cluster.clock.advance(500);
    // Whoever has joined leaves by `leave`, as the node does.
    expect(await started).toBe(reason);
    expect(await cluster.store.get(keys.member("c"))).toBeUndefined();
    await cluster.clock.advance(3_000);
    expect(await cluster.storedSlots()).toEqual(["a", "b"]);
    await node.membership.stop();
    await cluster.stop();
  });

  it("and whose registration got no answer takes it back too", async () => {
    const cluster = new TestCluster();
    await cluster.form(["a", "b"]);
    const node = cluster.add("c");
    const stopping = new AbortController();
    const started = node.membership.start(stopping.signal).catch((error: unknown) => error);
    cluster.store.faults = {
      after: (call, { sk }) => {
        if (call !== "put" || sk !== "c") return;
        stopping.abort(reason);
        throw new Error("the answer was lost");
      },
    };
    await cluster.clock.advance(500);
    expect(await started).toBe(reason);
    expect(await cluster.store.get(keys.member("c"))).toBeUndefined();
    await node.membership.stop();
    await cluster.stop();
  });

  it("takes back nothing of another process of the slot", async () => {
    const cluster = new TestCluster();
    await cluster.form(["a", "b"]);
    const rival = cluster.add("b", 2);
    const stopping = new AbortController();
    const started = rival.membership.start(stopping.signal).catch((error: unknown) => error);
    await cluster.clock.advance(100);
    stopping.abort(reason);
    await cluster.clock.advance(500);
    expect(await started).toBe(reason);
    expect(await cluster.store.get(keys.member("b"))).toBeDefined();
    await rival.membership.stop();
    await cluster.stop();
  });
});

describe("a process that is replaced between its claim and its first round", () => {
  it("has started, as replaced, and leaves the slot to the other", async () => {
    const cluster = new TestCluster();
    await cluster.form(["a"]);
    const node = cluster.add("b");
    let isTaken = false;
    cluster.store.faults = {
      before: async (call, key) => {
        // The first round takes longer than the first beat.
        if (call === "query" && isTaken) await cluster.clock.sleep(300);
        if (call !== "update" || key.sk !== "b" || isTaken) return;
        isTaken = true;
        const item = await cluster.store.get(key);
        if (item === undefined) throw new Error("no row to take");
        const row = decodeMember(item);
        const next = { ...row, incarnation: row.incarnation + 1, holder: "other" };
        await cluster.store.put({ ...key, attributes: encodeMember(next) });
      },
    };
    const started = node.membership.start(new AbortController().signal);
    await cluster.clock.advance(1_000);
    await started;
    expect([isTaken, node.status, node.membership.mayPush()]).toEqual([true, "replaced", false]);
    cluster.store.faults = {};
    const item = await cluster.store.get(keys.member("b"));
    expect(item?.attributes["holder"]).toBe("other");
    await node.membership.stop();
    await cluster.stop();
  });
});
