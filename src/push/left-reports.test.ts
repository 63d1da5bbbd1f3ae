import assert from "node:assert/strict";
import { afterEach, describe, expect, it } from "vitest";
import { CoxswainError } from "../kernel/errors.ts";
import { silentLogger } from "../kernel/log.ts";
import { ManualClock } from "../kernel/manual-clock.ts";
import { createMetrics } from "../kernel/metrics.ts";
import { MemoryObjectStore } from "../objects/memory-object-store.ts";
import { encodeStatus, statusKey, type LeftReport } from "../objects/object-layout.ts";
import { digestOf, type Digest } from "../protocol/digest.ts";
import { formatFence, type Fence } from "../protocol/fence.ts";
import { limits } from "../protocol/limits.ts";
import type { LastWord } from "./fetching.ts";
import { LeftReports } from "./left-reports.ts";

const running: { reports: LeftReports; clock: ManualClock }[] = [];
afterEach(async () => {
  for (const { reports, clock } of running.splice(0)) {
    await reports.stop();
    assert.equal(clock.timerCount, 0, "Expected a stopped reader to leave no timer");
  }
});

const wanted = digestOf(Buffer.from("wanted"));
const other = digestOf(Buffer.from("other"));
const fenceOf = (fleet: number, host = 1): Fence => ({ generation: 1, fleet, host });

type Parts = Partial<LeftReport> & {
  result?: "applied" | "rejected" | "failed";
  holds?: Digest;
  hostFence?: Fence;
  by?: string;
};

/** What host h1 left: by default that it holds what fence 1.5.1 wants. */
function left({ result = "applied", holds = wanted, by = "h1", ...parts }: Parts = {}): LeftReport {
  const { boot = "b1", fence = fenceOf(5), hostFence = fence, ...rest } = parts;
  const reply = {
    host: by,
    boot,
    agent: "a/1",
    fence: formatFence(hostFence),
    view: "3",
    manifest: holds,
    configs: [
      { name: "app.conf", digest: holds, result, ...(result !== "applied" && { message: "no" }) },
    ],
  };
  const whose = { cluster: "c1", host: "h1", boot, serial: 1, fence, manifest: wanted };
  return { ...whose, status: 200, reply, ...rest };
}

function setUp(word: Partial<LastWord> = {}) {
  const clock = new ManualClock();
  const objects = new MemoryObjectStore();
  const metrics = createMetrics();
  const reads: string[] = [];
  const reported: unknown[] = [];
  const log: string[] = [];
  const state: { word: LastWord | undefined } = {
    word: { fence: fenceOf(5), manifest: wanted, heardFence: undefined, isWanted: true, ...word },
  };
  objects.before = (_call, key) => void reads.push(key);
  const reports = new LeftReports(
    {
      objects,
      clock,
      metrics,
      log: {
        ...silentLogger,
        warn: (_fields: object, message: string) => log.push(message),
        info: (_fields: object, message: string) => log.push(message),
      },
      lastWord: () => state.word,
      reported: (_id, reply) => void reported.push(JSON.parse(String(reply.body))),
    },
    "c1",
  );
  running.push({ reports, clock });
  const lie = (report: LeftReport | Uint8Array) =>
    objects.objects.set(
      statusKey("c1", "h1"),
      report instanceof Uint8Array ? report : encodeStatus(report),
    );
  /** One turn of the host, a sweep after the one before. */
  const turn = async () => {
    reports.look({ host: "h1", fence: state.word?.fence ?? fenceOf(5) });
    await clock.advance(60_000);
  };
  const outcomes = async () =>
    Object.fromEntries(
      (await metrics.statusObjectsTotal.get()).values.map(({ labels, value }) => [
        labels.outcome,
        value,
      ]),
    );
  return { clock, objects, reads, reported, log, state, reports, lie, turn, outcomes };
}

describe("what a host left in the object store", () => {
  it("is passed on once as it was answered, and read conditionally from then on", async () => {
    const set = setUp();
    const report = left();
    set.lie(report);
    await set.turn();
    expect(set.reported).toEqual([report.reply]);
    await set.turn();
    await set.turn();
    expect(set.reported).toHaveLength(1);
    expect(await set.outcomes()).toEqual({ taken: 1, unchanged: 2 });
  });

  it("is passed on again when the host wrote it again, although nothing else is new", async () => {
    const set = setUp();
    set.lie(left());
    await set.turn();
    set.state.word = { ...left(), manifest: wanted, heardFence: fenceOf(5), isWanted: true };
    set.lie(left({ serial: 2 }));
    await set.turn();
    set.lie(left({ boot: "b2" }));
    await set.turn();
    expect(set.reported).toHaveLength(3);
  });

  it("is looked at once where nothing is wanted of the host, and then left alone", async () => {
    const set = setUp({ isWanted: false, heardFence: fenceOf(5) });
    for (let turns = 0; turns < 10; turns++) await set.turn();
    expect(set.reads).toEqual([statusKey("c1", "h1")]);
  });

  it("is asked for at each turn after a change, and within minutes where nothing comes", async () => {
    const set = setUp();
    for (let turns = 0; turns < 60; turns++) await set.turn();
    expect(set.reads.length).toBeGreaterThan(15);
    expect(set.reads.length).toBeLessThan(25);
    set.reads.length = 0;
    set.state.word = { fence: fenceOf(6), manifest: wanted, heardFence: undefined, isWanted: true };
    for (let turns = 0; turns < 5; turns++) await set.turn();
    expect(set.reads).toHaveLength(5);
  });

  it("that refuses what is wanted is passed on", async () => {
    for (const result of ["rejected", "failed"] as const) {
      const set = setUp({ heardFence: fenceOf(4) });
      set.lie(left({ result, holds: other }));
      await set.turn();
      expect(set.reported).toMatchObject([{ configs: [{ result }] }]);
    }
  });

  it("that says the pointer goes back is passed on while that is so", async () => {
    const set = setUp({ heardFence: fenceOf(5) });
    await set.turn();
    const stale = { status: 409, hostFence: fenceOf(9) };
    set.lie(left(stale));
    await set.turn();
    expect(set.reported).toMatchObject([{ fence: "1.9.1" }]);
    set.state.word = {
      fence: fenceOf(9),
      manifest: wanted,
      heardFence: fenceOf(5),
      isWanted: true,
    };
    set.lie(left({ ...stale, serial: 2 }));
    await set.turn();
    expect(set.reported).toHaveLength(1);
  });
});

