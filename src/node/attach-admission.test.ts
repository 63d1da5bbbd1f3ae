import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AttachAdmission, lossSpreadMs, retryAfterMaxSeconds } from "./attach-admission.ts";
import { createRandom } from "../kernel/random.ts";

const calm = { linkCount: 0, lagMs: 0, isDraining: false };
const limits = { attachesPerSecond: 100, linksMax: 1_000, lagMaxMs: 200 };

describe("whether there is room", () => {
  it.each([
    ["draining", { ...calm, isDraining: true }],
    ["full", { ...calm, linkCount: 1_000 }],
    ["lagging", { ...calm, lagMs: 201 }],
    [undefined, { ...calm, linkCount: 999, lagMs: 200 }],
  ])("%s", (reason, situation) => {
    expect(new AttachAdmission(limits, 0).refusal(situation, 0)).toBe(reason);
  });

  it("lets one in at a time where the rate is below one a burst", () => {
    const admission = new AttachAdmission({ ...limits, attachesPerSecond: 1 }, 0);
    expect(admission.refusal(calm, 0)).toBeUndefined();
    admission.admit(0);
    expect(admission.refusal(calm, 0)).toBe("rate");
    expect(admission.refusal(calm, 999)).toBe("rate");
    expect(admission.refusal(calm, 1_000)).toBeUndefined();
  });

  it("never lets in more than the rate and one burst, in any span of time", () => {
    const steps = fc.array(fc.nat({ max: 60 }), { minLength: 1, maxLength: 400 });
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 500 }), (gaps, attachesPerSecond) => {
        const admission = new AttachAdmission({ ...limits, attachesPerSecond }, 0);
        const burst = Math.max(1, attachesPerSecond / 10);
        const admittedMs: number[] = [];
        let atMs = 0;
        for (const gap of gaps) {
          atMs += gap < 40 ? 0 : gap;
          if (admission.refusal(calm, atMs) !== undefined) continue;
          admission.admit(atMs);
          admittedMs.push(atMs);
        }
        for (let from = 0; from < admittedMs.length; from++) {
          for (let to = from; to < admittedMs.length; to++) {
            const spanMs = (admittedMs[to] ?? 0) - (admittedMs[from] ?? 0);
            const allowed = burst + (spanMs / 1_000) * attachesPerSecond;
            expect(to - from + 1).toBeLessThanOrEqual(allowed + 1e-6);
          }
        }
      }),
    );
  });

  it("is not fooled by a clock that stands still or goes back", () => {
    const admission = new AttachAdmission({ ...limits, attachesPerSecond: 1 }, 5_000);
    admission.admit(5_000);
    expect(admission.refusal(calm, 1_000)).toBe("rate");
    expect(admission.refusal(calm, 5_999)).toBe("rate");
  });
});

describe("when to come again", () => {
  it("spreads a herd at the rate that is let in", () => {
    const random = createRandom("herd");
    const admission = new AttachAdmission(limits, 0);
    const perSecond = new Map<number, number>();
    for (let index = 0; index < 2_000; index++) {
      const seconds = admission.retryAfterSeconds("rate", 0, random.next());
      perSecond.set(seconds, (perSecond.get(seconds) ?? 0) + 1);
    }
    expect(perSecond.size).toBeGreaterThanOrEqual(20);
    expect(Math.max(...perSecond.keys())).toBeLessThanOrEqual(21);
    for (const count of perSecond.values()) expect(count).toBeLessThanOrEqual(130);
  });

  it("stays within its bounds however many are refused, and stays spread", () => {
    const random = createRandom("crowd");
    const admission = new AttachAdmission({ ...limits, attachesPerSecond: 10 }, 0);
    const late = new Map<number, number>();
    for (let index = 0; index < 5_000; index++) {
      const seconds = admission.retryAfterSeconds("rate", 0, random.next());
      expect(seconds).toBeGreaterThanOrEqual(1);
      expect(seconds).toBeLessThanOrEqual(retryAfterMaxSeconds);
      if (index > 1_000) late.set(seconds, (late.get(seconds) ?? 0) + 1);
    }
    expect(late.size).toBeGreaterThanOrEqual(retryAfterMaxSeconds / 2);
  });

  it("forgets those who have had their turn", () => {
    const admission = new AttachAdmission(limits, 0);
    for (let index = 0; index < 500; index++) admission.retryAfterSeconds("rate", 0, 0);
    expect(admission.retryAfterSeconds("rate", 0, 0)).toBe(6);
    expect(admission.retryAfterSeconds("rate", 10_000, 0)).toBe(1);
  });

  it("sends hosts of a node that is leaving elsewhere soon, and those of a full one not back soon", () => {
    const admission = new AttachAdmission(limits, 0);
    expect(admission.retryAfterSeconds("draining", 0, 0.99)).toBe(2);
    expect(admission.retryAfterSeconds("full", 0, 0)).toBeGreaterThanOrEqual(15);
  });
});

describe("over how long hosts come again whose node is lost", () => {
  it.each([
    ["four fifths of the others' rate", 2_000, 2, 2_500],
    ["the node's own rate where it has no others", 2_000, 0, 25_000],
    ["never less than half a second", 10, 2, 500],
    ["never more than a minute", 1_000_000, 2, 60_000],
  ])("%s", (_rule, links, others, ms) => {
    const attachesPerSecond = others === 0 ? 100 : 500;
    expect(lossSpreadMs(links, others, { attachesPerSecond })).toBe(ms);
  });

  it("is long enough that nearly all of them are let in at their first try", () => {
    const random = createRandom("lost");
    const others = Array.from({ length: 2 }, () => new AttachAdmission(limits, 0));
    const spreadMs = lossSpreadMs(2_000, others.length, limits);
    const times = Array.from({ length: 2_000 }, () => random.next() * spreadMs);
    let refused = 0;
    for (const atMs of times.toSorted((a, b) => a - b)) {
      const other = others[Math.floor(random.next() * others.length)];
      if (other?.refusal(calm, atMs) === undefined) other?.admit(atMs);
      else refused++;
    }
    expect(refused).toBeLessThan(60);
  });
});
