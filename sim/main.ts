/**
 * The deterministic simulator: the shipped node and agent, many of them, on virtual time, with faults.
 *
 * `npm run sim -- --seeds 1000 --start 5000`. One seed decides everything; a failure prints the line
 * that replays it. Exit codes: 0 clean, 2 crash, 3 safety, 4 liveness, 64 usage.
 */
import { appendFileSync, readFileSync } from "node:fs";
import { messageOf } from "../src/kernel/errors.ts";
import { parseArguments, usage, type SimArguments } from "./arguments.ts";
import { pinnedSeeds } from "./pinned.ts";
import { exitCodeOf, failureText, seedLine, summary } from "./report.ts";
import { runMany } from "./run-many.ts";
import type { SeedOptions, SeedResult } from "./run-seed.ts";

const progressEvery = 50;

function jobsOf(given: SimArguments): SeedOptions[] {
  const { seeds, start, modes, without, profile, outageHours } = given;
  const drawn = Array.from({ length: seeds }, (_, index): SeedOptions => {
    const seed = start + index;
    // Profiles repeat with every ten seeds: each gets both modes.
    const mode = modes[(seed + Math.floor(seed / 10)) % modes.length] ?? "safety";
    return { seed, mode, without, profile, outageHours };
  });
  const jobs = given.hasPinned ? [...pinnedSeeds, ...drawn] : drawn;
  return given.isTwice ? jobs.flatMap((job) => [job, job]) : jobs;
}

/** Two runs of one seed that differ: the simulator itself, or something it runs, is not deterministic. */
function differing(results: readonly SeedResult[]): SeedResult[] {
  const hashes = new Map<string, string>();
  return results.filter(({ options, hash }) => {
    const name = JSON.stringify(options);
    const first = hashes.get(name) ?? hash;
    hashes.set(name, first);
    return first !== hash;
  });
}

/** The last result of each seed counts: a red one may have been mended and run again. */
function sumUp(paths: readonly string[]): number {
  const results = new Map<string, SeedResult>();
  let tookMs = 0;
  for (const path of paths) {
    for (const line of readFileSync(path, "utf8").trim().split("\n")) {
      const result = JSON.parse(line) as SeedResult & { tookMs: number };
      results.set(JSON.stringify(result.options), result);
      tookMs += result.tookMs;
    }
  }
  for (const result of results.values()) {
    if (result.failure !== undefined) console.log(failureText(result));
  }
  console.log(summary([...results.values()], tookMs));
  return exitCodeOf([...results.values()]);
}

async function main(argv: readonly string[]): Promise<number> {
  let given: SimArguments;
  try {
    given = parseArguments(argv);
  } catch (error) {
    console.error(`${messageOf(error)}\n${usage}`);
    return 64;
  }
  if (given.sumPaths.length > 0) return sumUp(given.sumPaths);
  const jobs = jobsOf(given);
  const startedAtMs = performance.now();
  let lastAtMs = startedAtMs;
  const results: SeedResult[] = [];
  await runMany(jobs, given.workers, (result) => {
    results.push(result);
    if (given.resultsPath !== undefined) {
      const line = { ...result, tookMs: performance.now() - lastAtMs };
      lastAtMs = performance.now();
      appendFileSync(given.resultsPath, `${JSON.stringify(line)}\n`);
    }
    if (given.isVerbose) console.log(seedLine(result));
    if (result.failure !== undefined) console.log(failureText(result));
    else if (results.length % progressEvery === 0) {
      console.log(`${results.length} of ${jobs.length} seeds`);
    }
    return given.without === undefined || result.failure === undefined;
  });
  console.log(summary(results, performance.now() - startedAtMs));
  const unequal = given.isTwice ? differing(results) : [];
  for (const { options } of unequal) console.log(`NOT DETERMINISTIC: seed ${options.seed}`);
  return unequal.length > 0 ? 2 : exitCodeOf(results);
}

process.exitCode = await main(process.argv.slice(2));
