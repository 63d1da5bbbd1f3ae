import { expect, test } from "vitest";
import { ProcessClock } from "./process-clock.ts";
import { Timeline } from "./timeline.ts";

const freezes: readonly {
  readonly title: string;
  /** Lengths in turn: frozen, running, frozen ... */
  readonly turnsMs: readonly number[];
  readonly isSuspended: boolean;
  readonly longestMs: number;
}[] = [
  { title: "one freeze", turnsMs: [2_000], isSuspended: false, longestMs: 2_000 },
  {
    title: "one that begins as another ends",
    turnsMs: [2_000, 0, 2_500],
    isSuspended: false,
    longestMs: 4_500,
  },
  {
    title: "the same three times, suspended",
    turnsMs: [2_000, 0, 2_500, 0, 1_000],
    isSuspended: true,
    longestMs: 5_500,
  },
  {
    title: "two with the shortest life between them",
    turnsMs: [2_000, 1, 2_500],
    isSuspended: false,
    longestMs: 2_500,
  },
];

test.each(freezes)(
  "the longest freeze of $title is $longestMs ms, before it is over and after",
  async ({ turnsMs, isSuspended, longestMs }) => {
    const timeline = new Timeline();
    const clock = new ProcessClock(timeline);
    const pass = (durationMs: number) => timeline.run(timeline.nowMs + durationMs, () => false);
    await pass(1_000);
    const fromLocalMs = clock.monotonicMs();
    for (const [index, turnMs] of turnsMs.entries()) {
      if (index % 2 === 0) clock.freeze(isSuspended);
      else clock.resume();
      await pass(turnMs);
    }
    expect(clock.longestFreezeMs(0)).toBe(longestMs);
    clock.resume();
    expect(clock.longestFreezeMs(0)).toBe(longestMs);
    expect(clock.longestFreezeMs(timeline.nowMs + 1)).toBe(0);
    const passedMs = turnsMs.reduce((sum, turnMs) => sum + turnMs, 0);
    expect(clock.monotonicMs() - fromLocalMs).toBe(isSuspended ? 0 : passedMs);
  },
);

test("what waits for a frozen process reaches it only after the freeze that continues the first", async () => {
  const timeline = new Timeline();
  const clock = new ProcessClock(timeline);
  let heardAtMs: number | undefined;
  clock.freeze();
  clock.deliver(() => {
    heardAtMs = timeline.nowMs;
  });
  await timeline.run(2_000, () => false);
  clock.resume();
  clock.freeze();
  await timeline.run(5_000, () => false);
  expect(heardAtMs).toBeUndefined();
  clock.resume();
  await timeline.run(5_001, () => false);
  expect(heardAtMs).toBe(5_000);
});
