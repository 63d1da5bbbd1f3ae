import { expect, test } from "vitest";
import { diagnose } from "./diagnose.ts";
import { healthy, member, refused } from "./facts-fixture.ts";
import type { Facts, MemberFacts } from "./facts.ts";
import { missesOf, type Row } from "./row-fixture.ts";

const second = (change: Partial<MemberFacts>, self = {}): Partial<Facts> => ({
  members: [member(1), member(2, change, self), member(3)],
});

const rows: readonly Row[] = [
  {
    of: "exactly enough files",
    change: second({}, { openFilesMax: 15_096 }),
    check: "machine.nodeFiles",
    verdict: "ok",
    seen: "15096",
  },
  {
    of: "one file too few",
    change: second({}, { openFilesMax: 5_095 }),
    check: "machine.nodeFiles",
    verdict: "fail",
    seen: "node-2 may open 5095 files and may need 15096",
    advice: "LimitNOFILE",
  },
  {
    of: "one file too few for all that hosts may open, and enough for those that are dialled",
    change: second({}, { openFilesMax: 15_095 }),
    check: "machine.nodeFiles",
    verdict: "warn",
    seen: "node-2 may open 15095 files and may need 15096",
    advice: "--links",
  },
  {
    of: "systems that do not tell",
    change: { members: [member(1, {}, { openFilesMax: null })] },
    check: "machine.nodeFiles",
    verdict: "skipped",
    seen: "do not tell",
    advice: "ulimit",
  },
  {
    of: "too few files here",
    change: { local: { openFilesMax: 1_024 } },
    check: "machine.ownFiles",
    verdict: "warn",
    seen: "1024",
    advice: "ulimit -n 15096",
  },
  {
    of: "a system here that does not tell",
    change: { local: { openFilesMax: undefined } },
    check: "machine.ownFiles",
    verdict: "skipped",
    seen: "does not tell",
    advice: "15096",
  },
  {
    of: "unlimited files here",
    change: { local: { openFilesMax: Number.MAX_SAFE_INTEGER } },
    check: "machine.ownFiles",
    verdict: "ok",
    seen: "unlimited",
  },
];

test.each(rows)("$check is $verdict with $of", (row) => {
  expect(missesOf(row)).toEqual([]);
});

test("where all is well every check is ok and none needs advice", () => {
  const findings = diagnose(healthy());
  expect(findings.filter(({ verdict }) => verdict !== "ok")).toEqual([]);
  expect(new Set(findings.map(({ check }) => check)).size).toBe(findings.length);
  expect(findings.map(({ check }) => check)).toEqual([
    "store.reachable",
    "store.cluster",
    "store.rights",
    "store.same",
    "nodes.entry",
    "nodes.api",
    "nodes.fleet",
    "nodes.peers",
    "nodes.binds",
    "nodes.addresses",
    "agreement.members",
    "agreement.view",
    "agreement.placement",
    "agreement.balance",
    "agreement.versions",
    "agreement.clocks",
    "alarms.raised",
    "hosts.reached",
    "hosts.hello",
    "hosts.registered",
    "machine.nodeFiles",
    "machine.ownFiles",
  ]);
});

test("a deployment of which nobody tells anything is not called well", () => {
  const findings = diagnose(
    healthy({
      store: { kind: "notGiven" },
      entry: { addresses: ["http://x:1"], answer: refused },
      members: [],
      membersFrom: "nobody",
      hosts: { kind: "notTried", reason: "no node answers" },
      agent: undefined,
    }),
  );
  expect(findings.map(({ check, verdict }) => `${check} ${verdict}`)).toEqual([
    "store.reachable skipped",
    "nodes.entry fail",
    "hosts.reached skipped",
    "machine.ownFiles ok",
  ]);
});
