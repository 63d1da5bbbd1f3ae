/**
 * The order of the scenarios. They share one cluster, and a node that is evicted three times within ten
 * minutes waits half a minute to be let in again: victims take turns, and a restart in good order clears
 * the record. What leaves no cluster comes last. Files that are not named here come before that.
 */
import { basename } from "node:path";
import { BaseSequencer, type TestSpecification } from "vitest/node";

const order = [
  "pause-short",
  "kill",
  "pause-long",
  "cut-from-store",
  "asymmetric-cut",
  "cut-from-hosts",
  "reverse-crowd",
  "packet-loss",
  "rolling-restart",
  "two-versions",
  "full-disk",
  "gray-node",
  "half-the-hosts",
  "knock-flood",
  "stale-objects",
  "image",
  "all-nodes",
  "store-outage",
];
const last = "store-lost";

export class ScenariosInOrder extends BaseSequencer {
  /** Files of other projects stay as they are sorted by default. */
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    // oxlint-disable-next-line unicorn/no-array-sort -- a sequencer's method, not an array's
    const sorted = await super.sort(files);
    const scenarios = sorted.filter(isScenario);
    return [
      ...sorted.filter((file) => !isScenario(file)),
      ...scenarios.toSorted((left, right) => rankOf(left.moduleId) - rankOf(right.moduleId)),
    ];
  }
}

function isScenario({ project }: TestSpecification): boolean {
  return project.name === "chaos";
}

function rankOf(path: string): number {
  const name = basename(path, ".test.ts");
  if (name === last) return order.length + 1;
  const rank = order.indexOf(name);
  return rank < 0 ? order.length : rank;
}
