import { describe, expect, it } from "vitest";
import { PauseWatch } from "./pause-watch.ts";

describe("a pause of the process", () => {
  it("is a gap longer than the maximum", () => {
    const watch = new PauseWatch(2_500);
    expect(watch.tick(1_000)).toBeUndefined();
    expect(watch.tick(3_500)).toBeUndefined();
    expect(watch.isOverdue(6_000)).toBe(false);
    expect(watch.isOverdue(6_001)).toBe(true);
    expect(watch.tick(6_001)).toBe(2_501);
    expect(watch.isPaused).toBe(true);
  });

  it("ends with a read that began after it was noticed, not with one that was under way", () => {
    const watch = new PauseWatch(2_500);
    watch.tick(0);
    watch.tick(60_000);
    watch.readFinished(0);
    expect(watch.isPaused).toBe(true);
    watch.readFinished(60_000);
    expect(watch.isPaused).toBe(false);
  });
});
