/**
 * How every benchmark here measures.
 *
 * A figure means something only beside another from the same machine and the same minute: variants
 * run in turn within each round (forwards, then backwards, so that none always profits from going
 * last), and what is reported is the median over rounds of their ratio. Absolute numbers are printed
 * for orientation, under a line that says which machine they come from.
 */
import assert from "node:assert/strict";
import { availableParallelism, cpus, totalmem } from "node:os";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** One way of doing the work; `run` does it once and returns the measurement, in any one unit. */
export interface Variant {
  readonly name: string;
  readonly run: () => number | Promise<number>;
}

/** Cells of a Markdown table by column; the first row decides the columns and their order. */
export type TableRow = Readonly<Record<string, string | number>>;

/** Runs all variants `rounds` times in turn; the measurements of each variant, one a round. */
export async function interleave(
  variants: readonly Variant[],
  rounds: number,
  { warmupRounds = 0 }: { readonly warmupRounds?: number } = {},
): Promise<Map<string, number[]>> {
  const measurements = new Map(variants.map(({ name }) => [name, [] as number[]]));
  assert(measurements.size === variants.length, "Expected variants to have different names");
  for (let round = -warmupRounds; round < rounds; round++) {
    const turn = round % 2 === 0 ? variants : variants.toReversed();
    for (const { name, run } of turn) {
      const measurement = await run();
      if (round >= 0) measurements.get(name)?.push(measurement);
    }
  }
  return measurements;
}

/** Milliseconds that `work` takes, its promise included. */
export async function timedMs(work: () => unknown): Promise<number> {
  const startMs = performance.now();
  const outcome = work();
  if (outcome instanceof Promise) await outcome;
  return performance.now() - startMs;
}

/** Bytes of heap and buffers that one result of `make` keeps, as the mean of `count` of them. */
export function retainedBytes(make: (index: number) => unknown, count: number): number {
  const kept: unknown[] = [make(-1)];
  const before = usedBytes();
  for (let index = 0; index < count; index++) kept.push(make(index));
  const after = usedBytes();
  assert(kept.length === count + 1, "Expected all results to be kept until they are measured");
  return (after - before) / count;
}

export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

/** The value below which `share` (0..1) of the values lie, interpolated between neighbours. */
export function percentile(values: readonly number[], share: number): number {
  assert(values.length > 0, "Expected at least one value");
  assert(share >= 0 && share <= 1, `Expected \`share\` to be from 0 to 1, got ${share}`);
  const sorted = values.toSorted((left, right) => left - right);
  const position = share * (sorted.length - 1);
  const below = sorted[Math.floor(position)] ?? 0;
  const above = sorted[Math.ceil(position)] ?? 0;
  return below + (above - below) * (position - Math.floor(position));
}

/** Median over rounds of `subject / baseline`, both measured by one `interleave`. */
export function medianRatio(subject: readonly number[], baseline: readonly number[]): number {
  assert(
    subject.length === baseline.length,
    `Expected equally many rounds, got ${subject.length} and ${baseline.length}`,
  );
  return median(subject.map((value, round) => value / (baseline[round] ?? Number.NaN)));
}

/** A Markdown table, padded so that it reads in a terminal too. */
export function markdownTable(rows: readonly TableRow[]): string {
  const columns = Object.keys(rows[0] ?? {});
  const lines = [columns, ...rows.map((row) => columns.map((column) => String(row[column] ?? "")))];
  const widths = columns.map((_, index) =>
    Math.max(3, ...lines.map((line) => line[index]?.length ?? 0)),
  );
  const text = (cells: readonly string[]): string =>
    `| ${cells.map((cell, index) => cell.padEnd(widths[index] ?? 0)).join(" | ")} |`;
  const [head = [], ...body] = lines;
  return [text(head), text(widths.map((width) => "-".repeat(width))), ...body.map(text)].join("\n");
}

/** The machine in one line, without its name. */
export function machine(): string {
  const model = cpus()[0]?.model.trim() ?? "unknown processor";
  const memoryGb = Math.round(totalmem() / 2 ** 30);
  const { version, platform, arch } = process;
  return `Node.js ${version}, ${availableParallelism()} x ${model}, ${memoryGb} GB, ${platform} ${arch}`;
}

function usedBytes(): number {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  // Twice: buffers whose owner dies in the first collection are released in the second.
  collect();
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}
