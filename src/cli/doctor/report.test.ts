import { expect, test } from "vitest";
import type { Finding } from "./finding.ts";
import { reportJson, reportTable, wrap } from "./report.ts";

const findings: readonly Finding[] = [
  { check: "store.reachable", area: "store", verdict: "ok", seen: "answered in 3 ms" },
  {
    check: "store.rights",
    area: "store",
    verdict: "fail",
    seen: "denied: dynamodb:Query",
    advice: "Allow it.",
  },
  { check: "nodes.api", area: "nodes", verdict: "warn", seen: "node\u001b[2J-2", advice: "Look." },
  { check: "hosts.reached", area: "hosts", verdict: "skipped", seen: "none", advice: "Add some." },
];
const plain = { hasColours: false, isTerminal: false, size: () => ({ columns: 80, rows: 24 }) };

test("the table has one line a check, what to do below it, and a count at the end", () => {
  expect(reportTable(findings, plain)).toBe(`Store
  ok       reachable  answered in 3 ms
  FAIL     rights     denied: dynamodb:Query
                      → Allow it.

Nodes
  warn     api        node\\x1b[2J-2
                      → Look.

Hosts
  skipped  reached    none
                      → Add some.

1 to fix, 1 warning, 1 ok, 1 skipped.`);
});

test("the JSON has the verdict of the whole, the counts, and each check with null for no advice", () => {
  expect(JSON.parse(reportJson(findings))).toEqual({
    isHealthy: false,
    counts: { ok: 1, warn: 1, fail: 1, skipped: 1 },
    findings: [
      { check: "store.reachable", verdict: "ok", seen: "answered in 3 ms", advice: null },
      {
        check: "store.rights",
        verdict: "fail",
        seen: "denied: dynamodb:Query",
        advice: "Allow it.",
      },
      { check: "nodes.api", verdict: "warn", seen: "node\u001b[2J-2", advice: "Look." },
      { check: "hosts.reached", verdict: "skipped", seen: "none", advice: "Add some." },
    ],
  });
});

test("warnings alone are healthy", () => {
  const json = JSON.parse(reportJson(findings.filter(({ verdict }) => verdict !== "fail")));
  expect(json).toMatchObject({ isHealthy: true });
});

test("on a terminal lines are wrapped at words, and stay below each other", () => {
  const long: Finding = {
    check: "nodes.api",
    area: "nodes",
    verdict: "ok",
    seen: "3 of 3 answer here: node-1 at http://127.0.0.1:7400, node-2 at http://127.0.0.1:7410",
  };
  const lines = reportTable([long], { ...plain, isTerminal: true }).split("\n");
  expect(lines.slice(1, 3)).toEqual([
    "  ok       api  3 of 3 answer here: node-1 at http://127.0.0.1:7400, node-2 at",
    "                http://127.0.0.1:7410",
  ]);
});

test("a word that is longer than the line is not cut", () => {
  expect(wrap("see http://a.very.long.address now", 10)).toEqual([
    "see",
    "http://a.very.long.address",
    "now",
  ]);
});
