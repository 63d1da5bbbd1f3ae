/**
 * Negative controls: one guard of the product taken out from outside, so that the checks are known
 * to be able to fail. sim/controls.json says within how many seeds each must turn red.
 */
import type { Profile } from "./swarm.ts";
import type { Controls } from "./world.ts";

export const controlNames = [
  "fence",
  "durableWrite",
  "retryBudget",
  "massSilenceBrake",
  "twoObservers",
] as const;
export type ControlName = (typeof controlNames)[number];

/** The kind of world in which the guard matters, where that is not any. */
export function profileFor(without: ControlName | undefined): Profile | undefined {
  if (without === "massSilenceBrake") return "massSilence";
  return without === "twoObservers" ? "pauses" : undefined;
}

const allGuards = { hasFence: true, hasDurableWrite: true };

export function controlsFor(without: ControlName | undefined): Controls {
  switch (without) {
    case undefined:
      return { guards: allGuards, overrides: {} };
    case "fence":
      return { guards: { ...allGuards, hasFence: false }, overrides: {} };
    case "durableWrite":
      return { guards: { ...allGuards, hasDurableWrite: false }, overrides: {} };
    case "retryBudget":
      return { guards: allGuards, overrides: { push: { retryShareRatio: 1 } } };
    case "massSilenceBrake":
      return { guards: allGuards, overrides: { membership: { massSilenceHoldMs: 0 } } };
    case "twoObservers":
      return { guards: allGuards, overrides: { membership: { observersMin: 1 } } };
  }
}
