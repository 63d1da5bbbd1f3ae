/**
 * What the scenarios of one run measured: a line of JSON for each in a file, and a table of them all at
 * the end of the run. Scenarios run in processes of their own, so a file is what they share.
 */
import { appendFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import Table from "cli-table3";

export interface ScenarioRecord {
  readonly scenario: string;
  readonly isPassed: boolean;
  readonly seconds: number;
  readonly hosts: number;
  /** Releases whose answer was that they are taken. */
  readonly acknowledged: number;
  /** Durable states of hosts that the checker read, those of this scenario alone. */
  readonly applies: number;
  /** Verdicts of the checker by kind; other violations are in the third. */
  readonly regressions: number;
  readonly lost: number;
  readonly violations: number;
  readonly evictionsExpected: number;
  readonly evictionsUnexpected: number;
  readonly takeovers: readonly Takeover[];
}

/** How long the hosts of a node that was hurt waited for the next release, from the fault on. */
export interface Takeover {
  readonly fault: "killed" | "frozen" | "cut off";
  readonly waitsMs: readonly number[];
}

const path = join(import.meta.dirname, "..", "..", ".cache", "chaos", "run.jsonl");

export async function beginRun(): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, "");
}

export async function addToRun(record: ScenarioRecord): Promise<void> {
  await appendFile(path, `${JSON.stringify(record)}\n`);
}

/** A table and some lines, for people. The file stays. */
export async function describeRun(): Promise<string> {
  const lines = (await readFile(path, "utf8")).split("\n").filter((line) => line !== "");
  const records = lines.map((line) => JSON.parse(line) as ScenarioRecord);
  const head = [
    "scenario",
    "s",
    "hosts",
    "releases",
    "applies",
    "violations",
    "evicted",
    "by mistake",
  ];
  const table = new Table({ head, style: { head: [], border: [] } });
  for (const record of records) {
    table.push([
      record.isPassed ? record.scenario : `FAILED: ${record.scenario}`,
      record.seconds.toFixed(1),
      record.hosts,
      record.acknowledged,
      record.applies,
      record.violations,
      record.evictionsExpected,
      record.evictionsUnexpected,
    ]);
  }
  return [table.toString(), ...totals(records), `Figures: ${path}`].join("\n");
}

function totals(records: readonly ScenarioRecord[]): string[] {
  const sum = (pick: (record: ScenarioRecord) => number) =>
    records.reduce((total, record) => total + pick(record), 0);
  const minutes = sum(({ seconds }) => seconds) / 60;
  const faults = ["killed", "frozen", "cut off"] as const;
  return [
    `Regressions: ${sum(({ regressions }) => regressions)} of ${sum(({ applies }) => applies)} durable states.`,
    `Lost: ${sum(({ lost }) => lost)} of ${sum(({ acknowledged }) => acknowledged)} acknowledged releases.`,
    `Evictions by mistake: ${sum(({ evictionsUnexpected }) => evictionsUnexpected)} in ${minutes.toFixed(1)} min.`,
    ...faults.flatMap((fault) => {
      const waits = records
        .flatMap(({ takeovers }) => takeovers.filter((takeover) => takeover.fault === fault))
        .flatMap(({ waitsMs }) => waitsMs);
      if (waits.length === 0) return [];
      const [half, most] = [quantile(waits, 0.5), quantile(waits, 0.99)].map(inSeconds);
      return [
        `Hosts of a node that was ${fault}: next release after ${half} (p50), ${most} (p99), ${waits.length} hosts.`,
      ];
    }),
  ];
}

/** Nearest rank; `values` is not empty. */
function quantile(values: readonly number[], ratio: number): number {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.max(0, Math.ceil(sorted.length * ratio) - 1)] ?? Number.NaN;
}

function inSeconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
