import { gunzipSync } from "node:zlib";
import { afterEach, describe, expect, it } from "vitest";
import { formatFence } from "../protocol/fence.ts";
import type { HostMode } from "../protocol/host-mode.ts";
import type { Manifest } from "../protocol/manifest.ts";
import { setUp, stopAll, type FakeHost } from "./fake-fleet.ts";

afterEach(stopAll);

type Fleet = ReturnType<typeof setUp>;

/** The host should hold `manifest` and is reached in these ways. */
function want(set: Fleet, host: FakeHost, manifest: Manifest, modes: readonly HostMode[]) {
  const target = set.target(host, manifest, { modes });
  set.pusher.upsert(target, "change");
  return { target, fence: formatFence(target.fence) };
}

/** The host fetches what it should hold, applies it and reports, as an agent that polls does. */
async function fetchAndReport(set: Fleet, host: FakeHost) {
  const rendered = await set.pusher.render(host.id);
  if (rendered === undefined) throw new Error("Expected the host to be served");
  const request = {
    origin: "",
    path: "",
    deadlineMs: 1,
    ...rendered,
    headers: { ...rendered.headers },
  };
  const answer = host.answer(request, set.clock.monotonicMs());
  if (answer.kind !== "reply") throw new Error("Expected a reply");
  return set.pusher.reported(host.id, answer);
}

describe("a host that polls", () => {
  it("is sent nothing, is pending until it reports, and asks for contents like any other", async () => {
    const set = setUp();
    const host = set.host("h1");
    const release = set.release("x".repeat(100_000));
    want(set, host, release, ["poll"]);
    await set.clock.advance(1_000);
    expect(host.requests).toEqual([]);
    expect(set.pusher.counts()).toMatchObject({ sync: { neverSeen: 1 }, queued: 0 });
    let rounds = 0;
    while ((await fetchAndReport(set, host))?.needsSync === true && rounds < 5) rounds++;
    expect(rounds).toBeLessThan(4);
    expect(host.manifest).toBe(release.digest);
    expect(set.pusher.status(host.id)).toMatchObject({ reachability: "ok" });
    expect(set.pusher.counts().sync.applied).toBe(1);
    await set.clock.advance(120_000);
    expect(host.requests.every(({ fence }) => fence === "1.1.1")).toBe(true);
  });

  it("that is silent for too long is overdue and then unreachable, and one report mends it", async () => {
    const set = setUp({ fetchOverdueMs: 100_000 });
    const host = set.host("h1");
    want(set, host, set.release("one"), ["poll"]);
    await set.clock.advance(90_000);
    expect(set.pusher.status(host.id)).toMatchObject({ reachability: "unknown" });
    await set.clock.advance(400_000);
    expect(set.pusher.status(host.id)).toMatchObject({
      reachability: "unreachable",
      lastError: { class: "overdue" },
    });
    await fetchAndReport(set, host);
    expect(set.pusher.status(host.id)).toMatchObject({ reachability: "ok" });
  });

  it("is not parked for what it should hold now by a verdict on what it should have held before", async () => {
    const set = setUp();
    const host = set.host("h1");
    const bad = set.release("bad");
    host.refused.add(bad.configs[0]?.digest ?? "");
    want(set, host, bad, ["poll"]);
    const rendered = await set.pusher.render(host.id);
    if (rendered === undefined) throw new Error("Expected the host to be served");
    const request = { origin: "", path: "", deadlineMs: 1, headers: { ...rendered.headers } };
    const late = host.answer({ ...request, body: rendered.body }, set.clock.monotonicMs());
    if (late.kind !== "reply") throw new Error("Expected a reply");
    const good = set.release("good");
    want(set, host, good, ["poll"]);
    expect(set.pusher.reported(host.id, late)).toEqual({ needsSync: true });
    expect(set.pusher.status(host.id)?.parked).toBeUndefined();
    await fetchAndReport(set, host);
    expect(host.manifest).toBe(good.digest);
  });

  it("gets the usual gzip and full form once the node knows what it lacks", async () => {
    const set = setUp();
    const host = set.host("h1");
    const release = set.release("z".repeat(5_000));
    want(set, host, release, ["poll"]);
    await fetchAndReport(set, host);
    const next = set.release("y".repeat(5_000));
    const { fence } = want(set, host, next, ["poll"]);
    const rendered = await set.pusher.render(host.id);
    expect(rendered?.headers).toMatchObject({
      "coxswain-fence": fence,
      "content-encoding": "gzip",
    });
    const body = JSON.parse(String(gunzipSync(rendered?.body ?? "")));
    expect(body).toMatchObject({
      manifest: next.digest,
      configs: [{ content: "y".repeat(5_000) }],
    });
  });

  it("that reports what another host said is not believed", async () => {
    const set = setUp();
    const host = set.host("h1");
    want(set, host, set.release("one"), ["poll"]);
    host.answersAs = "h2";
    await fetchAndReport(set, host);
    expect(set.pusher.status(host.id)?.isQuarantined).toBe(true);
    expect(set.pusher.status(host.id)?.held).toBeUndefined();
  });

  it("that this node does not serve is neither answered nor believed", () => {
    const set = setUp();
    const host = set.host("h1");
    expect(set.pusher.render(host.id)).toBeUndefined();
    expect(set.pusher.reported(host.id, { status: 200, body: Buffer.from("{}") })).toBeUndefined();
  });
});

