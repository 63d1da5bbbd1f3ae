import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PaceControl } from "./pace-control.ts";

const everyMs = 500;
const inFlightMax = 256;
const floor = 16;
const pushesPerSecond = 10_000;
const rateRatioMin = 0.25;

/** How long a push takes with so many in flight at once. */
type Fleet = (inFlight: number) => number;

/** Hosts that share nothing: each takes its time, whatever the others do. */
const own =
  (latencyMs: number): Fleet =>
  () =>
    latencyMs;
/** Hosts behind one thing that serves so many a second: the rest wait in its queue. */
const shared =
  (perSecond: number, latencyMs = 1): Fleet =>
  (inFlight) =>
    Math.max(latencyMs, (inFlight * 1_000) / perSecond);

/** Pushes as many as the limit allows to a fleet, on virtual time. */
class Pushing {
  readonly control = new PaceControl({ pushesPerSecond, inFlightMax, lagHighMs: 100 });
  atMs = 0;
  readonly limits: number[] = [];

  /** `wanted`: pushes in flight where the limit leaves room for them. */
  run(fleet: Fleet, intervals: number, { lagMs = 0, wanted = inFlightMax, slowHosts = 0 } = {}) {
    for (let interval = 0; interval < intervals; interval++) {
      const inFlight = Math.min(wanted, Math.floor(this.control.inFlightLimit));
      const latencyMs = fleet(inFlight);
      const startedMs = this.atMs;
      this.atMs += Math.max(everyMs, latencyMs);
      for (let push = 0; push < 20; push++) {
        this.control.replied("full", startedMs, push < slowHosts ? 5_000 : latencyMs);
      }
      this.control.adapt({
        atMs: this.atMs,
        lagMs,
        peakInFlight: inFlight,
        isFull: inFlight + 1 >= Math.floor(this.control.inFlightLimit),
      });
      this.limits.push(this.control.inFlightLimit);
    }
    return this;
  }
}

const signals = fc.record({
  lagMs: fc.nat(300),
  peakInFlight: fc.nat(400),
  isFull: fc.boolean(),
  latenciesMs: fc.array(fc.nat(20_000), { maxLength: 30 }),
  form: fc.constantFrom("short" as const, "full" as const),
  ageMs: fc.nat(10_000),
});

