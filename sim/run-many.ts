/** Many seeds on several worker threads; results come as they are ready. */
import { Worker } from "node:worker_threads";
import type { SeedOptions, SeedResult } from "./run-seed.ts";

/** Runs `jobs` in order of arrival; `onResult` returns false to start nothing more. */
export async function runMany(
  jobs: readonly SeedOptions[],
  workersCount: number,
  onResult: (result: SeedResult) => boolean,
): Promise<void> {
  let next = 0;
  let isOver = false;
  const work = (worker: Worker) =>
    new Promise<void>((resolve, reject) => {
      const give = () => {
        const job = isOver ? undefined : jobs[next++];
        if (job === undefined) resolve();
        // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, no window
        else worker.postMessage(job);
      };
      worker.on("message", (result: SeedResult) => {
        if (!onResult(result)) isOver = true;
        give();
      });
      worker.on("error", reject);
      give();
    });
  const workers = Array.from(
    { length: Math.min(workersCount, jobs.length) },
    () => new Worker(new URL("./worker.ts", import.meta.url)),
  );
  try {
    await Promise.all(workers.map(work));
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}
