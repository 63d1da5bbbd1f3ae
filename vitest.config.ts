import { defineConfig } from "vitest/config";
import { ScenariosInOrder } from "./integration/chaos/in-order.ts";

export default defineConfig({
  test: {
    // Sorts the files of the project `chaos` alone.
    sequence: { sequencer: ScenariosInOrder },
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
        },
      },
      {
        extends: true,
        test: {
          name: "sim",
          include: ["sim/**/*.test.ts"],
          testTimeout: 120_000,
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
