/**
 * One scenario: a promise, and what is done to a cluster to break it.
 *
 * Scenarios share one running cluster, whichever file they are in. Each ends with the same check of
 * everything that every host wrote down since the cluster began. A cluster that a scenario failed on
 * is thrown away with it.
 */
import { describe, expect, inject, it } from "vitest";
import { ChaosCluster } from "./harness.ts";

interface ScenarioOptions {
  /** Longest run, cluster start and check included. Default 4 minutes. */
  readonly timeoutMs?: number;
  /** Starts a cluster of its own, and leaves none: for what cannot be healed. */
  readonly isDestructive?: boolean;
}

const timeoutDefaultMs = 240_000;

export function chaosScenario(
  promise: string,
  act: (cluster: ChaosCluster) => Promise<void>,
  { timeoutMs = timeoutDefaultMs, isDestructive = false }: ScenarioOptions = {},
): void {
  const images = inject("chaosImages");
  describe.skipIf(images === null)(promise, () => {
    it("holds", { timeout: timeoutMs }, async () => {
      if (images === null) return;
      const cluster = await ChaosCluster.open(images, { isFresh: isDestructive });
      const startedAtMs = performance.now();
      let isSound = false;
      try {
        await act(cluster);
        if (!isDestructive) await cluster.heal();
        expect(await cluster.violations({ isReported: !isDestructive })).toEqual([]);
        await cluster.removeAddedHosts();
        isSound = !isDestructive;
      } catch (error) {
        console.error(await cluster.describeTrouble());
        throw error;
      } finally {
        if (!isSound) await cluster.remove();
      }
      const seconds = ((performance.now() - startedAtMs) / 1_000).toFixed(1);
      console.log(`chaos: ${promise}: ${seconds} s, ${cluster.summary}`);
    });
  });
}
