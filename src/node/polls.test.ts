import { describe, expect, it } from "vitest";
import { parseHostInput } from "../inventory/host.ts";
import { CoxswainError } from "../kernel/errors.ts";
import { createMetrics } from "../kernel/metrics.ts";
import { createRandom } from "../kernel/random.ts";
import { digestOf } from "../protocol/digest.ts";
import type { FetchStanding } from "../push/fetching.ts";
import { SliceFixture } from "./node-fixture.ts";
import { createHttpPeers, type Peers } from "./peers.ts";
import { Polls, type HostPoll, type PollsPorts } from "./polls.ts";
import { ownedBy } from "./slice-fixture.ts";

const slots = ["a", "b"];
const [own = "", dialled = "", safe = ""] = ownedBy("a", slots);
const [foreign = ""] = ownedBy("b", slots);
const manifest = digestOf(Buffer.from("wanted"));
const etag = `"1.2.3/${manifest}"`;
const body = Buffer.from("{}");

const options = { pollsPerSecond: 100, pollMinMs: 10_000, hostSecretFile: "secret" };
const slow = { options: { ...options, pollsPerSecond: 4 } };

const standing = (overrides: Partial<FetchStanding> = {}): FetchStanding => ({
  fence: "1.2.3",
  manifest,
  acknowledged: manifest,
  needsSync: false,
  ...overrides,
});

/** Node `a` of two: `own` polls, `dialled` does not, `safe` is dialled over TLS and may poll. */
async function setUp(overrides: Partial<PollsPorts> = {}, call?: () => Promise<unknown>) {
  const fixture = new SliceFixture();
  const put = (id: string, mode: string[], address = `http://${id}:9000`) =>
    fixture.hosts.put(parseHostInput({ id, address, mode }));
  await put(own, ["poll"]);
  await put(foreign, ["poll"]);
  await put(dialled, ["dial"]);
  await put(safe, ["dial", "poll"], `https://${safe}:9000`);
  await fixture.slice.refreshFleet();
  await fixture.adopt(1, ...slots);
  const state = { standing: standing(), isRenderable: true, lagMs: 0 };
  const reported: string[] = [];
  const sent: string[] = [];
  const pusher = Object.assign(fixture.pusher, {
    polled: () => state.standing,
    render: () =>
      state.isRenderable
        ? Promise.resolve({ headers: { "coxswain-fence": "1.2.3" }, body, manifest })
        : Promise.reject(new CoxswainError("STORE_UNAVAILABLE", "the store is away")),
    reported: (id: string) => {
      reported.push(id);
      return { needsSync: true };
    },
  });
  const http = createHttpPeers("c1");
  await http.close();
  const peers = {
    ...http,
    async call(fleetUrl: string, name: string) {
      sent.push(`${name} ${fleetUrl}`);
      return call?.() ?? { kind: "unchanged", etag, nextPollMs: 1 };
    },
  } as unknown as Peers;
  const metrics = createMetrics();
  const polls = new Polls({
    clock: fixture.clock,
    random: createRandom("polls"),
    metrics,
    slot: "a",
    slice: () => fixture.slice,
    pusher: () => pusher,
    peers,
    partitionOf: (id) => fixture.partitionOf(id),
    options,
    mayPush: () => true,
    lagMs: () => state.lagMs,
    ...overrides,
  });
  const poll = (host: string, asked: Partial<HostPoll> = {}) =>
    polls.poll({
      host,
      etag: undefined,
      held: undefined,
      timeoutMs: 10_000,
      isGone: () => false,
      ...asked,
    });
  return { fixture, polls, poll, state, reported, sent, metrics };
}

describe("a poll of an own host", () => {
  it("is unchanged only where the host was told this, holds what is known, and owes no report", async () => {
    const { poll, state, fixture } = await setUp();
    const asks = async (asked: Partial<HostPoll>, known: Partial<FetchStanding> = {}) => {
      state.standing = standing(known);
      await fixture.clock.advance(1_000);
      return (await poll(own, { etag, held: manifest, ...asked })).kind;
    };
    expect(await asks({})).toBe("unchanged");
    expect(await asks({ etag: undefined })).toBe("sync");
    expect(await asks({ etag: `"1.2.2/${manifest}"` })).toBe("sync");
    expect(await asks({ held: digestOf(Buffer.from("drifted")) })).toBe("sync");
    expect(await asks({ held: undefined })).toBe("sync");
    expect(await asks({}, { needsSync: true })).toBe("sync");
    expect(await asks({}, { acknowledged: undefined })).toBe("sync");
    // A release that it refused is not sent again.
    const refused = digestOf(Buffer.from("older"));
    expect(await asks({ held: refused }, { acknowledged: refused })).toBe("unchanged");
  });

  it("is answered with what a push carries, and when to ask again", async () => {
    const { poll } = await setUp();
    const answer = await poll(own);
    expect(answer).toMatchObject({
      kind: "sync",
      headers: { "coxswain-fence": "1.2.3" },
      body: body.toString("base64"),
      etag,
    });
    expect(answer.kind === "sync" && answer.nextPollMs).toBeGreaterThanOrEqual(9_000);
  });

  it.each<[string, Partial<PollsPorts>, boolean]>([
    ["this node may not push", { mayPush: () => false }, true],
    ["the contents cannot be read", {}, false],
  ])("where %s comes back later", async (_name, overrides, isRenderable) => {
    const { poll, state } = await setUp(overrides);
    state.isRenderable = isRenderable;
    expect(await poll(own)).toMatchObject({ kind: "busy" });
    const unchanged = await poll(own, { etag, held: manifest });
    expect(unchanged.kind).toBe(isRenderable ? "busy" : "unchanged");
  });

  it("that may not poll by its record is unknown", async () => {
    const { poll, polls, reported } = await setUp();
    expect(await poll(dialled)).toMatchObject({ kind: "unknownHost" });
    expect(await poll("nobody-owned-here-0")).not.toMatchObject({ kind: "sync" });
    expect(await polls.report(dialled, { status: 200, body })).toEqual({ kind: "unknownHost" });
    expect(reported).toEqual([]);
  });

  it("that is dialled over TLS may not poll without a proof", async () => {
    const { poll, polls } = await setUp({ options: { ...options, hostSecretFile: "" } });
    expect(await poll(safe)).toMatchObject({ kind: "unproven" });
    expect(await poll(own)).toMatchObject({ kind: "sync" });
    expect(await polls.report(safe, { status: 200, body })).toEqual({ kind: "unproven" });
    const proving = await setUp();
    expect(await proving.poll(safe)).toMatchObject({ kind: "sync" });
  });
});

