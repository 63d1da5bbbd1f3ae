/**
 * One scenario: a promise, and what is done to a cluster to break it.
 *
 * Scenarios share one running cluster, whichever file they are in. Each ends with the same check of
 * everything that every host wrote down since the cluster began. A cluster that a scenario failed on
 * is thrown away with it.
 */
import { describe, expect, inject, it } from "vitest";
import { messageOf } from "../../src/kernel/errors.ts";
import { ChaosCluster } from "./harness.ts";
import { addToRun } from "./run-record.ts";

interface ScenarioOptions {
  /** Longest run, cluster start and check included. Default 4 minutes. */
  readonly timeoutMs?: number;
  /** What it usually takes, for who has not time for all. Default 40 s. */
  readonly usualMs?: number;
  /** Leaves no cluster: for what cannot be healed. */
  readonly isDestructive?: boolean;
  /** Nodes that are to be evicted; the eviction of any other breaks the promise. Default none. */
  readonly evicts?: readonly string[];
}

const timeoutDefaultMs = 240_000;
const usualDefaultMs = 40_000;

export function chaosScenario(
  promise: string,
  act: (cluster: ChaosCluster) => Promise<void>,
  {
    timeoutMs = timeoutDefaultMs,
    usualMs = usualDefaultMs,
    isDestructive = false,
    evicts = [],
  }: ScenarioOptions = {},
): void {
  const images = inject("chaosImages");
  const endsAtMs = inject("chaosEndsAtMs") ?? Infinity;
  describe.skipIf(images === null)(promise, () => {
    it("holds", { timeout: timeoutMs }, async ({ skip }) => {
      if (images === null) return;
      if (Date.now() + usualMs > endsAtMs) {
        console.warn(`chaos: left out, because the time for the suite is over: ${promise}`);
        skip("the time for the suite is over");
      }
      const startedAtMs = performance.now();
      const cluster = await ChaosCluster.open(images);
      let isPassed = false;
      try {
        await act(cluster);
        if (!isDestructive) await cluster.heal();
        expect(await cluster.violations({ isReported: !isDestructive })).toEqual([]);
        expect(await cluster.findings.evictionsBeside(evicts, cluster.nodes)).toEqual([]);
        await cluster.removeAddedHosts();
        isPassed = true;
      } catch (error) {
        // The reporter says why only when the last scenario is over.
        console.error(`${messageOf(error)}\n${await cluster.describeTrouble()}`);
        throw error;
      } finally {
        const seconds = (performance.now() - startedAtMs) / 1_000;
        await addToRun({ scenario: promise, isPassed, seconds, ...cluster.findings.record() });
        if (!isPassed || isDestructive) await cluster.remove();
      }
    });
  });
}