describe("what changes nothing", () => {
  const bytes = Buffer.from(encodeStatus(left()));
  const deep = `"x":${"[".repeat(9_000)}${"]".repeat(9_000)},"agent"`;
  it.each<[string, LeftReport | Uint8Array, Partial<LastWord>]>([
    ["bytes cut off", bytes.subarray(0, -1), {}],
    ["no JSON", Buffer.from("ok"), {}],
    ["more than a report can be", Buffer.alloc(limits.statusBytesMax + 1, " "), {}],
    ["brackets that overflow a stack", Buffer.from(bytes.toString().replace('"agent"', deep)), {}],
    ["a report of another cluster", left({ cluster: "c2" }), {}],
    ["a report of another host", left({ host: "h2" }), {}],
    ["the reply of another host", left({ by: "h2" }), {}],
    ["a reply that is none", left({ reply: { host: "h1" } }), {}],
    ["a refusal of the node", left({ status: 403 }), {}],
    ["a host that is busy", left({ status: 503 }), {}],
    ["what was heard already", left(), { heardFence: fenceOf(5) }],
    ["less than was heard", left({ fence: fenceOf(4) }), { heardFence: fenceOf(5) }],
    ["an answer to what was never wanted", left({ fence: fenceOf(6) }), { heardFence: fenceOf(4) }],
    ["a refusal of what is not wanted now", left({ result: "rejected", manifest: other }), {}],
    ["a refusal without a fence that is ahead", left({ status: 409 }), { heardFence: fenceOf(4) }],
  ])("%s", async (_name, report, word) => {
    const set = setUp(word);
    set.lie(report);
    await set.turn();
    await set.turn();
    expect(set.reads).toHaveLength(2);
    expect([...set.reported, ...set.log]).toEqual([]);
  });

  it("an older report of the same process that somebody put back", async () => {
    const set = setUp();
    set.lie(left({ serial: 7 }));
    await set.turn();
    set.lie(left({ serial: 6 }));
    await set.turn();
    set.lie(left({ serial: 7 }));
    await set.turn();
    expect(set.reported).toHaveLength(1);
  });

  it("a forged fence from the future does not silence the host for ever", async () => {
    const set = setUp({ heardFence: fenceOf(999_999) });
    set.lie(left());
    await set.turn();
    expect(set.reported).toHaveLength(1);
  });

  it("a report of a host that is served elsewhere by now", async () => {
    const set = setUp();
    set.lie(left());
    set.objects.before = () => {
      set.state.word = undefined;
    };
    await set.turn();
    expect([...set.reported, ...set.log]).toEqual([]);
  });
});

describe("an object store that fails", () => {
  it("is left alone for a minute, complained about once, and used when it is back", async () => {
    const set = setUp();
    set.lie(left());
    let calls = 0;
    set.objects.before = () => {
      calls++;
      throw new CoxswainError("OBJECTS_UNAVAILABLE", "down");
    };
    for (let second = 0; second < 120; second++) {
      set.reports.look({ host: "h1", fence: fenceOf(5) });
      await set.clock.advance(1_000);
    }
    expect(calls).toBe(2);
    set.objects.before = () => {};
    await set.turn();
    await set.turn();
    expect(set.reported).toHaveLength(1);
    expect(set.log).toEqual([
      "reports in the object store cannot be read",
      "reports in the object store can be read again",
    ]);
  });

  it("that hangs holds a few reads, each until its deadline or the stop", async () => {
    const set = setUp();
    let calls = 0;
    set.objects.before = (_call, _key, signal) => {
      calls++;
      return new Promise((_resolve, reject) => {
        signal?.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
      });
    };
    for (let index = 0; index < 100; index++) {
      set.reports.look({ host: `h${index}`, fence: fenceOf(5) });
    }
    await set.clock.advance(0);
    expect(calls).toBe(8);
    await set.clock.advance(10_000);
    expect(await set.outcomes()).toEqual({ failed: 8 });
    await set.clock.advance(60_000);
    set.reports.look({ host: "h1", fence: fenceOf(5) });
    await set.reports.stop();
    expect(calls).toBe(9);
    set.reports.look({ host: "h2", fence: fenceOf(5) });
    expect(calls).toBe(9);
  });
});
