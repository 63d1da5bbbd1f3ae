/** What a run of the laboratory found; the JSON output is this value. */
import type { Counts, Recovery } from "./goodput.ts";
import type { Shape, TriggerKind } from "./lab-scene.ts";
import type { RenderKind } from "./renderer.ts";

export interface LabOptions {
  readonly hosts: number;
  /** What a render occupies: the processor, or the renderer alone. */
  readonly render: RenderKind;
  readonly renderMs: number;
  readonly timeoutMs: number;
  readonly intervalMs: number;
  readonly shapes: readonly Shape[];
  /** Offered load as multiples of the capacity. */
  readonly loads: readonly number[];
  readonly triggers: readonly TriggerKind[];
  readonly isQuick: boolean;
}

/** One shape under one steady load; rates a second. */
export interface LoadPoint {
  readonly shape: Shape;
  readonly load: number;
  readonly offered: number;
  /** Calls made, retries included. */
  readonly tries: number;
  readonly good: number;
  /** Renders the control plane made, useful or not. */
  readonly renders: number;
  /** What it could make at that time: measured anew for each scene where the machine is busy. */
  readonly capacity: number;
}

/** One shape through one trigger. */
export interface TriggerRun extends Recovery {
  readonly shape: Shape;
  readonly trigger: TriggerKind;
  readonly capacity: number;
  readonly fromMs: number;
  readonly forMs: number;
  /** From the start of the scene, a quarter of a second each. */
  readonly buckets: readonly Counts[];
}

export interface LabResults {
  readonly options: LabOptions;
  readonly machine: {
    readonly processor: string;
    readonly cores: number;
    readonly runtime: string;
    /** Of the last minute, at start and end. */
    readonly loadAverages: readonly [number, number];
    /** Cores of control plane and fleet; undefined: not pinned. */
    readonly pinned: readonly [number, number] | undefined;
    /** Part of the calibration in which the control plane had its core. */
    readonly cpuRatio: number;
  };
  /** Renders a second with nothing else to do, measured. */
  readonly capacityPerSecond: number;
  /** What the control plane allows itself where it sets the pace. */
  readonly pacePerSecond: number;
  /** Hosts by interval. */
  readonly demandPerSecond: number;
  /** Load at which triggers were tried, as a multiple of the capacity. */
  readonly triggerLoad: number;
  readonly points: readonly LoadPoint[];
  readonly triggerRuns: readonly TriggerRun[];
}
