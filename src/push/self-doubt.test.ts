import { describe, expect, it } from "vitest";
import type { HostId } from "../inventory/host.ts";
import { SelfDoubt } from "./self-doubt.ts";

const options = { hostsMin: 20, windowMs: 10_000, holdMaxMs: 30_000 };
const host = (index: number) => `host-${index}` as HostId;

function doubtAfter(hostCount: number, atMs = 0): SelfDoubt {
  const doubt = new SelfDoubt(options);
  for (let index = 0; index < hostCount; index++) doubt.unanswered(host(index), atMs);
  return doubt;
}

describe("self-doubt", () => {
  it("holds verdicts when 20 different hosts do not answer, and not before", () => {
    expect(doubtAfter(19).isHolding(0)).toBe(false);
    expect(doubtAfter(20).isHolding(0)).toBe(true);
  });

  it("does not count one host many times", () => {
    const doubt = new SelfDoubt(options);
    for (let attempt = 0; attempt < 100; attempt++) doubt.unanswered(host(1), attempt);
    expect(doubt.isHolding(100)).toBe(false);
  });

  it("does not add up failures that are far apart", () => {
    const doubt = doubtAfter(19);
    doubt.unanswered(host(19), 10_000);
    expect(doubt.isHolding(10_000)).toBe(false);
  });

  it("ends with the first answer", () => {
    const doubt = doubtAfter(20);
    doubt.answered();
    expect(doubt.isHolding(1)).toBe(false);
    doubt.unanswered(host(1), 2);
    expect(doubt.isHolding(2)).toBe(false);
  });

  it("lets verdicts through after 30 s without an answer, and does not begin again", () => {
    const doubt = doubtAfter(20);
    expect(doubt.isHolding(29_999)).toBe(true);
    expect(doubt.isHolding(30_000)).toBe(false);
    for (let index = 0; index < 50; index++) doubt.unanswered(host(index), 31_000);
    expect(doubt.isHolding(31_000)).toBe(false);
  });

  it("pauses longer with each local error in a row, at most 5 s, and anew after an answer", () => {
    const doubt = new SelfDoubt(options);
    expect([1, 2, 3].map(() => doubt.localError(0))).toEqual([100, 200, 400]);
    for (let error = 0; error < 20; error++) doubt.localError(0);
    expect(doubt.localError(0)).toBe(5_000);
    doubt.answered();
    expect(doubt.localError(0)).toBe(100);
  });
});