describe("a poll of a host that another node serves", () => {
  it("is passed on once, and its answer brought back", async () => {
    const { poll, sent } = await setUp();
    expect(await poll(foreign)).toEqual({ kind: "unchanged", etag, nextPollMs: 1 });
    expect(sent).toEqual(["poll http://b:7401"]);
  });

  it("comes back later where the owner does not answer, and is never passed on a second time", async () => {
    const away = new CoxswainError("MEMBER_UNREACHABLE", "no answer");
    const { poll, polls, sent } = await setUp({}, () => Promise.reject(away));
    expect(await poll(foreign)).toMatchObject({ kind: "busy" });
    expect(await polls.report(foreign, { status: 200, body })).toMatchObject({ kind: "busy" });
    const passed = await polls.passed({ host: foreign, etag: "", held: "" });
    expect(passed).toMatchObject({ kind: "busy" });
    expect(polls.passedReport(foreign, { status: 200, body })).toMatchObject({ kind: "busy" });
    expect(sent).toEqual(["poll http://b:7401", "report http://b:7401"]);
  });
});

it("a poll of a host that this node owns and does not serve yet is passed on to nobody", async () => {
  const { poll, sent } = await setUp({ slot: "b" });
  expect(await poll(foreign)).toMatchObject({ kind: "busy" });
  expect(sent).toEqual([]);
});

describe("more polls than the pace allows", () => {
  it("wait for their turn; those in vain are told when to come back", async () => {
    const { poll, fixture, metrics } = await setUp(slow);
    const kinds: string[] = [];
    for (let count = 0; count < 12; count++) {
      void poll(own, { timeoutMs: 2_000 }).then(({ kind }) => kinds.push(kind));
    }
    await fixture.clock.advance(0);
    expect(kinds.filter((kind) => kind === "sync")).toHaveLength(1);
    await fixture.clock.advance(1_000);
    expect(kinds.filter((kind) => kind === "sync")).toHaveLength(5);
    expect(kinds.filter((kind) => kind === "busy")).toHaveLength(7);
    expect(fixture.clock.timerCount).toBe(0);
    const { values } = await metrics.pollsTotal.get();
    expect(values.map(({ labels, value }) => [labels["outcome"], value])).toContainEqual([
      "hopeless",
      7,
    ]);
  });

  it("are answered when the node stops, and leave no timer", async () => {
    const { poll, polls, fixture } = await setUp(slow);
    const answers = [poll(own), poll(own)];
    polls.stop();
    expect((await Promise.all(answers)).map(({ kind }) => kind)).toEqual(["sync", "busy"]);
    expect(await poll(own)).toMatchObject({ kind: "busy" });
    expect(fixture.clock.timerCount).toBe(0);
  });
});

it("a late event loop lets no poll in, and reports and passed polls until it is far behind", async () => {
  const { poll, polls, state } = await setUp();
  const passed = { host: own, etag: "", held: "" };
  state.lagMs = 300;
  expect(polls.refusal()).toMatchObject({ kind: "busy" });
  expect(await poll(own)).toMatchObject({ kind: "busy" });
  expect(await polls.report(own, { status: 200, body })).toEqual({
    kind: "taken",
    needsSync: true,
  });
  expect(await polls.passed(passed)).toMatchObject({ kind: "sync" });
  state.lagMs = 700;
  expect(await polls.report(own, { status: 200, body })).toMatchObject({ kind: "busy" });
  expect(await polls.passed(passed)).toMatchObject({ kind: "busy" });
  state.lagMs = 0;
  expect(polls.refusal()).toBeUndefined();
});

it("an id that is none is refused before it waits", async () => {
  const { poll, polls } = await setUp();
  await expect(poll("../x")).rejects.toMatchObject({ code: "HOST_INVALID" });
  const report = polls.report("../x", { status: 200, body });
  await expect(report).rejects.toMatchObject({ code: "HOST_INVALID" });
});
