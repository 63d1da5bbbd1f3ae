import { describe, expect, it } from "vitest";
import { advise } from "./advise.ts";
import { pointFixture, resultsFixture, runFixture } from "./results-fixture.ts";

describe("advice", () => {
  it("names the fleet in the reader's own numbers", () => {
    expect(advise(resultsFixture()).fleet).toBe(
      "600 hosts, each with a fresh config every 10 s, want 60 renders/s; at 10 ms each, one core made 100/s: a load of 0.60. Callers give up after 1 s.",
    );
  });

  it("says of a shape that collapsed under which load and after which trigger", () => {
    const [naive] = advise(resultsFixture()).shapes;
    expect(naive?.verdict).toBe("collapses");
    expect(naive?.why).toMatch(
      /^At 2x it delivers 3 % of what was possible; not back from the outage within 2 s\. /,
    );
  });

  it("measures a shape that sets its pace by that pace, not by the capacity", () => {
    const push = advise(resultsFixture()).shapes[1];
    expect(push?.verdict).toBe("holds");
    expect(push?.why).toMatch(/^Never under 99 % of what was possible\. /);
  });

  it.each([
    { name: "one load", points: [pointFixture("push", 2, 39)], triggerRuns: [] },
    {
      name: "one trigger",
      points: [pointFixture("push", 2, 80)],
      triggerRuns: [runFixture("push", "failures", undefined)],
    },
  ])("holds nothing that $name broke", ({ points, triggerRuns }) => {
    const advice = advise(resultsFixture({ points, triggerRuns }));
    expect(advice.shapes[1]?.verdict).toBe("collapses");
    expect(advice.conclusion).toBe(
      "No shape in which the control plane sets the pace held in this run.",
    );
  });

  it("says how long the whole fleet takes at the pace", () => {
    expect(advise(resultsFixture()).conclusion).toBe(
      "In push the pace is the control plane's: the whole fleet in 7.5 s, whatever hosts do; choose by the network (docs/shapes.md).",
    );
  });

  it("does not promise what no pace can deliver", () => {
    const { conclusion } = advise(resultsFixture({ demandPerSecond: 90 }));
    expect(conclusion).toMatch(/^This load is more than one control plane can render \(80\/s/);
  });
});
