import { describe, expect, test } from "vitest";
import {
  CoxswainError,
  errorRegistry,
  isCoxswainError,
  messageOf,
  type ErrorCode,
} from "./errors.ts";

const rows = Object.entries(errorRegistry);

describe("the registry", () => {
  test.each(rows)("%s has a code in capitals, an error's status and advice", (code, row) => {
    expect(code).toMatch(/^[A-Z]+(_[A-Z]+)*$/);
    expect(row.status).toBeGreaterThanOrEqual(400);
    expect(row.status).toBeLessThan(600);
    expect(row.next).toMatch(/\S[.!`]$/);
    // 0 is success, 1 and 2 belong to the shell and to unexpected ends.
    expect(row.exitCode).toBeGreaterThanOrEqual(64);
    expect(row.exitCode).toBeLessThanOrEqual(78);
  });

  test("what may be tried again says so with a status that means it", () => {
    const retryable = rows
      .filter(([, row]) => row.retryable)
      .map(([code, { status }]) => [code, status]);
    expect(retryable.filter(([, status]) => status !== 503 && status !== 409)).toEqual([]);
  });
});

describe("an operating error", () => {
  test("carries its row and keeps its cause", () => {
    const cause = new Error("below");
    const error = new CoxswainError("STORE_THROTTLED", "slow down", { cause, details: { a: 1 } });
    expect(error).toMatchObject({
      name: "CoxswainError",
      code: "STORE_THROTTLED",
      message: "slow down",
      cause,
      details: { a: 1 },
      status: 503,
      retryable: true,
      exitCode: 75,
      next: errorRegistry.STORE_THROTTLED.next,
    });
    expect(error).toBeInstanceOf(Error);
  });

  test("without a cause has none, and details are never absent", () => {
    const error = new CoxswainError("INTERNAL", "x");
    expect([Object.hasOwn(error, "cause"), error.details]).toEqual([false, {}]);
  });

  test.each<[unknown, ErrorCode[], boolean]>([
    [new CoxswainError("NOT_FOUND", ""), [], true],
    [new CoxswainError("NOT_FOUND", ""), ["INTERNAL", "NOT_FOUND"], true],
    [new CoxswainError("NOT_FOUND", ""), ["INTERNAL"], false],
    [new Error("NOT_FOUND"), [], false],
    [{ code: "NOT_FOUND" }, ["NOT_FOUND"], false],
    [undefined, [], false],
  ])("%s is recognised by code: %j is %s", (error, codes, expected) => {
    expect(isCoxswainError(error, ...codes)).toBe(expected);
  });
});

test.each<[unknown, string]>([
  [new Error("no"), "no"],
  ["text", "text"],
  [undefined, "undefined"],
])("anything thrown has a text: %s", (error, text) => {
  expect(messageOf(error)).toBe(text);
});
