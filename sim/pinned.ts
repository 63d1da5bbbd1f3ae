/** Seeds that found something once, with one line of story each; they always run first. */
import pinned from "./seeds.json" with { type: "json" };
import type { SeedOptions } from "./run-seed.ts";

interface PinnedSeed extends SeedOptions {
  readonly story: string;
}

const stories = pinned as readonly PinnedSeed[];

export const pinnedSeeds: readonly SeedOptions[] = stories.map(
  ({ seed, mode, profile }): SeedOptions => ({ seed, mode, profile }),
);
