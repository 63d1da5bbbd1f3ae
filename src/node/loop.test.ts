import { expect, test } from "vitest";
import { CoxswainError } from "../kernel/errors.ts";
import { silentLogger, type Logger } from "../kernel/log.ts";
import { ManualClock } from "../kernel/manual-clock.ts";
import { runLoop } from "./loop.ts";

function started(
  turn: (count: number, clock: ManualClock, signal: AbortSignal) => Promise<void> | void,
) {
  const clock = new ManualClock();
  const stopping = new AbortController();
  const lines: string[] = [];
  const log: Logger = {
    ...silentLogger,
    info: (_fields, message) => lines.push(message),
    warn: (fields, message) => lines.push(`${message}: ${(fields as { err: string }).err}`),
  };
  const atMs: number[] = [];
  const loop = runLoop({
    clock,
    log,
    signal: stopping.signal,
    everyMs: 100,
    turn: () => {
      atMs.push(clock.monotonicMs());
      return turn(atMs.length, clock, stopping.signal);
    },
  });
  return { clock, stopping, lines, atMs, loop };
}

test("turns follow each other at the interval, counted from the end of a turn", async () => {
  const { clock, stopping, atMs, loop } = started((_count, time) => time.sleep(50));
  await clock.advance(400);
  expect(atMs).toEqual([0, 150, 300]);
  stopping.abort(new Error("stop"));
  await clock.advance(200);
  await loop;
  expect(clock.timerCount).toBe(0);
});

test("stopping in the pause ends the loop at once and leaves no timer", async () => {
  const { clock, stopping, atMs, loop } = started(() => {});
  await clock.advance(10);
  stopping.abort(new Error("stop"));
  await loop;
  expect([atMs, clock.timerCount]).toEqual([[0], 0]);
});

const away = (text: string) => new CoxswainError("STORE_UNAVAILABLE", text);

test("an operating error is logged once until it changes or passes, and turns go on", async () => {
  const { clock, stopping, lines, atMs, loop } = started((count) => {
    if (count <= 3) throw away("away");
    if (count === 4) throw away("still away");
  });
  await clock.advance(550);
  expect(atMs).toHaveLength(6);
  expect(lines).toEqual(["turn failed: away", "turn failed: still away", "working again"]);
  stopping.abort(new Error("stop"));
  await loop;
});

test("a defect ends the loop", async () => {
  const { loop, atMs } = started(() => {
    throw new TypeError("a defect");
  });
  await expect(loop).rejects.toThrow("a defect");
  expect(atMs).toHaveLength(1);
});

test("an error of a turn that was told to stop is no failure", async () => {
  const { clock, stopping, lines, loop } = started((_count, time, signal) =>
    time.sleep(1_000, signal),
  );
  await clock.advance(10);
  stopping.abort(new Error("stop"));
  await loop;
  expect(lines).toEqual([]);
});

test("a signal that is aborted before means no turn at all", async () => {
  const clock = new ManualClock();
  let turns = 0;
  await runLoop({
    clock,
    log: silentLogger,
    signal: AbortSignal.abort(),
    everyMs: 1,
    turn: () => {
      turns += 1;
    },
  });
  expect(turns).toBe(0);
});