describe("a host that reads from an object store", () => {
  it("gets each fence laid ready once, at the node's pace", async () => {
    const set = setUp();
    const host = set.host("h1");
    const { fence } = want(set, host, set.release("one"), ["object"]);
    await set.clock.advance(1_000);
    expect(set.offered).toEqual([`h1 ${fence}`]);
    const later = want(set, host, set.release("two"), ["object"]);
    await set.clock.advance(1_000);
    expect(set.offered).toEqual([`h1 ${fence}`, `h1 ${later.fence}`]);
  });
});

describe("an object store that fails", () => {
  it("neither holds up hosts that are pushed to nor counts against those that read from it", async () => {
    const set = setUp();
    const [reads, pushed] = [set.host("reads"), set.host("pushed")];
    set.state.areOffersDown = true;
    want(set, reads, set.release("one"), ["object"]);
    await set.clock.advance(0);
    want(set, pushed, set.release("one"), ["dial"]);
    await set.clock.advance(50);
    expect(set.pusher.status(pushed.id)).toMatchObject({ reachability: "ok" });
    await set.clock.advance(30 * 60_000);
    expect(set.pusher.status(reads.id)).toMatchObject({
      reachability: "unknown",
      lastError: { class: "offers" },
    });
    const tries = set.offered.length;
    expect(tries).toBeGreaterThan(30);
    expect(tries).toBeLessThan(120);
    set.state.areOffersDown = false;
    await set.clock.advance(60_000);
    expect(set.pusher.status(reads.id)?.lastError).toBeUndefined();
  });
});

describe("a host that reads from an object store when it is not reached", () => {
  it.each(["timeout", undefined] as const)(
    "finds there what it should hold, whether pushes fail (%s) or not",
    async (fault) => {
      const set = setUp();
      const host = set.host("h1");
      host.fault = fault;
      const { fence } = want(set, host, set.release("one"), ["dial", "object"]);
      await set.clock.advance(50);
      expect(set.kept).toContain(`h1 ${fence}`);
      expect(set.offered).toEqual([]);
    },
  );

  it("is offered nothing where its record does not say so", async () => {
    const set = setUp();
    const host = set.host("h1");
    want(set, host, set.release("one"), ["dial", "poll"]);
    await set.clock.advance(50);
    expect([...set.kept, ...set.offered]).toEqual([]);
  });
});

describe("how a host was heard last", () => {
  it("is the mode that carried its last word, and nothing where it is only dialled", async () => {
    const set = setUp();
    const [plain, both] = [set.host("plain"), set.host("both")];
    set.push(plain, set.release("one"));
    set.links.set("both", both);
    want(set, both, set.release("one"), ["reverse", "dial", "poll"]);
    expect(set.pusher.via(both.id)).toBeUndefined();
    await set.clock.advance(100);
    expect([plain, both].map(({ id }) => set.pusher.via(id))).toEqual([undefined, "reverse"]);
    set.links.delete("both");
    want(set, both, set.release("two"), ["reverse", "dial", "poll"]);
    await set.clock.advance(100);
    expect(set.pusher.via(both.id)).toBe("dial");
    both.fault = "timeout";
    await set.clock.advance(60_000);
    expect(set.pusher.via(both.id)).toBe("dial");
    both.fault = undefined;
    set.pusher.polled(both.id);
    expect(set.pusher.via(both.id)).toBe("poll");
    await fetchAndReport(set, both);
    expect(set.pusher.via(both.id)).toBe("poll");
  });

  it("is the poll before a report where both are possible", async () => {
    const set = setUp();
    const host = set.host("h1");
    want(set, host, set.release("one"), ["object", "poll"]);
    set.pusher.polled(host.id);
    await fetchAndReport(set, host);
    expect(set.pusher.via(host.id)).toBe("poll");
  });

  it("is the object store for a report of a host that does not poll", async () => {
    const set = setUp();
    const host = set.host("h1");
    want(set, host, set.release("one"), ["object"]);
    await fetchAndReport(set, host);
    expect(set.pusher.via(host.id)).toBe("object");
  });
});

