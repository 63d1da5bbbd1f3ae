import { expect, test } from "vitest";
import limits from "./controls.json" with { type: "json" };
import { controlNames } from "./controls.ts";
import { failureText } from "./report.ts";
import { pinnedSeeds } from "./pinned.ts";
import { runMany } from "./run-many.ts";
import type { Mode, SeedOptions, SeedResult } from "./run-seed.ts";
import type { Figures } from "./seed-checks.ts";

const workersCount = 2;

function seeds(from: number, count: number): SeedOptions[] {
  const modes: readonly Mode[] = ["safety", "liveness"];
  return Array.from({ length: count }, (_, index) => {
    const seed = from + index;
    return { seed, mode: modes[(seed + Math.floor(seed / 10)) % 2] ?? "safety" };
  });
}

async function run(jobs: readonly SeedOptions[]): Promise<SeedResult[]> {
  const results: SeedResult[] = [];
  await runMany(jobs, workersCount, (result) => {
    results.push(result);
    return true;
  });
  return results;
}

function failures(results: readonly SeedResult[]): string[] {
  return results.map(failureText).filter((text) => text !== "");
}

test("every pinned seed is clean", async () => {
  const results = await run(pinnedSeeds);
  expect(results).toHaveLength(pinnedSeeds.length);
  expect(failures(results)).toEqual([]);
});

test("ten seeds of every kind are clean, and the same when they run again", async () => {
  const jobs = seeds(0, 10);
  const results = await run([...jobs, ...jobs]);
  expect(failures(results)).toEqual([]);
  const hashes = Map.groupBy(results, ({ options }) => options.seed);
  for (const [seed, runs] of hashes) {
    expect(runs, `seed ${seed}`).toHaveLength(2);
    expect(runs[1]?.hash, `seed ${seed}`).toBe(runs[0]?.hash);
  }
});

const blockSeeds = 38;

test.each([0, 1, 2, 3, 4].map((block) => 10 + block * blockSeeds))(
  "38 seeds from seed %i on are clean, and things did happen in them",
  async (from) => {
    const results = await run(seeds(from, blockSeeds));
    expect(failures(results)).toEqual([]);
    const sum = (of: (figures: Figures) => number) =>
      results.reduce((total, { figures }) => total + of(figures), 0);
    expect(sum(({ pushes }) => pushes)).toBeGreaterThan(4_000);
    expect(sum(({ acknowledgedFound }) => acknowledgedFound)).toBeGreaterThan(500);
    expect(sum(({ evictions }) => evictions.dead ?? 0)).toBeGreaterThan(5);
    expect(sum(({ refusalsTold }) => refusalsTold)).toBeGreaterThan(10);
    expect(sum(({ isMended }) => Number(isMended))).toBeGreaterThan(0);
    expect(sum(({ currentMs }) => currentMs.length)).toBeGreaterThan(0);
  },
);

test("hosts that attach, poll, read objects or knock keep every promise, and again in the same way", async () => {
  const jobs = seeds(0, 1).map((job): SeedOptions => ({ ...job, profile: "modes" }));
  const results = await run([...jobs, ...jobs]);
  expect(failures(results)).toEqual([]);
  const hashes = Map.groupBy(results, ({ options }) => options.seed);
  for (const [seed, runs] of hashes) expect(runs[1]?.hash, `seed ${seed}`).toBe(runs[0]?.hash);
  const modes = new Set(results.flatMap(({ figures }) => Object.keys(figures.acceptedVia)));
  expect([...modes].toSorted()).toEqual(["object", "poll", "reverse"]);
});

test.each(controlNames)("without %s a check turns red", async (without) => {
  const { within } = limits[without];
  const jobs = seeds(0, within).map((job) => ({ ...job, without }));
  const red: SeedResult[] = [];
  await runMany(jobs, workersCount, (result) => {
    if (result.failure !== undefined) red.push(result);
    return red.length === 0;
  });
  expect(red[0]?.failure?.category).toBe("safety");
});
