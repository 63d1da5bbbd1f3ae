/**
 * Plays the scenes of the laboratory one after the other and adds up what was seen.
 *
 * Two child processes live for the whole run: the control plane and the fleet. A scene begins at a moment that
 * both are told and starts from nothing: no queue, no connection, no file is left of the one before.
 */
import { mkdir, rm } from "node:fs/promises";
import { cpus, loadavg } from "node:os";
import { join } from "node:path";
import type { Clock } from "../../kernel/clock.ts";
import { childEnv } from "../demo/child-process.ts";
import { bucketMs, meanPerSecond, noCounts, recoveryOf, type Counts } from "./goodput.ts";
import {
  demandOf,
  fullTimes,
  paceRatio,
  planScenes,
  quickTimes,
  sceneOf,
  triggerLoadOf,
  type Play,
} from "./lab-plan.ts";
import { LabProcess, pin } from "./lab-process.ts";
import type { LabOptions, LabResults, LoadPoint, TriggerRun } from "./lab-results.ts";
import { machineMs, type Scene, type Trigger } from "./lab-scene.ts";

export interface LabPorts {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Empty folder for logs and objects. */
  readonly dir: string;
  /** A scene begins. */
  onScene(play: Play, index: number, count: number): void;
  onCalibrated(capacityPerSecond: number, cpuRatio: number): void;
}

/** Both processes have heard of it by then. */
const startInMs = 100;
/** With less of its core than this the control plane is measured again before each scene. */
const quietRatio = 0.9;
const measureAgainMs = 400;
/** A scene that takes so much longer than planned has failed. */
const graceMs = 20_000;

export async function runLab(options: LabOptions, ports: LabPorts): Promise<LabResults> {
  const { clock, dir, signal } = ports;
  const env = childEnv(ports.env);
  const start = (name: string, file: string) =>
    new LabProcess(name, new URL(file, import.meta.url), dir, clock, env);
  const controlPlane = start("control-plane", "./control-plane.ts");
  const fleet = start("fleet", "./fleet.ts");
  try {
    const pinned = await pin(controlPlane, fleet);
    const loadBefore = loadavg()[0] ?? 0;
    const times = options.isQuick ? quickTimes : fullTimes;
    const { capacityPerSecond, cpuRatio } = await controlPlane.ask(
      {
        kind: "calibrate",
        render: options.render,
        renderMs: options.renderMs,
        forMs: times.calibrateMs,
      },
      "calibrated",
      signal,
    );
    ports.onCalibrated(capacityPerSecond, cpuRatio);
    const triggerLoad = triggerLoadOf(options, capacityPerSecond);
    const plays = planScenes(options, times, triggerLoad);
    const points: LoadPoint[] = [];
    const triggerRuns: TriggerRun[] = [];
    let capacity = capacityPerSecond;
    for (const [index, play] of plays.entries()) {
      ports.onScene(play, index, plays.length);
      if (cpuRatio < quietRatio) {
        const measure = { kind: "measure", forMs: measureAgainMs } as const;
        const measured = await controlPlane.ask(measure, "calibrated", signal);
        capacity = measured.capacityPerSecond;
      }
      const scene = sceneOf(play, options, capacity, {
        number: index,
        dir: join(dir, `objects-${index}`),
      });
      const seen = await playScene(play, scene, { controlPlane, fleet }, signal);
      if (play.trigger === undefined) points.push(pointOf(play, capacity, seen));
      else triggerRuns.push(triggerRunOf(play, play.trigger, capacity, seen));
    }
    return {
      options,
      machine: {
        processor: cpus()[0]?.model ?? "unknown",
        cores: cpus().length,
        runtime: `Node ${process.versions.node}`,
        loadAverages: [loadBefore, loadavg()[0] ?? 0],
        pinned,
        cpuRatio,
      },
      capacityPerSecond,
      pacePerSecond: paceRatio * capacityPerSecond,
      demandPerSecond: demandOf(options),
      triggerLoad,
      points,
      triggerRuns,
    };
  } finally {
    await Promise.all([controlPlane.stop(), fleet.stop()]);
  }
}

interface Seen {
  readonly buckets: readonly Counts[];
  readonly renders: readonly number[];
}

async function playScene(
  play: Play,
  scene: Scene,
  { controlPlane, fleet }: { controlPlane: LabProcess; fleet: LabProcess },
  signal: AbortSignal,
): Promise<Seen> {
  await mkdir(scene.dir);
  const [served, called] = await Promise.all([
    controlPlane.ask({ kind: "prepare", scene }, "prepared", signal),
    fleet.ask({ kind: "prepare", scene }, "prepared", signal),
  ]);
  const places = { http: 0, knock: 0, hosts: [], ...served.ports, ...called.ports };
  const buckets: Counts[] = [];
  const watched = new Promise<void>((resolve) => {
    fleet.onBucket = ({ scene: of, index, counts }) => {
      if (of !== scene.number) return;
      buckets[index] = counts;
      if (isEnough(play, buckets)) resolve();
    };
  });
  await fleet.ask({ kind: "connect", ports: places }, "connected", signal);
  const startMs = machineMs() + startInMs;
  const begin = { kind: "begin", startMs, ports: places } as const;
  await Promise.all([controlPlane.ask(begin, "begun", signal), fleet.ask(begin, "begun", signal)]);
  await fleet.whileRunning(watched, scene.durationMs + graceMs, signal);
  const [{ renders }] = await Promise.all([
    controlPlane.ask({ kind: "end" }, "ended", signal),
    fleet.ask({ kind: "end" }, "ended", signal),
  ]);
  await rm(scene.dir, { recursive: true, force: true });
  return { buckets: Array.from(buckets, (counts) => counts ?? noCounts), renders };
}

/** The time is over; or, but after an outage, which is drawn, the goodput is back. */
function isEnough({ durationMs, trigger, settledMs }: Play, buckets: readonly Counts[]): boolean {
  if (buckets.length * bucketMs >= durationMs) return true;
  if (trigger === undefined || trigger.kind === "outage") return false;
  const good = buckets.map((counts) => counts.good);
  const { fromMs, forMs } = trigger;
  const recovery = recoveryOf(good, { settledMs, fromMs, untilMs: fromMs + forMs });
  return recovery.recoveredAfterMs !== undefined;
}

function pointOf(
  { shape, load, settledMs, durationMs }: Play,
  capacity: number,
  { buckets, renders }: Seen,
): LoadPoint {
  const rate = (values: readonly number[]) => meanPerSecond(values, settledMs, durationMs);
  return {
    shape,
    load,
    capacity,
    offered: rate(buckets.map(({ offered }) => offered)),
    tries: rate(buckets.map(({ tries }) => tries)),
    good: rate(buckets.map(({ good }) => good)),
    renders: rate(padded(renders, buckets.length)),
  };
}

/** Buckets without a render are missing at the end. */
function padded(values: readonly number[], length: number): number[] {
  return Array.from({ length }, (_, index) => values[index] ?? 0);
}

function triggerRunOf(
  { shape, settledMs }: Play,
  { kind, fromMs, forMs }: Trigger,
  capacity: number,
  { buckets }: Seen,
): TriggerRun {
  const good = buckets.map((counts) => counts.good);
  const recovery = recoveryOf(good, { settledMs, fromMs, untilMs: fromMs + forMs });
  return { shape, trigger: kind, capacity, fromMs, forMs, buckets, ...recovery };
}
