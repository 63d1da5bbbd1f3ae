import { describe, expect, it } from "vitest";
import { lossSpreadMsOf } from "./reverse.ts";

describe("over how long a node wants its hosts to come again", () => {
  it.each([
    ["0", 0],
    ["2500", 2_500],
    ["600000", 600_000],
    ["999999999", 600_000],
    ["9999999999", undefined],
    ["2.5", undefined],
    ["-1", undefined],
    ["", undefined],
    ["soon", undefined],
    [undefined, undefined],
    [["1", "2"], undefined],
  ])("%j is %j ms", (text, ms) => {
    expect(lossSpreadMsOf({ "coxswain-loss-spread-ms": text })).toBe(ms);
  });
});
