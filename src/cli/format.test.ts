import { expect, test } from "vitest";
import {
  formatAge,
  formatBytes,
  formatFields,
  formatLabels,
  formatTable,
  printable,
  printableLines,
  shortDigest,
  shorten,
} from "./format.ts";

test("a table has headings, aligned columns and no trailing blanks", () => {
  const table = formatTable(
    ["host", "state"],
    [
      ["edge-1", "ok"],
      ["e", "unreachable"],
    ],
  );
  expect(table).toBe("HOST    STATE\nedge-1  ok\ne       unreachable");
});

test("fields align their values", () => {
  expect(
    formatFields([
      ["id", "a"],
      ["owner", "b"],
    ]),
  ).toBe("id     a\nowner  b");
});

test.each([
  { text: "a\u001b[2Jb", shown: "a\\x1b[2Jb" },
  { text: "line 1\r\n  line 2\n", shown: "line 1 | line 2" },
  { text: "bidi \u202e!", shown: "bidi \\u202e!" },
  { text: "naïve 漢字", shown: "naïve 漢字" },
])("control characters in $text are made visible", ({ text, shown }) => {
  expect(printable(text)).toBe(shown);
});

test("lines keep their number and order behind the indent", () => {
  expect(printableLines("a\n\tb\u0007\n", "  ")).toBe("  a\n    b\\x07");
});

test.each([
  { seconds: 0, age: "0s" },
  { seconds: 119, age: "119s" },
  { seconds: 120, age: "2m" },
  { seconds: 7_199, age: "119m" },
  { seconds: 7_200, age: "2h" },
  { seconds: 172_800, age: "2d" },
  { seconds: -5, age: "0s" },
])("an instant $seconds s ago is $age", ({ seconds, age }) => {
  const nowMs = Date.parse("2026-11-23T06:00:00Z");
  expect(formatAge(new Date(nowMs - 1000 * seconds).toISOString(), nowMs)).toBe(age);
});

test("what is no instant has no age", () => {
  expect([formatAge(null, 0), formatAge("soon", 0)]).toEqual(["-", "-"]);
});

test("labels are sorted, digests cut, sizes rounded, texts shortened", () => {
  expect(formatLabels({ zone: "a", role: "edge" })).toBe("role=edge,zone=a");
  expect(formatLabels({})).toBe("-");
  expect(shortDigest(`sha256:${"ab".repeat(32)}`)).toBe("abababababab");
  expect(shortDigest(null)).toBe("-");
  expect([1023, 1024, 1_572_864].map(formatBytes)).toEqual(["1023 B", "1.0 KiB", "1.5 MiB"]);
  expect([shorten("abc", 3), shorten("abcd", 3)]).toEqual(["abc", "ab…"]);
});
