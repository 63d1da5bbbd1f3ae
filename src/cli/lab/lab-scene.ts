/**
 * What is compared: the shapes, the triggers, and one scene of the laboratory, which is one shape under
 * one load for some seconds.
 *
 * Every scene asks for the same: each host gets a config rendered for it once an interval. Times within a
 * scene count from its start; both processes agree on that start by the machine's monotonic clock.
 */
export const shapes = [
  "naive",
  "backoff",
  "hardened",
  "object",
  "push",
  "reverse",
  "knock",
] as const;
export type Shape = (typeof shapes)[number];

export const shapeNames: Readonly<Record<Shape, string>> = {
  naive: "naive poll",
  backoff: "poll + backoff",
  hardened: "hardened poll",
  object: "object",
  push: "push",
  reverse: "reverse",
  knock: "knock",
};

/** In the poll shapes the hosts decide when the control plane works; in the others it does. */
export function isPoll(shape: Shape): boolean {
  return shape === "naive" || shape === "backoff" || shape === "hardened";
}

export const triggerKinds = ["frequency", "outage", "failures"] as const;
export type TriggerKind = (typeof triggerKinds)[number];

export const triggerNames: Readonly<Record<TriggerKind, string>> = {
  frequency: "calls three times as often",
  outage: "control plane stands still",
  failures: "half of the exchanges lost",
};

/** How much more often hosts call, or want something, while the call-frequency bug lasts. */
export const frequencyFactor = 3;
/** Part of the exchanges that are lost while failures last. */
export const lostRatio = 0.5;

export interface Trigger {
  readonly kind: TriggerKind;
  readonly fromMs: number;
  readonly forMs: number;
}

export interface Scene {
  readonly number: number;
  readonly shape: Shape;
  readonly hosts: number;
  /** Each host should get a fresh config once in this time. */
  readonly intervalMs: number;
  /** After this the receiver has given up. */
  readonly timeoutMs: number;
  /** Measured: renders a second with nothing else to do. */
  readonly capacityPerSecond: number;
  /** Renders a second that the control plane allows itself where it sets the pace. */
  readonly pacePerSecond: number;
  readonly durationMs: number;
  readonly trigger: Trigger | undefined;
  /** Empty folder; where objects lie. */
  readonly dir: string;
}

export function isDuring(trigger: Trigger | undefined, kind: TriggerKind, atMs: number): boolean {
  if (trigger?.kind !== kind) return false;
  return atMs >= trigger.fromMs && atMs < trigger.fromMs + trigger.forMs;
}

/** Milliseconds of the machine's monotonic clock, the same in all its processes. */
export function machineMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** When a host that found no new object looks again: reading is cheap, and hosts should not flood even that. */
export function rereadMsOf(timeoutMs: number): number {
  return Math.max(500, timeoutMs);
}

export function hostName(index: number): string {
  return `host-${index}`;
}

export function hostIndex(name: string): number {
  return Number(name.slice("host-".length));
}

/** Content of one config: who it is for and when its rendering began; a little under 512 bytes. */
export function configText(host: number, renderedMs: number): string {
  return `host=${host} rendered=${renderedMs.toFixed(3)} ${"setting=value ".repeat(32)}`;
}

/** When the rendering of a config began; undefined where the text holds none. */
export function renderedMsOf(text: string): number | undefined {
  const start = text.indexOf("rendered=");
  const value = Number.parseFloat(text.slice(start + "rendered=".length, start + 40));
  return start === -1 || Number.isNaN(value) ? undefined : value;
}
