import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { labSvg, niceMax, ticks } from "./lab-svg.ts";
import { escapeXml, spread } from "./line-chart.ts";
import { resultsFixture } from "./results-fixture.ts";

describe("the figure", () => {
  const svg = labSvg(resultsFixture());

  it("draws each shape once in each panel, with its name at the end of the line", () => {
    for (const [shape, name] of [
      ["naive", "naive poll"],
      ["push", "push"],
    ]) {
      expect(svg.split(`class="line ${shape}"`)).toHaveLength(3);
      expect(svg.split(`class="label ${shape}"`)).toHaveLength(3);
      expect(svg).toContain(`>${name}</text>`);
    }
    expect(svg).not.toContain('class="line knock"');
  });

  it("needs nothing from elsewhere and follows the reader's colour scheme", () => {
    expect(svg).not.toMatch(/href|url\(|@import|<script/);
    expect(svg).toContain("@media (prefers-color-scheme:dark)");
  });

  it("is well formed whatever the processor is called", () => {
    expect(svg).toContain("Test &lt;processor&gt;");
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });

  it("is drawn from whatever was measured", () => {
    const empty = labSvg(resultsFixture({ points: [], triggerRuns: [] }));
    expect(empty).toContain("No trigger was tried");
    expect(empty).not.toMatch(/NaN|Infinity|undefined/);
  });
});

describe("labels", () => {
  it("stay where they are when they do not touch", () => {
    expect(spread([10, 50, 90], 14, 0, 100)).toEqual([10, 50, 90]);
  });

  it("are moved apart in their order and stay inside", () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0, max: 260, noNaN: true }), { maxLength: 12 }),
        (wanted) => {
          const placed = spread(wanted, 14, 0, 260).toSorted((one, other) => one - other);
          const gaps = placed.slice(1).map((y, index) => y - (placed[index] ?? 0));
          expect(Math.min(14, ...gaps)).toBeGreaterThanOrEqual(14 - 1e-6);
          expect(Math.min(0, ...placed)).toBeGreaterThanOrEqual(-1e-6);
          expect(Math.max(260, ...placed)).toBeLessThanOrEqual(260 + 1e-6);
        },
      ),
    );
  });
});

describe("axes", () => {
  it.each([
    [1, 1],
    [1.1, 1.5],
    [366, 400],
    [0.02, 0.02],
  ])("end for %f at %f", (value, max) => {
    expect(niceMax(value)).toBeCloseTo(max);
  });

  it("have round numbers from nothing to the end", () => {
    expect(ticks(3, 6)).toEqual([0, 0.5, 1, 1.5, 2, 2.5, 3]);
    expect(ticks(400, 5)).toEqual([0, 100, 200, 300, 400]);
  });
});

describe("text in the figure", () => {
  it("cannot end an element", () => {
    expect(escapeXml("a < b & c > d")).toBe("a &lt; b &amp; c &gt; d");
  });
});
