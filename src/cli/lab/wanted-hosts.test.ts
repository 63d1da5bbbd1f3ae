import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { WantedHosts } from "./wanted-hosts.ts";

describe("hosts that wait for a config", () => {
  it("wait once, however often they want one, in the order they came", () => {
    const wanted = new WantedHosts(1_000, 0);
    for (const host of [3, 1, 3, 2, 1]) wanted.want(host);
    expect(wanted.length).toBe(3);
    expect([wanted.take(10), wanted.take(10), wanted.take(10), wanted.take(10)]).toEqual([
      3,
      1,
      2,
      undefined,
    ]);
  });

  it("are taken no faster than the pace", () => {
    const wanted = new WantedHosts(100, 0);
    for (let host = 0; host < 10; host++) wanted.want(host);
    expect(wanted.take(5)).toBeUndefined();
    expect(wanted.take(10)).toBe(0);
    expect(wanted.take(10)).toBeUndefined();
    expect(wanted.take(20)).toBe(1);
  });

  it("are never taken faster than the pace after a rest, but for a small burst", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 2_000 }), { maxLength: 60 }), (stepsMs) => {
        const wanted = new WantedHosts(200, 0);
        for (let host = 0; host < 5_000; host++) wanted.want(host);
        let atMs = 0;
        let taken = 0;
        for (const step of stepsMs) {
          atMs += step;
          while (wanted.take(atMs) !== undefined) taken++;
        }
        expect(taken).toBeLessThanOrEqual(200 * (atMs / 1_000) + 1e-6);
        const inOneTurn = 200 * 0.25;
        expect(taken).toBeLessThanOrEqual(inOneTurn * stepsMs.length);
      }),
    );
  });
});
