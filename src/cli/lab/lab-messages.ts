/** What the laboratory's parent process says to its two children, and they to it. */
import type { Counts } from "./goodput.ts";
import type { Scene } from "./lab-scene.ts";
import type { RenderKind } from "./renderer.ts";

/** Where the other process is reached, on 127.0.0.1; 0 where the shape needs none. */
export interface Ports {
  /** Where the control plane is polled, or hosts attach. */
  readonly http: number;
  readonly knock: number;
  /** Where each host is dialled; empty where none is. */
  readonly hosts: readonly number[];
}

export type LabCommand =
  /** Makes the render that all scenes use, and measures it. */
  | {
      readonly kind: "calibrate";
      readonly render: RenderKind;
      readonly renderMs: number;
      readonly forMs: number;
    }
  /** Measures it again, for a machine that has other work as well. */
  | { readonly kind: "measure"; readonly forMs: number }
  /** Opens what the other side needs; the answer says where. */
  | { readonly kind: "prepare"; readonly scene: Scene }
  /** Opens what stays open through the scene; answered when that is done. */
  | { readonly kind: "connect"; readonly ports: Ports }
  | { readonly kind: "begin"; readonly startMs: number; readonly ports: Ports }
  | { readonly kind: "end" };

export type LabAnswer =
  | {
      readonly kind: "calibrated";
      readonly capacityPerSecond: number;
      /** Part of the wall time in which the process had the processor. */
      readonly cpuRatio: number;
    }
  | { readonly kind: "prepared"; readonly ports: Partial<Ports> }
  | { readonly kind: "connected" }
  | { readonly kind: "begun" }
  /** Renders made, by bucket. */
  | { readonly kind: "ended"; readonly renders: readonly number[] }
  | { readonly kind: "failed"; readonly message: string };

/** Sent unasked by the fleet when a bucket of time has passed. */
export interface BucketMessage {
  readonly kind: "bucket";
  readonly scene: number;
  readonly index: number;
  readonly counts: Counts;
}

export type Numbered<T> = T & { readonly id: number };
