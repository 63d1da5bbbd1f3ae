/**
 * Processor time of other processes, to the nanosecond. On a machine that is shared with other work it says
 * what a system costs where wall times do not. Linux only: elsewhere there is none to be read.
 */
import { readdirSync, readFileSync } from "node:fs";

/** Milliseconds on a processor since their start, of all threads of `pids`; NaN where it cannot be read. */
export function cpuMsOf(pids: readonly number[]): number {
  try {
    return pids.reduce((sum, pid) => sum + cpuMs(pid), 0);
  } catch {
    return Number.NaN;
  }
}

function cpuMs(pid: number): number {
  let nanoseconds = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const schedstat = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8");
    nanoseconds += Number(schedstat.split(" ")[0]);
  }
  return nanoseconds / 1e6;
}
