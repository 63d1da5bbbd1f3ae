import { afterEach, describe, expect, it } from "vitest";
import { silentLogger } from "../kernel/log.ts";
import { createRandom } from "../kernel/random.ts";
import { createHost } from "./agent-fixture.ts";
import type { NodeAnswer, NodeCall } from "./node-call.ts";
import { PollDriver } from "./poll-driver.ts";
import { createReportClient } from "./report-client.ts";
import { fullSync, shortSync } from "./sync-builder.ts";

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

type Reply = (call: NodeCall, index: number) => NodeAnswer;

const twoNodes = ["http://n1:1", "http://n2:1"];

/** A driver on virtual time; `polls` and `reports` are answered by turns, the last answer for good. */
async function polling(
  onPoll: Reply,
  onReport: Reply = () => ok({ needsSync: false }),
  nodes = twoNodes,
) {
  const host = await createHost();
  const { clock } = host;
  const polls: (NodeCall & { readonly atMs: number })[] = [];
  const reports: NodeCall[] = [];
  const random = createRandom("poll");
  const callNode = async (call: NodeCall): Promise<NodeAnswer> => {
    if (call.method === "GET") {
      polls.push({ ...call, atMs: clock.monotonicMs() });
      return onPoll(call, polls.length - 1);
    }
    reports.push(call);
    return onReport(call, reports.length - 1);
  };
  const log = silentLogger;
  const report = createReportClient({ callNode, random, log }, { host: "h1", nodes });
  const driver = new PollDriver(
    { clock, random, log, core: host.core, callNode, report },
    { host: "h1", nodes, spreadMs: 0 },
  );
  const stopping = new AbortController();
  const ended = driver.run(stopping.signal).catch(() => {});
  stops.push(async () => {
    stopping.abort(new Error("the test is over"));
    await ended;
    expect(clock.timerCount).toBe(0);
  });
  await clock.advance(0);
  return { host, clock, driver, polls, reports };
}

function ok(json: unknown, headers: Record<string, string> = {}): NodeAnswer {
  return { kind: "answered", status: 200, headers, json, retryAfterMs: undefined };
}

const status = (code: number, retryAfterMs?: number): NodeAnswer => ({
  kind: "answered",
  status: code,
  headers: { "coxswain-next-poll": "20" },
  json: undefined,
  retryAfterMs,
});

const sync = fullSync("1.4.2", { "a.conf": "one" });
const synced = ok(sync.body, { ...sync.headers, etag: '"e1"', "coxswain-next-poll": "20" });

describe("a poll that is answered with a sync", () => {
  it("is applied, reported, and remembered by its ETag for the next", async () => {
    const { host, clock, polls, reports, driver } = await polling((_call, index) =>
      index === 0 ? synced : status(304),
    );
    expect(host.core.held().manifest).toBe(sync.body.manifest);
    expect(reports.map(({ url, headers }) => [url.pathname, headers])).toEqual([
      ["/coxswain/v1/report", { "coxswain-host": "h1", "coxswain-status": "200" }],
    ]);
    expect(JSON.parse(String(reports[0]?.body))).toMatchObject({ host: "h1", fence: "1.4.2" });
    await clock.advance(22_000);
    expect(
      polls.map(({ headers }) => [headers["if-none-match"], headers["coxswain-held"]]),
    ).toEqual([
      [undefined, expect.not.stringMatching(sync.body.manifest)],
      ['"e1"', sync.body.manifest],
    ]);
    expect(polls[1]?.atMs).toBeGreaterThanOrEqual(20_000);
    expect(driver.workedAtMs()).toBe(clock.monotonicMs());
  });

  it("goes on at once while the node wants more, but not in circles", async () => {
    const { polls, clock } = await polling(
      () => synced,
      () => ok({ needsSync: true }),
    );
    expect(polls).toHaveLength(5);
    await clock.advance(22_000);
    expect(polls).toHaveLength(10);
  });

  it("that cannot be reported to anybody is asked for again in full, after the usual time", async () => {
    const { polls, reports, clock } = await polling(
      () => synced,
      () => ({ kind: "unreachable", message: "refused" }),
    );
    expect(reports.map(({ url }) => url.host).toSorted()).toEqual(["n1:1", "n2:1"]);
    await clock.advance(22_000);
    expect(polls.map(({ headers }) => headers["if-none-match"])).toEqual([undefined, undefined]);
  });

  it("of another cluster changes nothing, and is reported as what it is", async () => {
    const { host, reports } = await polling(() =>
      ok(sync.body, { ...sync.headers, "coxswain-cluster": "other" }),
    );
    expect(host.core.held().configs).toEqual([]);
    expect(reports[0]?.headers["coxswain-status"]).toBe("403");
  });

  it("in the short form says what is held", async () => {
    const { reports } = await polling(() => {
      const { body, headers } = shortSync("1.4.2", { "a.conf": "one" });
      return ok(body, headers);
    });
    expect(JSON.parse(String(reports[0]?.body))).toMatchObject({ fence: "1.4.2", configs: [] });
  });
});

