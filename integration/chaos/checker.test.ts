import { describe, expect, it } from "vitest";
import { digestOf, manifestDigestOf, type Digest } from "../../src/protocol/digest.ts";
import { check, parseApplyLog, type ApplyRecord, type Evidence } from "./checker.ts";

const config = "routes.json";
const [first, second, third] = ["first", "second", "third"].map((text) =>
  digestOf(Buffer.from(text)),
) as [Digest, Digest, Digest];

function record(fence: string | null, digest?: Digest, event: "open" | "sync" = "sync") {
  const configs = digest === undefined ? [] : [{ name: config, digest }];
  const manifest = manifestDigestOf(configs);
  return { host: "host-1", event, fence, manifest, configs, at: "now" } satisfies ApplyRecord;
}

/** A host that started empty and took up the first and the second release. */
const good = [record(null, undefined, "open"), record("1.1.1", first), record("1.2.1", second)];

function evidence(records: readonly ApplyRecord[], more: Partial<Evidence> = {}): Evidence {
  const last = records.at(-1);
  const held = last?.configs[0]?.digest;
  return {
    published: [first, second].map((digest) => ({ config, digest, outcome: "acknowledged" })),
    logs: new Map([["host-1", records]]),
    files: new Map([["host-1", new Map(held === undefined ? [] : [[config, held]])]]),
    reachable: ["host-1"],
    reported: new Map([["host-1", { sync: "applied", manifest: last?.manifest }]]),
    ...more,
  };
}

function violations(records: readonly ApplyRecord[], more?: Partial<Evidence>) {
  return check(evidence(records, more)).violations;
}

const lags = () => true;

describe("the checker of the chaos suite", () => {
  it("finds nothing where every host went forward to the last release", () => {
    expect(check(evidence(good))).toEqual({
      violations: [],
      regressionsCount: 0,
      lostCount: 0,
      hostsCount: 1,
      appliesCount: 3,
    });
  });

  it("counts apart what went back and what is lacking", () => {
    const records = [...good, record("1.1.9", first)];
    expect(check(evidence(records, { reported: undefined }))).toMatchObject({
      regressionsCount: 2,
      lostCount: 1,
    });
  });

  it.each([
    ["the fleet's revision", "1.1.9"],
    ["the host's revision", "1.3.0"],
    ["the generation", "0.9.9"],
  ])("reports a fence in which %s goes back", (_what, fence) => {
    expect(violations([...good, record(fence, second)])).toEqual([
      `host-1: fence went back from 1.2.1 to ${fence} (sync at now)`,
    ]);
  });

  it("reports a fence that a restart forgot", () => {
    expect(violations([...good, record(null, second, "open")])).toEqual([
      "host-1: fence went back from 1.2.1 to null (open at now)",
    ]);
  });

  it("accepts a higher generation with lower revisions", () => {
    expect(violations([...good, record("2.1.1", second)])).toEqual([]);
  });

  it("reports an older release under a newer fence", () => {
    const records = [...good, record("1.3.1", first), record("1.4.1", second)];
    expect(violations(records)).toEqual([`host-1: ${config} went back to ${first} (sync at now)`]);
  });

  it("follows an undo that was published", () => {
    const published = [first, second, first].map(
      (digest) => ({ config, digest, outcome: "acknowledged" }) as const,
    );
    expect(violations([...good, record("1.3.1", first)], { published })).toEqual([]);
  });

  it("reports a config that disappeared, also where it came back", () => {
    expect(violations([...good, record("1.2.1"), record("1.2.1", second)])).toEqual([
      `host-1: lost ${config} (sync at now)`,
    ]);
  });

  it("reports a content that nobody published", () => {
    expect(violations([...good, record("1.3.1", third)])).toContain(
      `host-1: held ${config} ${third}, never published (now)`,
    );
  });

  it("reports a manifest that is not that of the configs", () => {
    const forged = { ...record("1.2.1", second), manifest: first };
    expect(violations([...good, forged])).toContain(
      `host-1: manifest ${first} is not that of its configs (now)`,
    );
  });

  it("reports a reachable host that stayed behind, and says nothing of one that is away", () => {
    const behind = good.slice(0, 2);
    expect(violations(behind)).toEqual([
      `host-1: ended with ${config} ${first}, expected ${second}`,
    ]);
    expect(violations(behind, { reachable: [] })).toEqual([]);
  });

  it("reports a host without any record", () => {
    expect(violations([])).toContain(`host-1: ended with ${config} undefined, expected ${second}`);
  });

  it("lets the end be the last acknowledged release or a later one whose outcome is unknown", () => {
    const published = [
      { config, digest: first, outcome: "acknowledged" },
      { config, digest: second, outcome: "unknown" },
    ] as const;
    expect(violations(good, { published })).toEqual([]);
    expect(violations(good.slice(0, 2), { published })).toEqual([]);
  });

  it("reports a file that is not what the agent says", () => {
    const files = new Map([["host-1", new Map([[config, first]])]]);
    expect(violations(good, { files })).toEqual([
      `host-1: the file of ${config} is ${first}, its agent says ${second}`,
    ]);
  });

  it("reports an acknowledgement that the host never gave", () => {
    const manifest = manifestDigestOf([{ name: config, digest: third }]);
    const reported = new Map([["host-1", { sync: "applied", manifest }]]);
    expect(violations(good, { reported })).toHaveLength(1);
  });

  it("lets a host that may lag be pending, but not be acknowledged with what it never had", () => {
    const manifest = manifestDigestOf([{ name: config, digest: third }]);
    const pending = new Map([["host-1", { sync: "pending", manifest }]]);
    expect(violations(good, { reported: pending, mayLag: lags })).toEqual([]);
    expect(violations(good, { reported: pending })).toHaveLength(1);
    const applied = new Map([["host-1", { sync: "applied", manifest }]]);
    expect(violations(good, { reported: applied, mayLag: lags })).toHaveLength(1);
  });

  it("reports a host that the control plane forgot, unless it is not asked", () => {
    expect(violations(good, { reported: new Map() })).toEqual(["host-1: not in the inventory"]);
    expect(violations(good, { reported: undefined })).toEqual([]);
  });

  it("leaves out a torn last line of a log", () => {
    const line = JSON.stringify(good[1]);
    expect(parseApplyLog(`${line}\n${line.slice(0, 20)}`)).toEqual([good[1]]);
  });
});
