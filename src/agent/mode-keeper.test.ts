import { expect, it } from "vitest";
import { silentLogger, type Logger } from "../kernel/log.ts";
import { ManualClock } from "../kernel/manual-clock.ts";
import type { HostMode } from "../protocol/host-mode.ts";
import type { ModeDriver } from "./mode-driver.ts";
import { ModeKeeper } from "./mode-keeper.ts";

/** Works while `isUp`, and writes down when it starts and stops. */
class FakeDriver implements ModeDriver {
  isUp = false;
  defectsCount = 0;
  readonly log: string[] = [];
  readonly mode: HostMode;
  readonly #clock: ManualClock;
  #workedAtMs: number | undefined;

  constructor(mode: HostMode, clock: ManualClock) {
    this.mode = mode;
    this.#clock = clock;
  }

  workedAtMs(): number | undefined {
    if (this.isUp) this.#workedAtMs = this.#clock.monotonicMs();
    return this.#workedAtMs;
  }

  async run(signal: AbortSignal): Promise<void> {
    this.log.push(`start ${this.#clock.monotonicMs() / 1_000}`);
    if (this.defectsCount-- > 0) throw new Error("a defect");
    const stopped = Promise.withResolvers<never>();
    signal.addEventListener("abort", () => stopped.reject(signal.reason as Error));
    await stopped.promise.finally(() => this.log.push(`stop ${this.#clock.monotonicMs() / 1_000}`));
  }
}

function keeping(modes: readonly HostMode[], defectsCount = 0) {
  const clock = new ManualClock();
  const drivers = modes.map((mode) => new FakeDriver(mode, clock));
  for (const driver of drivers) driver.defectsCount = defectsCount;
  const errors: unknown[] = [];
  const log: Logger = { ...silentLogger, error: (...line: unknown[]) => void errors.push(line) };
  const keeper = new ModeKeeper({ clock, log }, drivers, { quietAfterMs: 180_000 });
  const stopping = new AbortController();
  const ended = keeper.run(stopping.signal);
  const stop = async () => {
    stopping.abort(new Error("the test is over"));
    await ended;
    expect(clock.timerCount).toBe(0);
    expect(errors).toHaveLength(defectsCount);
  };
  return { clock, drivers, stop };
}

it("runs the only mode, works it or not, without a timer of its own", async () => {
  const { clock, drivers, stop } = keeping(["poll"]);
  await clock.advance(3_600_000);
  expect(drivers[0]?.log).toEqual(["start 0"]);
  expect(clock.timerCount).toBe(0);
  await stop();
  expect(drivers[0]?.log).toEqual(["start 0", "stop 3600"]);
});

it("starts the next mode beside a quiet one and stops it once that works again", async () => {
  const { clock, drivers, stop } = keeping(["dial", "poll"]);
  const [dial, poll] = drivers as [FakeDriver, FakeDriver];
  poll.isUp = true;
  await clock.advance(600_000);
  expect(poll.log).toEqual(["start 180"]);
  dial.isUp = true;
  await clock.advance(600_000);
  expect(poll.log).toEqual(["start 180", "stop 723"]);
  dial.isUp = false;
  await clock.advance(600_000);
  expect(poll.log.slice(2)).toEqual(["start 1380"]);
  expect(dial.log).toEqual(["start 0"]);
  await stop();
  expect([dial.log.length, poll.log.length]).toEqual([2, 4]);
});

it("starts a mode again a minute after it ended with a defect", async () => {
  const { clock, drivers, stop } = keeping(["poll"], 2);
  await clock.advance(600_000);
  expect(drivers[0]?.log).toEqual(["start 0", "start 60", "start 120"]);
  await stop();
  expect(drivers[0]?.log).toHaveLength(4);
});
