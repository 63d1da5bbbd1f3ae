/** The simulator's command line: what to run, and the line that runs one seed again. */
import { parseArgs } from "node:util";
import { controlNames, type ControlName } from "./controls.ts";
import type { Mode, SeedOptions } from "./run-seed.ts";
import { profiles, type Profile } from "./swarm.ts";

export interface SimArguments {
  readonly seeds: number;
  readonly start: number;
  readonly modes: readonly Mode[];
  readonly without: ControlName | undefined;
  readonly profile: Profile | undefined;
  readonly outageHours: number | undefined;
  readonly workers: number;
  /** Every seed runs twice and must give the same transcript. */
  readonly isTwice: boolean;
  /** Prints a line for every seed. */
  readonly isVerbose: boolean;
  /** Runs the pinned seeds first. */
  readonly hasPinned: boolean;
  /** Where each result goes as one line of JSON, after those that stand there. */
  readonly resultsPath: string | undefined;
  /** Runs nothing: sums up the results in these files. */
  readonly sumPaths: readonly string[];
}

export const usage = `node sim/main.ts [options]
  --seeds N        seeds to run (default 200)
  --start S        first seed (default 0)
  --mode M         safety, liveness or both (default both: odd seeds are liveness)
  --without NAME   takes a guard out and stops at the first red seed: ${controlNames.join(", ")}
  --profile P      only this kind of world: ${profiles.join(", ")}
  --hours H        instead of mixed faults, the store is away for H hours
  --workers W      worker threads (default 2)
  --twice          runs every seed twice and compares the transcripts
  --verbose        a line for every seed
  --results FILE   appends each result to FILE, a line of JSON each
  --sum FILE       runs nothing and prints the figures of FILE; may be repeated
  --no-pinned      leaves the pinned seeds of sim/seeds.json out
Exit codes: 0 clean, 2 crash, 3 safety, 4 liveness, 64 usage.`;

/** Throws a plain Error that says what is wrong. */
export function parseArguments(argv: readonly string[]): SimArguments {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      seeds: { type: "string", default: "200" },
      start: { type: "string", default: "0" },
      mode: { type: "string", default: "both" },
      without: { type: "string" },
      profile: { type: "string" },
      hours: { type: "string" },
      workers: { type: "string", default: "2" },
      twice: { type: "boolean", default: false },
      verbose: { type: "boolean", default: false },
      results: { type: "string" },
      sum: { type: "string", multiple: true, default: [] },
      "no-pinned": { type: "boolean", default: false },
    },
  });
  const { hours } = values;
  return {
    seeds: numberOf("seeds", values.seeds, 1),
    start: numberOf("start", values.start, 0),
    modes: modesOf(values.mode),
    without: oneOf("without", values.without, controlNames),
    profile: oneOf("profile", values.profile, profiles),
    outageHours: hours === undefined ? undefined : numberOf("hours", hours, 0),
    workers: numberOf("workers", values.workers, 1),
    isTwice: values.twice,
    isVerbose: values.verbose,
    hasPinned: !values["no-pinned"] && values.without === undefined,
    resultsPath: values.results,
    sumPaths: values.sum,
  };
}

/** The line that runs exactly this seed again. */
export function replayLine({ seed, mode, without, profile, outageHours }: SeedOptions): string {
  return [
    `npm run sim -- --seeds 1 --start ${seed} --mode ${mode} --no-pinned`,
    ...(without === undefined ? [] : [`--without ${without}`]),
    ...(profile === undefined ? [] : [`--profile ${profile}`]),
    ...(outageHours === undefined ? [] : [`--hours ${outageHours}`]),
  ].join(" ");
}

function modesOf(text: string): Mode[] {
  if (text === "both") return ["safety", "liveness"];
  if (text === "safety" || text === "liveness") return [text];
  throw new Error(`Expected --mode to be safety, liveness or both, got ${text}`);
}

function numberOf(name: string, text: string, min: number): number {
  const value = Number(text);
  if (Number.isFinite(value) && value >= min) return value;
  throw new Error(`Expected --${name} to be a number of at least ${min}, got ${text}`);
}

function oneOf<Name extends string>(
  option: string,
  text: string | undefined,
  names: readonly Name[],
): Name | undefined {
  if (text === undefined) return undefined;
  const found = names.find((name) => name === text);
  if (found !== undefined) return found;
  throw new Error(`Expected --${option} to be one of ${names.join(", ")}, got ${text}`);
}
