/**
 * What the profiles of the other modes add to a world: which hosts have which modes, through what they
 * reach the nodes, and how small the nodes' limits are. All of it is drawn from streams of its own, so
 * that worlds without these modes stay what they are.
 */
import type { HostMode } from "../src/protocol/host-mode.ts";
import { Dice } from "./dice.ts";
import type { Profile } from "./swarm.ts";

export interface HostModes {
  /** Best first. */
  readonly list: readonly HostMode[];
  /** It knows one address for all nodes, and something behind it that picks one. */
  readonly isBehindBalancer: boolean;
}

const lists: readonly (readonly HostMode[])[] = [
  ["reverse"],
  ["poll"],
  ["object"],
  ["knock"],
  ["dial"],
  ["reverse", "poll"],
  ["dial", "object"],
  ["reverse", "object"],
  ["knock", "poll"],
  ["poll", "object"],
];

export function hasModes(profile: Profile): boolean {
  return profile === "modes" || profile === "reverseHerd";
}

/** Undefined in worlds where every host is dialled and nothing else. */
export function modesOf(seed: number, profile: Profile, host: string): HostModes | undefined {
  if (!hasModes(profile)) return undefined;
  if (profile === "reverseHerd") return { list: ["reverse"], isBehindBalancer: false };
  const dice = Dice.of(seed, `modes/${host}`);
  return { list: dice.pick(lists) ?? ["dial"], isBehindBalancer: dice.chance(0.4) };
}

/** Options of nodes as flags: limits that a few hosts can reach, times that fit into minutes. */
export function modeFlags(seed: number, profile: Profile): Readonly<Record<string, string>> {
  if (profile !== "modes") return {};
  const dice = Dice.of(seed, "modes/flags");
  return {
    attachesPerSecond: String(dice.pick([1, 5, 500])),
    links: String(dice.pick([30, 10_000])),
    linkAge: dice.pick(["20s", "2m", "1h"]) ?? "1h",
    pingInterval: dice.pick(["5s", "30s"]) ?? "30s",
    pollsPerSecond: String(dice.pick([2, 20, 500])),
    objectPoll: dice.pick(["5s", "1m"]) ?? "1m",
  };
}
