/** A worker thread of the simulator: runs the seeds it is sent, one at a time, and answers each. */
import { parentPort } from "node:worker_threads";
import { runSeed, type SeedOptions } from "./run-seed.ts";

async function answer(options: SeedOptions): Promise<void> {
  const result = await runSeed(options);
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, no window
  parentPort?.postMessage(result);
}

parentPort?.on("message", (options: SeedOptions) => void answer(options));