describe("the node that is asked", () => {
  it("changes after five answers, so that nobody stays with one that was replaced unawares", async () => {
    const { polls, clock } = await polling(() => status(304));
    await clock.advance(10 * 22_000);
    const hosts = polls.slice(0, 10).map(({ url }) => url.host);
    expect(new Set(hosts.slice(0, 5)).size).toBe(1);
    expect(new Set(hosts.slice(5)).size).toBe(1);
    expect(hosts[5]).not.toBe(hosts[0]);
  });

  it("changes after five minutes where polls are seldom", async () => {
    const seldom = { ...status(304), headers: { "coxswain-next-poll": "200" } };
    const { polls, clock } = await polling(() => seldom);
    await clock.advance(3 * 220_000);
    const hosts = polls.slice(0, 4).map(({ url }) => url.host);
    expect(new Set(hosts.slice(0, 3)).size).toBe(1);
    expect(hosts[3]).not.toBe(hosts[0]);
  });
});

describe("a poll that is not answered as it should be", () => {
  it("comes back when the node says, to another node", async () => {
    const { polls, clock, driver } = await polling(() => status(503, 30_000));
    await clock.advance(29_999);
    expect(polls).toHaveLength(1);
    expect(driver.workedAtMs()).toBeUndefined();
    await clock.advance(2_001);
    expect(polls).toHaveLength(2);
    expect(new Set(polls.map(({ url }) => url.host)).size).toBe(2);
  });

  it.each([
    ["nobody listens", (): NodeAnswer => ({ kind: "unreachable", message: "refused" })],
    ["the node is broken", () => status(500)],
  ])("where %s: a few retries, then no more polls than are due", async (_name, answer) => {
    const { polls, clock } = await polling(answer);
    await clock.advance(60 * 60_000);
    // Sixty are due in an hour; three retries to begin with and one for each ten.
    expect(polls.length).toBeGreaterThan(50);
    expect(polls.length).toBeLessThan(75);
  });

  it("is one of the silent nodes at most every other time, while one node answers", async () => {
    const fourNodes = ["http://n1:1", "http://n2:1", "http://n3:1", "http://n4:1"];
    const seldom = { ...status(304), headers: { "coxswain-next-poll": "300" } };
    const { clock, polls } = await polling(
      ({ url }) =>
        url.host === "n1:1" ? seldom : { kind: "unreachable", message: "no answer within 10 s" },
      undefined,
      fourNodes,
    );
    await clock.advance(4 * 3_600_000);
    const late = polls.filter(({ atMs }) => atMs > 3_600_000).map(({ url }) => url.host);
    expect(late.length).toBeGreaterThan(30);
    expect(
      late.filter((host, index) => host !== "n1:1" && late[index + 1] !== "n1:1"),
    ).toHaveLength(late.at(-1) === "n1:1" ? 0 : 1);
    // And each of them has its turn: it may have come back.
    expect(new Set(late).size).toBe(4);
  });

  it("leaves nobody out because the node that is heard is busy", async () => {
    const threeNodes = ["http://n1:1", "http://n2:1", "http://n3:1"];
    const { clock, polls } = await polling(
      ({ url }) =>
        url.host === "n1:1" ? status(503, 60_000) : { kind: "unreachable", message: "refused" },
      undefined,
      threeNodes,
    );
    await clock.advance(3_600_000);
    for (const host of ["n2:1", "n3:1"]) {
      expect(polls.filter(({ url }) => url.host === host).length).toBeGreaterThan(5);
    }
  });

  it("is every node in turn where the one that answered is silent, too", async () => {
    const threeNodes = ["http://n1:1", "http://n2:1", "http://n3:1"];
    let isDown = false;
    const { clock, polls } = await polling(
      ({ url }) =>
        isDown || url.host !== "n2:1" ? { kind: "unreachable", message: "refused" } : status(304),
      undefined,
      threeNodes,
    );
    await clock.advance(600_000);
    isDown = true;
    const before = polls.length;
    await clock.advance(600_000);
    const hosts = polls.slice(before).map(({ url }) => url.host);
    for (const host of ["n1:1", "n2:1", "n3:1"]) {
      const share = hosts.filter((each) => each === host).length / hosts.length;
      expect(share).toBeGreaterThan(0.25);
    }
  });

  it("where the host is refused, waits as told and asks again", async () => {
    const { polls, clock } = await polling(() => status(404));
    await clock.advance(22_000);
    expect(polls).toHaveLength(2);
  });
});