describe("the control of the pace", () => {
  it("stays between its bounds, whatever comes in", () => {
    fc.assert(
      fc.property(
        fc.array(signals, { maxLength: 80 }),
        fc.integer({ min: 1, max: 500 }),
        (all, max) => {
          const control = new PaceControl({ pushesPerSecond, inFlightMax: max, lagHighMs: 100 });
          let atMs = 0;
          for (const { lagMs, peakInFlight, isFull, latenciesMs, form, ageMs } of all) {
            for (const latencyMs of latenciesMs) control.replied(form, atMs - ageMs, latencyMs);
            atMs += everyMs;
            control.adapt({ atMs, lagMs, peakInFlight, isFull });
            expect(control.inFlightLimit).toBeLessThanOrEqual(max);
            expect(control.inFlightLimit).toBeGreaterThanOrEqual(Math.min(max, 4));
            expect(control.rateRatio).toBeLessThanOrEqual(1);
            expect(control.rateRatio).toBeGreaterThanOrEqual(rateRatioMin);
          }
        },
      ),
    );
  });

  it("is back at the configured pace after a minute of calm, whatever came before", () => {
    fc.assert(
      fc.property(fc.array(signals, { maxLength: 40 }), (all) => {
        const pushing = new Pushing();
        for (const { lagMs, peakInFlight, isFull, latenciesMs, form } of all) {
          for (const latencyMs of latenciesMs)
            pushing.control.replied(form, pushing.atMs, latencyMs);
          pushing.atMs += everyMs;
          pushing.control.adapt({ atMs: pushing.atMs, lagMs, peakInFlight, isFull });
        }
        pushing.run(own(5), 120);
        expect(pushing.control.inFlightLimit).toBe(inFlightMax);
        expect(pushing.control.rateRatio).toBe(1);
      }),
    );
  });

  it.each([20, 200, 3_000])(
    "gives hosts that took 1 ms and now take %i ms their places back",
    (latencyMs) => {
      const pushing = new Pushing().run(own(1), 20).run(own(latencyMs), 20);
      expect(pushing.control.inFlightLimit).toBe(inFlightMax);
      expect(Math.min(...pushing.limits)).toBeGreaterThan(inFlightMax / 2);
    },
  );

  it("finds what a shared bottleneck takes when its capacity falls, and stays there", () => {
    const pushing = new Pushing().run(shared(20_000), 20).run(shared(200), 30);
    // Beyond 20 in flight its queue alone takes 100 ms.
    expect(Math.max(...pushing.limits.slice(-10))).toBeLessThan(inFlightMax / 3);
    expect(Math.min(...pushing.limits.slice(-10))).toBeGreaterThanOrEqual(floor);
  });

  it("returns to all places when the bottleneck is gone", () => {
    const pushing = new Pushing().run(shared(20_000), 20).run(shared(200), 30).run(own(1), 40);
    expect(pushing.control.inFlightLimit).toBe(inFlightMax);
  });

  it("takes few slow hosts among many for what they are", () => {
    const pushing = new Pushing().run(own(1), 20).run(own(1), 20, { slowHosts: 6 });
    expect(Math.min(...pushing.limits)).toBe(inFlightMax);
  });

  it("judges pushes with contents apart from short ones", () => {
    const { control } = new Pushing().run(own(800), 10);
    for (let interval = 0; interval < 20; interval++) {
      const atMs = 5_000 + interval * everyMs;
      // A rollout after an hour of sweeps: other work, other times.
      const form = interval < 10 ? "short" : "full";
      for (let push = 0; push < 20; push++) control.replied(form, atMs, form === "short" ? 1 : 800);
      control.adapt({ atMs: atMs + everyMs, lagMs: 0, peakInFlight: inFlightMax, isFull: true });
      expect(control.inFlightLimit).toBe(inFlightMax);
    }
  });

  it("does not take places from a node that uses few of them", () => {
    const pushing = new Pushing().run(own(1), 10, { wanted: 4 }).run(own(900), 10, { wanted: 10 });
    expect(Math.min(...pushing.limits)).toBe(inFlightMax);
  });

  it("lowers rate and places while the event loop is late, whatever replies take, and raises both after", () => {
    const pushing = new Pushing().run(own(1), 5).run(own(1), 20, { lagMs: 150 });
    expect(pushing.control.inFlightLimit).toBe(floor);
    expect(pushing.control.rateRatio).toBe(rateRatioMin);
    pushing.run(own(1), 20, { lagMs: 0 });
    expect(pushing.control.inFlightLimit).toBe(inFlightMax);
    expect(pushing.control.rateRatio).toBe(1);
  });

  it("does not lower a rate that costs next to nothing", () => {
    const control = new PaceControl({ pushesPerSecond: 400, inFlightMax, lagHighMs: 100 });
    for (let round = 1; round <= 20; round++) {
      control.adapt({ atMs: round * everyMs, lagMs: 500, peakInFlight: 9, isFull: false });
    }
    expect(control.rateRatio).toBe(1);
    expect(control.inFlightLimit).toBe(floor);
  });

  it("judges a trial by pushes that began after it, not by those that were under way", () => {
    const pushing = new Pushing().run(own(1), 10).run(own(400), 1);
    const { control } = pushing;
    const lowered = control.inFlightLimit;
    const trialMs = pushing.atMs;
    for (let push = 0; push < 20; push++) control.replied("full", trialMs - 300, 400);
    control.adapt({ atMs: trialMs + everyMs, lagMs: 0, peakInFlight: 200, isFull: true });
    expect(control.inFlightLimit).toBe(lowered);
    for (let push = 0; push < 20; push++) control.replied("full", trialMs + 100, 240);
    control.adapt({ atMs: trialMs + 2 * everyMs, lagMs: 0, peakInFlight: 150, isFull: true });
    // Faster than before, so that it goes on; the replies under way would have ended it.
    expect(control.inFlightLimit).toBeLessThan(lowered);
  });

  it("is back at its rate two seconds after a long stall, and slower where the loop is still busy", () => {
    const rested = new Pushing().run(own(5), 12, { lagMs: 300 }).run(own(5), 4, { lagMs: 10 });
    expect(rested.control.rateRatio).toBe(1);
    const busy = new Pushing().run(own(5), 12, { lagMs: 300 }).run(own(5), 4, { lagMs: 40 });
    expect(busy.control.rateRatio).toBe(rateRatioMin + 4 / 16);
  });

  it("holds the rate while the lag is neither high nor low", () => {
    const pushing = new Pushing().run(own(1), 3, { lagMs: 150 });
    const { rateRatio } = pushing.control;
    pushing.run(own(1), 10, { lagMs: 70 });
    expect(pushing.control.rateRatio).toBe(rateRatio);
  });

  it("learns nothing from replies that waited for a late event loop", () => {
    const pushing = new Pushing().run(own(1), 10).run(own(2_000), 10, { lagMs: 1_500 });
    pushing.run(shared(200), 10);
    // Slow is still told from usual, which was not raised.
    expect(pushing.control.inFlightLimit).toBeLessThan(inFlightMax / 3);
  });

  it("ends a trial that gets no replies", () => {
    const pushing = new Pushing().run(own(1), 10).run(own(200), 1);
    const { control } = pushing;
    const lowered = control.inFlightLimit;
    expect(lowered).toBeLessThan(inFlightMax);
    for (let interval = 0; interval < 29; interval++) {
      pushing.atMs += everyMs;
      control.adapt({ atMs: pushing.atMs, lagMs: 0, peakInFlight: 0, isFull: false });
    }
    expect(control.inFlightLimit).toBe(lowered);
    for (let interval = 0; interval < 10; interval++) {
      pushing.atMs += everyMs;
      control.adapt({ atMs: pushing.atMs, lagMs: 0, peakInFlight: 0, isFull: false });
    }
    expect(control.inFlightLimit).toBe(inFlightMax);
  });
});
