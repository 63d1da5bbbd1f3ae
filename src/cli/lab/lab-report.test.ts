import { describe, expect, it } from "vitest";
import { formatLab, sceneText, wrap } from "./lab-report.ts";
import { resultsFixture } from "./results-fixture.ts";

const plain = (_: string, text: string) => text;
const marked = (colour: string, text: string) => (colour === "red" ? `!${text}!` : text);

describe("the report", () => {
  it("shows goodput as part of the capacity and marks what collapsed", () => {
    const text = formatLab(resultsFixture(), marked, 80);
    expect(text).toMatch(/^\(wanted\) +50 % +200 %$/m);
    expect(text).toMatch(/^naive poll +50 % +!3 %!$/m);
    expect(text).toMatch(/^push +50 % +79 %$/m);
  });

  it("says how each shape came through each trigger", () => {
    const text = formatLab(resultsFixture(), plain, 80);
    expect(text).toMatch(/^naive poll +60 +0 +not within 2 s$/m);
    expect(text).toMatch(/^push +60 +0 +at once$/m);
  });

  it("warns where the machine was busy with other things, and only there", () => {
    const busy = { ...resultsFixture().machine, cpuRatio: 0.3 };
    expect(formatLab(resultsFixture({ machine: busy }), plain, 80)).toContain("30 % of the time");
    expect(formatLab(resultsFixture(), plain, 80)).not.toContain("of the time only");
  });

  it("says where processes were not pinned", () => {
    const free = { ...resultsFixture().machine, pinned: undefined };
    expect(formatLab(resultsFixture({ machine: free }), plain, 80)).toContain("not pinned");
  });

  it("keeps to the width of the terminal", () => {
    const advice = formatLab(resultsFixture(), plain, 72).split("What this means")[1] ?? "";
    for (const line of advice.split("\n")) expect(line.length).toBeLessThanOrEqual(72);
  });
});

describe("wrapped text", () => {
  it("breaks between words and indents what follows", () => {
    expect(wrap("one two three four five six", 20, 2)).toBe("one two three four\n  five six");
  });
});

describe("the progress line", () => {
  it("names the shape and its load or trigger", () => {
    expect(sceneText("naive", 0.3, undefined)).toBe("naive poll, load 0.3");
    expect(sceneText("push", 0.7, "outage")).toBe("push, outage");
  });
});
