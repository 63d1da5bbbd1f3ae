import { join } from "node:path";
import { defineConfig } from "vitest/config";
import { ScenariosInOrder } from "./integration/chaos/in-order.ts";

export default defineConfig({
  test: {
    // Sorts the files of the project `chaos` alone.
    sequence: { sequencer: ScenariosInOrder },
    // Tests start a hundred node processes: all but the first find the program compiled.
    env: { NODE_COMPILE_CACHE: join(import.meta.dirname, ".cache", "node-compile") },
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: [
            "src/**/*.test.ts",
            "bench/**/*.test.ts",
            "scripts/**/*.test.ts",
            "integration/chaos/checker.test.ts",
          ],
          testTimeout: 20_000,
          // Left to itself it leaves a core idle, and of two that is half.
          maxWorkers: "100%",
        },
      },
      {
        extends: true,
        test: {
          name: "sim",
          include: ["sim/**/*.test.ts"],
          // On virtual time, so that it may run at the lowest priority beside other tests.
          testTimeout: 400_000,
        },
      },
      {
        extends: true,
        test: {
          name: "integration",
          include: ["integration/*.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 60_000,
          // Most of their time is waiting; two at a time also means that nodes are starved now and then.
          maxWorkers: 2,
        },
      },
      {
        extends: true,
        test: {
          name: "chaos",
          include: ["integration/chaos/*.test.ts"],
          exclude: ["integration/chaos/checker.test.ts"],
          globalSetup: ["integration/chaos/global-setup.ts"],
          testTimeout: 300_000,
          hookTimeout: 300_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