describe("a host with a connection of its own", () => {
  it("is pushed over it while it has one, waits without it, and is pushed to at once when it is back", async () => {
    const set = setUp();
    const host = set.host("h1");
    set.links.set("h1", host);
    want(set, host, set.release("one"), ["reverse"]);
    await set.clock.advance(100);
    expect(set.pusher.counts().sync.applied).toBe(1);
    set.links.delete("h1");
    want(set, host, set.release("two"), ["reverse"]);
    await set.clock.advance(60_000);
    expect(set.pusher.status(host.id)).toMatchObject({
      reachability: "unreachable",
      lastError: { class: "detached" },
    });
    set.links.set("h1", host);
    set.pusher.wake(host.id);
    await set.clock.advance(100);
    expect(set.pusher.counts().sync.applied).toBe(1);
    expect(set.pusher.status(host.id)).toMatchObject({ reachability: "ok" });
  });

  it("is dialled while it has none, where its record allows that", async () => {
    const set = setUp();
    const host = set.host("h1");
    want(set, host, set.release("one"), ["reverse", "dial"]);
    await set.clock.advance(100);
    expect(set.pusher.counts().sync.applied).toBe(1);
  });
});

describe("a host that cannot be dialled and polls instead", () => {
  it("is not unreachable while it reports, is dialled on, and comes back by itself", async () => {
    const set = setUp({ fetchOverdueMs: 100_000 });
    const host = set.host("h1");
    host.fault = "timeout";
    want(set, host, set.release("one"), ["dial", "poll"]);
    await set.clock.advance(20_000);
    expect(set.pusher.status(host.id)?.reachability).toBe("unreachable");
    const { log } = set;
    log.length = 0;
    for (let minute = 0; minute < 10; minute++) {
      host.fault = undefined;
      await fetchAndReport(set, host);
      host.fault = "timeout";
      await set.clock.advance(60_000);
    }
    expect(log.filter((line) => line.startsWith("reach"))).toEqual(["reach h1 unreachable>ok"]);
    expect(set.pusher.counts().sync.applied).toBe(1);
    const dials = host.requests.filter(({ atMs }) => atMs > 100_000).length;
    expect(dials).toBeGreaterThan(11);
    host.fault = undefined;
    want(set, host, set.release("two"), ["dial", "poll"]);
    await set.clock.advance(310_000);
    expect(host.manifest).toBe(set.release("two").digest);
  });

  it("and takes longer over a release than a push may, is asked what became of it before it is sent again", async () => {
    const set = setUp({ fetchOverdueMs: 1_000_000 });
    const host = set.host("h1");
    want(set, host, set.release("one"), ["dial", "poll"]);
    await set.clock.advance(1_000);
    await fetchAndReport(set, host);
    host.requests.length = 0;
    host.fault = "ambiguous";
    want(set, host, set.release("two"), ["dial", "poll"]);
    await set.clock.advance(300_000);
    const [first, ...later] = host.requests.map(({ isFull }) => isFull);
    expect(first).toBe(true);
    expect(later.length).toBeGreaterThan(2);
    expect(later).not.toContain(true);
    expect(set.pusher.status(host.id)?.lastError?.class).toBe("onFallback");
  });
});

describe("what a poll finds", () => {
  it("is a sync to take until the host has reported, and again five sweeps after its last report", async () => {
    const set = setUp();
    const host = set.host("h1");
    want(set, host, set.release("one"), ["poll"]);
    expect(set.pusher.polled(host.id)).toMatchObject({ needsSync: true, acknowledged: undefined });
    while ((await fetchAndReport(set, host))?.needsSync === true);
    const { digest: manifest } = set.release("one");
    const known = { fence: "1.1.1", manifest, acknowledged: manifest };
    expect(set.pusher.polled(host.id)).toEqual({ ...known, needsSync: false });
    await set.clock.advance(299_000);
    expect(set.pusher.polled(host.id)).toMatchObject({ needsSync: false });
    await set.clock.advance(1_000);
    expect(set.pusher.polled(host.id)).toEqual({ ...known, needsSync: true });
    want(set, host, set.release("two"), ["poll"]);
    expect(set.pusher.polled(host.id)).toMatchObject({ needsSync: true, acknowledged: manifest });
  });

  it("is a sign of life: a host that polls and has nothing to report is not overdue", async () => {
    const set = setUp({ fetchOverdueMs: 100_000 });
    const host = set.host("h1");
    want(set, host, set.release("one"), ["poll"]);
    for (let minute = 0; minute < 10; minute++) {
      set.pusher.polled(host.id);
      await set.clock.advance(60_000);
    }
    expect(set.pusher.status(host.id)).toMatchObject({ reachability: "unknown" });
    expect(set.pusher.counts().sync.applied).toBe(0);
  });

  it("of a host that is not served is nothing", () => {
    const set = setUp();
    expect(set.pusher.polled(set.host("h1").id)).toBeUndefined();
  });
});
