/** What people read of a run: failures with all that is needed to replay them, and the figures. */
import { hostModes, type HostMode } from "../src/protocol/host-mode.ts";
import { replayLine } from "./arguments.ts";
import { trueCauses } from "./causes.ts";
import type { SeedResult } from "./run-seed.ts";
import type { Figures } from "./seed-checks.ts";

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

export function seedLine(result: SeedResult): string {
  const { options, swarm, failure, hash, virtualMs, figures } = result;
  const { pushes, acknowledged, convergenceMs, longestGapMs } = figures;
  return [
    `${failure === undefined ? "ok  " : "FAIL"} ${options.seed} ${options.mode} ${hash.slice(0, 12)}`,
    `${seconds(virtualMs)} virtual, ${pushes} pushes, ${acknowledged} acknowledged, evictions: ${evictionsText([result])}`,
    `converged in ${seconds(convergenceMs)}, longest gap ${seconds(longestGapMs)}`,
    swarm,
  ].join("; ");
}

function seconds(durationMs: number): string {
  return `${(durationMs / 1_000).toFixed(1)} s`;
}

function viaText(results: readonly SeedResult[]): string {
  const modes = hostModes.filter((mode) => mode !== "dial" && mode !== "knock");
  const sum = (mode: HostMode) =>
    results.reduce((total, { figures }) => total + (figures.acceptedVia[mode] ?? 0), 0);
  return modes.map((mode) => `${sum(mode)} ${mode}`).join(", ");
}

/** The figures over all seeds. */
export function summary(results: readonly SeedResult[], tookMs: number): string {
  const sum = (of: (figures: Figures) => number) =>
    results.reduce((total, { figures }) => total + of(figures), 0);
  const clean = results.filter(({ failure }) => failure === undefined);
  const virtualHours = results.reduce((ms, { virtualMs }) => ms + virtualMs, 0) / 3_600_000;
  const isRed = (check: string) => results.filter(({ failure }) => failure?.check === check).length;
  const lost = sum(({ acknowledged }) => acknowledged) - sum((each) => each.acknowledgedFound);
  const converged = clean.map(({ figures }) => figures.convergenceMs);
  return [
    `${results.length} seeds, ${results.length - clean.length} failed, ${(tookMs / 1_000).toFixed(1)} s`,
    `${virtualHours.toFixed(1)} virtual hours, ${(virtualHours / (tookMs / 60_000)).toFixed(1)} per minute`,
    `${sum(({ pushes }) => pushes)} pushes, ${sum(({ changes }) => changes)} changes of config files`,
    `${isRed("S1 fence")} regressions in ${sum(({ accepted }) => accepted)} accepted syncs, ${isRed("S4 durable")} lost acknowledgements in ${sum(({ restarts }) => restarts)} restarts of hosts`,
    `of them not dialled: ${viaText(results)}`,
    `${isRed("S3 acknowledged")} seeds lost an acknowledged write; ${sum(({ acknowledgedFound }) => acknowledgedFound)} writes were looked for and found, ${lost} belong to worlds whose table was lost, or red ones`,
    `${isRed("S7 pace")} times over the pace in ${Math.round(sum(({ nodeMs }) => nodeMs) / 1_000)} seconds of nodes`,
    `evictions: ${evictionsText(results)}; ${sum(({ harmless }) => harmless)} short pauses, starvations and steps of clocks`,
    `killed to all hosts owned: ${quantiles(results.flatMap(({ figures }) => figures.ownedMs))}`,
    `killed to all hosts current: ${quantiles(results.flatMap(({ figures }) => figures.currentMs))}`,
    `faults over to converged: ${quantiles(converged)}`,
    `${sum(({ refusals }) => refusals)} answers rejected or failed a release, ${sum(({ refusalsTold }) => refusalsTold)} rejections reached a node; a good release mended ${results.filter(({ figures }) => figures.isMended).length} seeds`,
  ].join("\n");
}

function quantiles(durationsMs: readonly number[]): string {
  const sorted = durationsMs.toSorted((left, right) => left - right);
  const at = (ratio: number) => seconds(sorted[Math.floor(ratio * (sorted.length - 1))] ?? 0);
  return `p50 ${at(0.5)}, p99 ${at(0.99)}, longest ${at(1)} of ${sorted.length}`;
}

function evictionsText(results: readonly SeedResult[]): string {
  const causes = [...trueCauses, "false" as const].map((cause) => {
    const count = results.reduce((sum, { figures }) => sum + (figures.evictions[cause] ?? 0), 0);
    return { cause, count };
  });
  const total = causes.reduce((sum, { count }) => sum + count, 0);
  return `${total} (${causes.map(({ cause, count }) => `${cause} ${count}`).join(", ")})`;
}
