import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DueHosts } from "./due-hosts.ts";

describe("hosts that become due", () => {
  it("are each due once an interval, evenly spread", () => {
    const due = new DueHosts(4, 1_000);
    expect(due.take(-5)).toEqual([]);
    expect(due.take(500)).toEqual([0, 1]);
    expect(due.take(500)).toEqual([]);
    expect(due.take(1_250)).toEqual([2, 3, 0]);
  });

  it("are due three times as often with a factor, and as before after it", () => {
    const due = new DueHosts(6, 600);
    expect(due.take(100, 3)).toEqual([0, 2, 4]);
    expect(due.take(200)).toEqual([1]);
  });

  it("catch up what passed while nobody looked", () => {
    const due = new DueHosts(2, 1_000);
    due.take(500);
    expect(due.take(3_000)).toEqual([1, 0, 1, 0, 1]);
  });

  it("are as many however often one looks", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 40 }), (stepsMs) => {
        const often = new DueHosts(7, 900);
        const once = new DueHosts(7, 900);
        let atMs = 0;
        const seen = stepsMs.flatMap((step) => often.take((atMs += step)));
        expect(seen).toEqual(once.take(atMs));
      }),
    );
  });
});
