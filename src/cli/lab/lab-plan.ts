/**
 * Which scenes a run plays and how long each takes: a quick run in less than a minute, a full one in about six.
 *
 * A poll shape under more than its capacity needs a while to fall: its queue grows by the difference and
 * harms nobody before it is as long as the timeout. So it settles longest where the load is just above the
 * capacity, and only what follows counts.
 */
import { isPoll, rereadMsOf, type Scene, type Shape, type Trigger } from "./lab-scene.ts";
import type { LabOptions } from "./lab-results.ts";

/** Where the control plane sets the pace, so much of its capacity; the rest is for sending. */
export const paceRatio = 0.8;
/** Triggers are tried where there is something left to lose. */
const triggerLoadMax = 0.7;

export interface LabTimes {
  readonly settleMs: number;
  readonly settleMaxMs: number;
  readonly measureMs: number;
  /** Before a trigger, the settling included. */
  readonly leadInMs: number;
  readonly triggerMs: number;
  readonly outageMs: number;
  /** After a trigger, at most; an outage is always watched to the end. */
  readonly observeMs: number;
  readonly calibrateMs: number;
}

export const fullTimes: LabTimes = {
  settleMs: 1_000,
  settleMaxMs: 3_500,
  measureMs: 1_500,
  leadInMs: 2_500,
  triggerMs: 3_000,
  outageMs: 4_000,
  observeMs: 8_000,
  calibrateMs: 1_500,
};

export const quickTimes: LabTimes = {
  settleMs: 500,
  settleMaxMs: 1_000,
  measureMs: 500,
  leadInMs: 1_250,
  triggerMs: 1_000,
  outageMs: 1_000,
  observeMs: 2_500,
  calibrateMs: 500,
};

export const fullLoads: readonly number[] = [0.3, 0.7, 1, 1.5, 2, 3];
export const quickLoads: readonly number[] = [0.5, 2];

/** One scene, its load still a multiple of a capacity that is measured when it begins. */
export interface Play {
  readonly shape: Shape;
  readonly load: number;
  readonly durationMs: number;
  readonly trigger: Trigger | undefined;
  /** From here on counts, to the end or to the trigger. */
  readonly settledMs: number;
}

export function triggerLoadOf(options: LabOptions, capacityPerSecond: number): number {
  return Math.min(demandOf(options) / capacityPerSecond, triggerLoadMax);
}

/** Configs wanted a second. */
export function demandOf({ hosts, intervalMs }: LabOptions): number {
  return (hosts * 1_000) / intervalMs;
}

/** All scenes, shape by shape within each load and trigger, so that noise of the machine meets all alike. */
export function planScenes(options: LabOptions, times: LabTimes, triggerLoad: number): Play[] {
  const { loads, shapes, triggers } = options;
  const steady = loads.flatMap((load) =>
    shapes.map((shape): Play => {
      const settledMs = settleMsOf(shape, load, options.timeoutMs, times);
      const durationMs = settledMs + times.measureMs;
      return { shape, load, settledMs, durationMs, trigger: undefined };
    }),
  );
  const troubled = triggers.flatMap((kind) =>
    shapes.map((shape): Play => {
      const { settleMs: settledMs, leadInMs: fromMs, observeMs } = times;
      const forMs = kind === "outage" ? times.outageMs : times.triggerMs;
      const durationMs = fromMs + forMs + observeMs;
      return { shape, load: triggerLoad, settledMs, durationMs, trigger: { kind, fromMs, forMs } };
    }),
  );
  return [...steady, ...troubled];
}

export function sceneOf(
  { shape, load, durationMs, trigger }: Play,
  { hosts, timeoutMs }: LabOptions,
  capacityPerSecond: number,
  place: { readonly number: number; readonly dir: string },
): Scene {
  const intervalMs = (hosts * 1_000) / (load * capacityPerSecond);
  const pacePerSecond = paceRatio * capacityPerSecond;
  const rates = { intervalMs, capacityPerSecond, pacePerSecond };
  return { ...place, ...rates, shape, hosts, timeoutMs, durationMs, trigger };
}

function settleMsOf(shape: Shape, load: number, timeoutMs: number, times: LabTimes): number {
  const { settleMs, settleMaxMs } = times;
  const isOverPace = load > paceRatio;
  if (shape === "object" && isOverPace) return settleMs + 2 * rereadMsOf(timeoutMs);
  if (load <= 1 || !isPoll(shape)) return settleMs;
  return Math.min(settleMaxMs, settleMs + (1.2 * timeoutMs) / (load - 1));
}
