/**
 * Renders one after the other, each at a known cost.
 *
 * `cpu`: a fixed number of steps, found once by the thread's own processor time, so that a machine that is
 * busy with other things makes renders slower, as it would real ones, and not cheaper. `wait`: the renderer is
 * occupied for as long but the processor is not, as if it waited for a database that serves one at a
 * time; the capacity is then known exactly, whatever else runs on the machine.
 */
import { createHash } from "node:crypto";
import { systemClock } from "../../kernel/clock.ts";

export const renderKinds = ["cpu", "wait"] as const;
export type RenderKind = (typeof renderKinds)[number];

/** Begins a render; `done` is called when it is over, at once or later. One at a time. */
export type Render = (done: () => void) => void;

const probeSteps = 100;
const probeCpuMs = 60;
const probesMax = 2_000;
/** A late timer is caught up by so much: the capacity is that of a renderer which is never late. */
const catchUpMs = 100;

/** A step digests it. A loop in JavaScript costs what the compiler has made of it by then, a third or three times as much. */
const block = Buffer.alloc(8 * 1024);

function work(steps: number): void {
  const hash = createHash("sha256");
  for (let step = 0; step < steps; step++) hash.update(block);
  hash.digest();
}

function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1_000;
}

/** For `cpu` it takes about a tenth of a second itself, to find what a millisecond of work is. */
export function createRender(kind: RenderKind, renderMs: number): Render {
  return kind === "cpu" ? computing(renderMs) : waiting(renderMs);
}

function computing(renderMs: number): Render {
  measure(); // Once for the caches.
  const steps = Math.max(1, Math.round(renderMs * measure()));
  return (done) => {
    work(steps);
    done();
  };
}

function waiting(renderMs: number): Render {
  let freeAtMs = performance.now();
  return (done) => {
    const atMs = performance.now();
    freeAtMs = Math.max(freeAtMs, atMs - catchUpMs) + renderMs;
    if (freeAtMs <= atMs) done();
    else systemClock.after(freeAtMs - atMs, done);
  };
}

function measure(): number {
  const startMs = cpuMs();
  let steps = 0;
  for (let probe = 0; probe < probesMax && cpuMs() - startMs < probeCpuMs; probe++) {
    work(probeSteps);
    steps += probeSteps;
  }
  return steps / Math.max(0.001, cpuMs() - startMs);
}

/** Renders a second over `forMs`, one a turn of the event loop, and the part of that time with a processor. */
export async function measureCapacity(
  kind: RenderKind,
  render: Render,
  forMs: number,
): Promise<{ readonly capacityPerSecond: number; readonly cpuRatio: number }> {
  const startMs = performance.now();
  const cpuStartMs = cpuMs();
  let count = 0;
  while (performance.now() - startMs < forMs) {
    await new Promise<void>((resolve) => {
      render(() => setImmediate(resolve));
    });
    count++;
  }
  const tookMs = performance.now() - startMs;
  const cpuRatio = kind === "cpu" ? Math.min(1, (cpuMs() - cpuStartMs) / tookMs) : 1;
  return { capacityPerSecond: (count * 1_000) / tookMs, cpuRatio };
}
