import { describe, expect, test } from "vitest";
import { systemClock, type Clock } from "./clock.ts";
import { ManualClock } from "./manual-clock.ts";

describe("virtual time", () => {
  test("timers fire in the order of their due times, equal ones in the order of creation", async () => {
    const clock = new ManualClock();
    const fired: string[] = [];
    for (const [name, delayMs] of [
      ["c", 20],
      ["a", 10],
      ["d", 20],
      ["b", 10],
    ] as const) {
      clock.after(delayMs, () => fired.push(`${name}@${clock.monotonicMs()}`));
    }
    await clock.advance(20);
    expect(fired).toEqual(["a@10", "b@10", "c@20", "d@20"]);
    expect(clock.timerCount).toBe(0);
  });

  test("what a timer started has settled before the next one fires", async () => {
    const clock = new ManualClock();
    const seen: string[] = [];
    const chain = async () => {
      for (let step = 0; step < 5; step++) await Promise.resolve();
      seen.push("chain");
    };
    clock.after(10, () => void chain());
    clock.after(10, () => seen.push("timer"));
    await clock.advance(10);
    expect(seen).toEqual(["chain", "timer"]);
  });

  test("timers made on the way fire on the way, and time stops where it was told to", async () => {
    const clock = new ManualClock();
    const fired: number[] = [];
    const again = () => {
      fired.push(clock.monotonicMs());
      clock.after(10, again);
    };
    clock.after(10, again);
    await clock.advance(35);
    expect([fired, clock.monotonicMs(), clock.timerCount]).toEqual([[10, 20, 30], 35, 1]);
  });

  test("a negative delay is now, and a cancelled timer never fires", async () => {
    const clock = new ManualClock();
    const fired: string[] = [];
    clock.after(-5, () => fired.push("now"));
    clock.after(5, () => fired.push("never"))();
    await clock.advance(10);
    expect(fired).toEqual(["now"]);
  });

  test("the wall clock runs with it, from another start", async () => {
    const clock = new ManualClock(1_000);
    await clock.advance(5);
    expect([clock.monotonicMs(), clock.wallMs()]).toEqual([5, 1_005]);
  });
});

describe.each<[string, () => Clock & { advance?: (deltaMs: number) => Promise<void> }]>([
  ["virtual", () => new ManualClock()],
  ["system", () => systemClock],
])("sleeping on the %s clock", (_name, make) => {
  test("ends after the delay", async () => {
    const clock = make();
    const startMs = clock.monotonicMs();
    const sleeping = clock.sleep(5);
    await clock.advance?.(5);
    await sleeping;
    // The machine's timers may be up to a millisecond early.
    expect(clock.monotonicMs() - startMs).toBeGreaterThanOrEqual(4);
  });

  test("ends with the signal's reason when aborted, before or during", async () => {
    const clock = make();
    const reason = new Error("stop");
    await expect(clock.sleep(60_000, AbortSignal.abort(reason))).rejects.toBe(reason);
    const stopping = new AbortController();
    const sleeping = clock.sleep(60_000, stopping.signal);
    stopping.abort(reason);
    await expect(sleeping).rejects.toBe(reason);
  });

  test("turns a reason that is no error into one", async () => {
    await expect(make().sleep(1, AbortSignal.abort("stop"))).rejects.toThrow("stop");
  });
});

test("an aborted sleep leaves no timer, an ended one no listener", async () => {
  const clock = new ManualClock();
  const stopping = new AbortController();
  const sleeping = clock.sleep(1_000, stopping.signal);
  expect(clock.timerCount).toBe(1);
  stopping.abort(new Error("stop"));
  await expect(sleeping).rejects.toThrow("stop");
  expect(clock.timerCount).toBe(0);

  const { signal } = new AbortController();
  let listeners = 0;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    listeners += 1;
    add(...args);
  };
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    listeners -= 1;
    remove(...args);
  };
  const ended = clock.sleep(10, signal);
  expect(listeners).toBe(1);
  await clock.advance(10);
  await ended;
  expect(listeners).toBe(0);
});
