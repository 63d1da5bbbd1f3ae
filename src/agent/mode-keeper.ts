/**
 * Runs the drivers of an agent's modes: those that `mode-choice.ts` says, until the agent stops.
 *
 * A driver that ends with a defect is started again after a pause: an agent without any way to its owner
 * could only be mended by hand.
 */
import assert from "node:assert/strict";
import type { Clock } from "../kernel/clock.ts";
import { messageOf } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";
import type { HostMode } from "../protocol/host-mode.ts";
import { ModeChoice, returnAfterDefaultMs } from "./mode-choice.ts";
import type { ModeDriver } from "./mode-driver.ts";

export interface ModeKeeperOptions {
  /** How long after its last proof a mode that is dialled counts as quiet. */
  readonly quietAfterMs: number;
  readonly fallbackAfterMs?: Partial<Record<HostMode, number>> | undefined;
  readonly returnAfterMs?: number | undefined;
}

/** Reverse and poll prove themselves all the time; an object is looked at every five minutes at most. */
const fallbackDefaults = { reverse: 30_000, poll: 30_000, object: 11 * 60_000 } as const;
const looksPerFallback = 10;
const lookEveryMaxMs = 5_000;
const restartAfterMs = 60_000;

interface Running {
  readonly stop: AbortController;
  readonly ended: Promise<void>;
}

export class ModeKeeper {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #drivers: readonly ModeDriver[];
  readonly #fallbackAfterMs: readonly number[];
  readonly #returnAfterMs: number;
  readonly #running: Running[] = [];

  /** `drivers`: best first, at least one. */
  constructor(
    { clock, log }: { readonly clock: Clock; readonly log: Logger },
    drivers: readonly ModeDriver[],
    { quietAfterMs, fallbackAfterMs, returnAfterMs }: ModeKeeperOptions,
  ) {
    assert(drivers.length > 0, "an agent has at least one mode");
    this.#clock = clock;
    this.#log = log;
    this.#drivers = drivers;
    const defaults = { dial: quietAfterMs, knock: quietAfterMs, ...fallbackDefaults };
    this.#fallbackAfterMs = drivers.map(({ mode }) => fallbackAfterMs?.[mode] ?? defaults[mode]);
    this.#returnAfterMs = returnAfterMs ?? returnAfterDefaultMs;
  }

  /** Until `signal` aborts; every driver has ended when it resolves. */
  async run(signal: AbortSignal): Promise<void> {
    const choice = new ModeChoice(
      { fallbackAfterMs: this.#fallbackAfterMs, returnAfterMs: this.#returnAfterMs },
      this.#clock.monotonicMs(),
    );
    this.#start(signal);
    try {
      if (this.#drivers.length > 1) await this.#look(choice, signal);
    } finally {
      await Promise.all(this.#running.map(({ ended }) => ended));
    }
  }

  async #look(choice: ModeChoice, signal: AbortSignal): Promise<void> {
    const everyMs = Math.min(
      lookEveryMaxMs,
      ...this.#fallbackAfterMs.map((ms) => ms / looksPerFallback),
    );
    while (!signal.aborted) {
      try {
        await this.#clock.sleep(everyMs, signal);
      } catch (error) {
        if (signal.aborted) return;
        throw error;
      }
      const worked = this.#drivers.map((driver) => driver.workedAtMs());
      const change = choice.step(worked, this.#clock.monotonicMs());
      if (change === undefined) continue;
      const mode = this.#drivers[change.mode]?.mode;
      const { returnAfterMs } = choice;
      if (change.kind === "fellBack") {
        this.#log.warn({ mode, returnAfterMs }, "better modes show no sign of work: fell back");
        this.#start(signal);
      } else {
        this.#log.info({ mode }, "a better mode works again: returned");
        await this.#stopBelow(choice.runningCount);
      }
    }
  }

  /** Starts the next driver. */
  #start(signal: AbortSignal): void {
    const driver = this.#drivers[this.#running.length];
    assert(driver !== undefined, "no mode is left to start");
    const stop = new AbortController();
    const ended = this.#drive(driver, AbortSignal.any([signal, stop.signal]));
    this.#running.push({ stop, ended });
  }

  async #stopBelow(count: number): Promise<void> {
    const stopped = this.#running.splice(count);
    for (const { stop } of stopped) stop.abort(new Error("A better mode works again"));
    await Promise.all(stopped.map(({ ended }) => ended));
  }

  /** Never rejects. */
  async #drive(driver: ModeDriver, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await driver.run(signal);
        return;
      } catch (error) {
        if (signal.aborted) return;
        this.#log.error({ mode: driver.mode, error: messageOf(error) }, "mode ended; starts again");
        // An abort ends the pause, and with it the loop.
        await this.#clock.sleep(restartAfterMs, signal).catch(() => {});
      }
    }
  }
}
