/**
 * Renders at the control plane's own pace, one host after the other, and hands on what is rendered.
 *
 * One render a turn of the event loop: connections are served between renders, as a server with one
 * thread would. Whether hosts become due by themselves or say so (`want`) is the shape's business.
 */
import { systemClock } from "../../kernel/clock.ts";
import { bucketMs } from "./goodput.ts";
import { configText, machineMs, type Scene } from "./lab-scene.ts";
import type { Render } from "./renderer.ts";
import { WantedHosts } from "./wanted-hosts.ts";

/** How often an idle renderer looks again. */
const idleTickMs = 2;

/** Renders made, by bucket of the scene's time. */
export class RenderCounter {
  readonly buckets: number[] = [];

  count(atMs: number): void {
    const index = Math.floor(atMs / bucketMs);
    if (index < 0) return;
    while (this.buckets.length <= index) this.buckets.push(0);
    this.buckets[index] = (this.buckets[index] ?? 0) + 1;
  }
}

export interface PacedRendererPorts {
  readonly render: Render;
  readonly counter: RenderCounter;
  readonly deliver: (host: number, text: string) => void;
  /** Hosts due at `atMs`, where the control plane knows by itself. */
  readonly due: (atMs: number) => readonly number[];
}

export class PacedRenderer {
  readonly #ports: PacedRendererPorts;
  readonly #wanted: WantedHosts;
  #startMs = 0;
  #isStopped = false;
  #cancel: (() => void) | undefined;

  constructor(scene: Scene, ports: PacedRendererPorts) {
    this.#ports = ports;
    this.#wanted = new WantedHosts(scene.pacePerSecond, 0);
  }

  want(host: number): void {
    this.#wanted.want(host);
  }

  /** Begins at `startMs` of the machine's clock. */
  start(startMs: number): void {
    this.#startMs = startMs;
    this.#sleep(Math.max(0, startMs - machineMs()));
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel?.();
  }

  #sleep(delayMs: number): void {
    this.#cancel = systemClock.after(delayMs, () => this.#step());
  }

  #step(): void {
    if (this.#isStopped) return;
    const { render, counter, deliver, due } = this.#ports;
    const atMs = machineMs() - this.#startMs;
    for (const host of due(atMs)) this.#wanted.want(host);
    const host = this.#wanted.take(atMs);
    if (host === undefined) {
      this.#sleep(idleTickMs);
      return;
    }
    const renderedMs = machineMs();
    render(() => {
      if (this.#isStopped) return;
      counter.count(machineMs() - this.#startMs);
      deliver(host, configText(host, renderedMs));
      setImmediate(() => this.#step());
    });
  }
}
