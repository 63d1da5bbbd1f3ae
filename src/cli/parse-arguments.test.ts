import { Readable } from "node:stream";
import { expect, test } from "vitest";
import { CoxswainError } from "../kernel/errors.ts";
import {
  parseDuration,
  parseGoal,
  parseInteger,
  parseLabels,
  readInput,
} from "./parse-arguments.ts";

test.each([
  ["--for", () => parseGoal("100.1%")],
  ["--for", () => parseGoal("most")],
  ["--for", () => parseGoal("-1")],
  ["--timeout", () => parseDuration("--timeout", "soon")],
  ["--timeout", () => parseDuration("--timeout", "0s")],
  ["--limit", () => parseInteger("--limit", "1e3", 1, 10)],
  ["--limit", () => parseInteger("--limit", "11", 1, 10)],
  ["--label", () => parseLabels(["=edge"])],
  ["--label", () => parseLabels(["role"])],
] as const)("%s refuses a value that breaks its rule", (name, parse) => {
  expect(parse).toThrow(CoxswainError);
  expect(parse).toThrow(new RegExp(`^Expected ${name} to be .+, got `));
});

test("good values become values", () => {
  expect(parseGoal("99.5%")).toEqual({ kind: "percent", percent: 99.5 });
  expect(parseGoal("150")).toEqual({ kind: "count", count: 150 });
  expect(parseDuration("--timeout", "2m")).toBe(120_000);
  expect(parseInteger("--limit", "10", 1, 10)).toBe(10);
  expect(parseLabels(["role=edge, zone=a", "note=x=y"])).toEqual({
    role: "edge",
    zone: "a",
    note: "x=y",
  });
});

test("input over the limit and files that cannot be read are refused", async () => {
  const stdin = Readable.from([Buffer.from("12345"), Buffer.from("678")]);
  await expect(readInput("-", stdin, 7)).rejects.toMatchObject({ code: "REQUEST_TOO_LARGE" });
  await expect(readInput("/nowhere/at/all", stdin, 7)).rejects.toMatchObject({
    code: "INPUT_UNREADABLE",
  });
});

test("standard input is read whole", async () => {
  const stdin = Readable.from([Buffer.from("123"), Buffer.from("45")]);
  expect((await readInput("-", stdin, 5)).toString()).toBe("12345");
});
