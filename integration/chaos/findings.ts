/**
 * What one scenario found out: the checker's verdict, who was evicted, how long hosts waited. Counts
 * are those of the scenario alone, though the cluster, and with it every log, may be older.
 */
import assert from "node:assert/strict";
import type { Digest } from "../../src/protocol/digest.ts";
import type { Verdict } from "./checker.ts";
import type { ClusterHistory, Eviction } from "./cluster-history.ts";
import type { Ledger } from "./ledger.ts";
import type { ScenarioRecord, Takeover } from "./run-record.ts";

export interface Wait {
  readonly hosts: readonly string[];
  readonly release: Digest;
  /** Wall clock. */
  readonly sinceMs: number;
}

export class Findings {
  verdict: Verdict | undefined;
  readonly #history: ClusterHistory;
  readonly #ledger: Ledger;
  readonly #acknowledgedBefore: number;
  readonly #appliesBefore: number;
  readonly #takeovers: Takeover[] = [];
  #expectedCount = 0;
  #unexpected: readonly Eviction[] = [];

  constructor(history: ClusterHistory, ledger: Ledger, before: Verdict | undefined) {
    this.#history = history;
    this.#ledger = ledger;
    this.#acknowledgedBefore = before === undefined ? 0 : acknowledgedCount(ledger);
    this.#appliesBefore = before?.appliesCount ?? 0;
  }

  /** Evictions by `nodes`, without those of the nodes `expected`. */
  async evictionsBeside(
    expected: readonly string[],
    nodes: readonly string[],
  ): Promise<readonly Eviction[]> {
    const all = await this.#history.evictions(nodes);
    this.#unexpected = all.filter(({ slot }) => !expected.includes(slot));
    this.#expectedCount = all.length - this.#unexpected.length;
    return this.#unexpected;
  }

  /** Every one of the hosts, which are in `boxes`, must have the release by now. */
  async noteTakeover(
    fault: Takeover["fault"],
    boxes: readonly string[],
    { hosts, release, sinceMs }: Wait,
  ): Promise<void> {
    const waitsMs = await this.#history.waitsMs(boxes, hosts, release, sinceMs);
    assert.equal(waitsMs.length, hosts.length, `not all of ${hosts.join(" ")} have ${release}`);
    this.#takeovers.push({ fault, waitsMs });
  }

  record(): Omit<ScenarioRecord, "scenario" | "isPassed" | "seconds"> {
    const { verdict } = this;
    return {
      hosts: verdict?.hostsCount ?? 0,
      acknowledged: acknowledgedCount(this.#ledger) - this.#acknowledgedBefore,
      applies: verdict === undefined ? 0 : verdict.appliesCount - this.#appliesBefore,
      regressions: verdict?.regressionsCount ?? 0,
      lost: verdict?.lostCount ?? 0,
      violations: verdict?.violations.length ?? 0,
      evictionsExpected: this.#expectedCount,
      evictionsUnexpected: this.#unexpected.length,
      takeovers: this.#takeovers,
    };
  }
}

function acknowledgedCount({ published }: Ledger): number {
  return published.filter(({ outcome }) => outcome === "acknowledged").length;
}
