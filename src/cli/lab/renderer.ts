/**
 * Renders one after the other, each at a known cost.
 *
 * `cpu`: a fixed number of steps, found once by the thread's own processor time, so that a machine that is
 * busy with other things makes renders slower, as it would real ones, and not cheaper. `wait`: the renderer is
 * occupied for as long but the processor is not, as if it waited for a database that serves one at a
 * time; the capacity is then known exactly, whatever else runs on the machine.
 */
import { systemClock } from "../../kernel/clock.ts";

export const renderKinds = ["cpu", "wait"] as const;
export type RenderKind = (typeof renderKinds)[number];

/** Begins a render; `done` is called when it is over, at once or later. One at a time. */
export type Render = (done: () => void) => void;

const probeSteps = 200_000;
/** Steps in one call. One long loop would be compiled anew when it is called again, to something of another speed. */
const callSteps = 1_000;
const probeCpuMs = 60;
const probesMax = 2_000;
const steadyRatio = 0.03;
const steadyProbesMax = 10;
/** A late timer is caught up by so much: the capacity is that of a renderer which is never late. */
const catchUpMs = 100;

let sinkhole = 0;

function work(steps: number): void {
  for (let step = 0; step < steps; step += callSteps) sinkhole = mixed(sinkhole | 1);
}

function mixed(value: number): number {
  let state = value;
  for (let step = 0; step < callSteps; step++) {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d);
  }
  return state;
}

function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1_000;
}

/** For `cpu` it takes some tenths of a second itself, to find what a millisecond of work is. */
export function createRender(kind: RenderKind, renderMs: number): Render {
  return kind === "cpu" ? computing(renderMs) : waiting(renderMs);
}

function computing(renderMs: number): Render {
  const steps = Math.max(1, Math.round(renderMs * steadyRate()));
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

/** Steps a millisecond, once the compiler has done what it will. */
function steadyRate(): number {
  let rate = measure();
  for (let probe = 0; probe < steadyProbesMax; probe++) {
    const before = rate;
    rate = measure();
    if (Math.abs(rate - before) < steadyRatio * before) break;
  }
  return rate;
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
