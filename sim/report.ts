/** What people read of a run: failures with all that is needed to replay them, and the figures. */
import { replayLine } from "./arguments.ts";
import type { SeedResult } from "./run-seed.ts";

/** Exit code of the worst failure; 0 where there is none. */
export function exitCodeOf(results: readonly SeedResult[]): number {
  const categories = new Set(results.map(({ failure }) => failure?.category));
  if (categories.has("crash")) return 2;
  if (categories.has("safety")) return 3;
  return categories.has("liveness") ? 4 : 0;
}

export function failureText({ options, swarm, failure }: SeedResult): string {
  if (failure === undefined) return "";
  return [
    `FAILED seed ${options.seed}, ${options.mode}: ${failure.category}: ${failure.check}: ${failure.message}`,
    `  at ${(failure.atMs / 1_000).toFixed(3)} virtual seconds`,
    `  ${swarm}`,
    ...failure.events.map((event) => `    ${event}`),
    `  replay: ${replayLine(options)}`,
  ].join("\n");
}

export function seedLine({ options, swarm, failure, hash, ...figures }: SeedResult): string {
  const { virtualMs, pushes, acknowledged, evictions, convergenceMs, longestGapMs } = figures;
  return [
    `${failure === undefined ? "ok  " : "FAIL"} ${options.seed} ${options.mode} ${hash.slice(0, 12)}`,
    `${seconds(virtualMs)} virtual, ${pushes} pushes, ${acknowledged} acknowledged, ${evictions} evictions`,
    `converged in ${seconds(convergenceMs)}, longest gap ${seconds(longestGapMs)}`,
    swarm,
  ].join("; ");
}

function seconds(durationMs: number): string {
  return `${(durationMs / 1_000).toFixed(1)} s`;
}

/** One line of figures over all seeds. */
export function summary(results: readonly SeedResult[], tookMs: number): string {
  const sum = (of: (result: SeedResult) => number) =>
    results.reduce((total, result) => total + of(result), 0);
  const converged = results
    .filter(({ failure }) => failure === undefined)
    .map(({ convergenceMs }) => convergenceMs)
    .toSorted((left, right) => left - right);
  const quantile = (ratio: number) =>
    ((converged[Math.floor(ratio * (converged.length - 1))] ?? 0) / 1_000).toFixed(1);
  const virtualHours = sum(({ virtualMs }) => virtualMs) / 3_600_000;
  const failed = results.filter(({ failure }) => failure !== undefined).length;
  return [
    `${results.length} seeds, ${failed} failed, ${(tookMs / 1_000).toFixed(1)} s`,
    `${virtualHours.toFixed(1)} virtual hours, ${(virtualHours / (tookMs / 60_000)).toFixed(1)} per minute`,
    `${sum(({ pushes }) => pushes)} pushes, ${sum(({ acknowledged }) => acknowledged)} acknowledged writes, ${sum(({ evictions }) => evictions)} evictions`,
    `convergence after the faults p50 ${quantile(0.5)} s, p99 ${quantile(0.99)} s, longest ${quantile(1)} s`,
  ].join("\n");
}
