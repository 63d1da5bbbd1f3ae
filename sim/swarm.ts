/**
 * What one seed is about: how large the world is and which faults happen in it, how often.
 *
 * Swarm testing: for each seed about half of the faults are switched off entirely and the others get
 * rates that differ a lot, because a mix of everything hides what a single fault does alone. Some
 * profiles allow only harmless faults, so that stricter checks hold in them.
 */
import { Dice } from "./dice.ts";
import type { NetworkWeights } from "./network.ts";
import { calmStore, type StoreTrouble } from "./sim-store.ts";

export const faultNames = [
  "nodeCrash",
  "nodeDeath",
  "nodePause",
  "nodeFreeze",
  "nodeSuspend",
  "nodeStarve",
  "nodeLeave",
  "nodeDeploy",
  "nodeZombie",
  "wallStep",
  "massCrash",
  "allRestart",
  "cutNodeStore",
  "cutNodeHosts",
  "cutNodes",
  "refuseNodes",
  "storeOutage",
  "storeWipe",
  "storeRollback",
  "hostCrash",
  "hostMidApplyCrash",
  "hostAmnesia",
  "hostFullDisk",
  "hostPause",
  "hostTarpit",
  "hostErrors",
  "hostGarbage",
] as const;
/** Those of the modes in which hosts make the first move; drawn apart, so that other worlds stay what they are. */
export const modeFaultNames = [
  "linkStorm",
  "linkHalfOpen",
  "balancerLies",
  "knockFlood",
  "objectsOutage",
  "objectsStale",
  "objectsTruncated",
  "objectsSlow",
] as const;
export type FaultName = (typeof faultNames)[number] | (typeof modeFaultNames)[number];

/**
 * `mixed`: anything. `pauses`: processes stop for at most 3 s, clocks differ; nobody may be evicted.
 * `massSilence`: many nodes die at once; evictions must be held. `planned`: deploys and leaves only; no
 * partition may be without an owner. `storeLoss`: the table is emptied or put back to an earlier state
 * while nodes run and nobody changes anything; hosts keep what they have, nothing is lost.
 * `storeLossBusy`: the same under changes, which may be lost with the table; only on request.
 * `takeover`: one node dies at a time and nothing else is wrong; measured. `outage`: the store is away
 * for an hour, then comes back. `fullDisk`: hosts' disks are full for a while and nothing else happens; only on request.
 * `modes`: like `mixed`, with hosts that attach, poll, read objects and knock, alone and as fallbacks, and the
 * faults of these modes. `reverseHerd`: a thousand hosts attach, nodes die and all connections break; only on
 * request.
 */
export const profiles = [
  "mixed",
  "pauses",
  "massSilence",
  "planned",
  "storeLoss",
  "storeLossBusy",
  "takeover",
  "outage",
  "fullDisk",
  "modes",
  "reverseHerd",
] as const;
export type Profile = (typeof profiles)[number];

export interface Swarm {
  readonly profile: Profile;
  readonly nodesCount: number;
  readonly hostsCount: number;
  readonly faultsMs: number;
  readonly pushesPerSecond: number;
  /** Clocks run this much faster or slower at most. */
  readonly driftRatio: number;
  /** Exchanges that fail on the node's own machine. */
  readonly localRatio: number;
  /** Longest time of a host's check or reload. */
  readonly commandMaxMs: number;
  readonly network: NetworkWeights;
  readonly store: StoreTrouble;
  /** Events a minute. */
  readonly faults: Readonly<Record<FaultName, number>>;
  readonly operationsPerMinute: number;
}

const faultsOf: Readonly<Record<Exclude<Profile, "mixed" | "modes">, readonly FaultName[]>> = {
  pauses: ["nodePause", "nodeStarve", "wallStep", "refuseNodes"],
  massSilence: ["massCrash"],
  planned: ["nodeLeave", "nodeDeploy", "wallStep"],
  storeLoss: ["storeWipe", "storeRollback"],
  storeLossBusy: ["storeWipe", "storeRollback"],
  takeover: ["nodeDeath"],
  outage: [],
  fullDisk: ["hostFullDisk"],
  reverseHerd: ["nodeDeath", "linkStorm"],
};

/** Connections that one death of a node breaks: a third of them. */
const herdHostsCount = 1_000;

const profileTurns: readonly Profile[] = [
  ...Array.from({ length: 4 }, (): Profile => "mixed"),
  "modes",
  "takeover",
  "storeLoss",
  "pauses",
  "massSilence",
  "planned",
];

/** An hour of virtual time costs as much as some ten other seeds. */
const outageEvery = 200;

function profileOf(seed: number): Profile {
  if (seed % outageEvery === outageEvery - 3) return "outage";
  return profileTurns[seed % profileTurns.length] ?? "mixed";
}

/** Faults that have worlds of their own. */
const measuredOnly: ReadonlySet<FaultName> = new Set(["storeWipe", "storeRollback", "nodeDeath"]);

export function swarmOf(seed: number, only: Profile | undefined): Swarm {
  const dice = Dice.of(seed, "swarm");
  const profile = only ?? profileOf(seed);
  const isMixed = profile === "mixed" || profile === "modes";
  const ratio = (...choices: number[]) => (isMixed ? (dice.pick(choices) ?? 0) : 0);
  const delayMinMs = dice.between(0.2, 5);
  return {
    profile,
    nodesCount: profile === "massSilence" ? dice.whole(4, 5) : dice.whole(3, 5),
    hostsCount: profile === "reverseHerd" ? herdHostsCount : dice.whole(10, 30),
    faultsMs: dice.whole(60, 120) * 1_000,
    pushesPerSecond: paceOf(dice, profile),
    driftRatio: dice.pick([0, 0.01, 0.05]) ?? 0,
    localRatio: ratio(0, 0, 0, 0.02),
    commandMaxMs: dice.pick([0, 20, 500, 8_000]) ?? 0,
    network: {
      lossRatio: ratio(0, 0, 0.01, 0.1, 0.3),
      duplicateRatio: ratio(0, 0, 0.02, 0.2),
      lateRatio: ratio(0, 0, 0.01, 0.05),
      delayMinMs,
      delayMaxMs: delayMinMs + dice.between(1, isMixed ? 100 : 10),
    },
    store: {
      ...calmStore,
      throttledRatio: ratio(0, 0, 0.01, 0.1),
      unavailableRatio: ratio(0, 0, 0.02, 0.15),
      unknownRatio: ratio(0, 0, 0.02, 0.2),
      slowRatio: ratio(0, 0, 0.02, 0.1),
    },
    faults: { ...faultRates(dice, profile), ...modeFaultRates(seed, profile) },
    operationsPerMinute:
      profile === "storeLoss" || profile === "outage" ? 0 : (dice.pick([0, 20, 60, 120]) ?? 0),
  };
}

function paceOf(dice: Dice, profile: Profile): number {
  const pace = dice.pick([5, 10, 20, 100, 2_000]) ?? 2_000;
  return profile === "reverseHerd" ? 2_000 : pace;
}

function faultRates(dice: Dice, profile: Profile): Record<(typeof faultNames)[number], number> {
  const rates = {} as Record<(typeof faultNames)[number], number>;
  for (const name of faultNames) {
    const rate = dice.pick([0, 0, 0, 0.5, 1.5, 4]) ?? 0;
    if (profile === "mixed" || profile === "modes") rates[name] = measuredOnly.has(name) ? 0 : rate;
    else rates[name] = faultsOf[profile].includes(name) ? Math.max(rate, 2) : 0;
  }
  return rates;
}

function modeFaultRates(seed: number, profile: Profile) {
  const dice = Dice.of(seed, "modes/faults");
  const rates = {} as Record<(typeof modeFaultNames)[number], number>;
  for (const name of modeFaultNames) {
    const rate = dice.pick([0, 0, 1, 3]) ?? 0;
    if (profile === "mixed") rates[name] = 0;
    else if (profile === "modes") rates[name] = rate;
    else rates[name] = faultsOf[profile].includes(name) ? 2 : 0;
  }
  return rates;
}

/** The weights that are not zero, as one line for people. */
export function describeSwarm(swarm: Swarm): string {
  const { profile, nodesCount, hostsCount, faultsMs, pushesPerSecond, faults } = swarm;
  const { network, store, operationsPerMinute, driftRatio, commandMaxMs, localRatio } = swarm;
  const ratios = { ...network, ...store, driftRatio, commandMaxMs, localRatio };
  const shown = Object.entries({ ...ratios, ...faults })
    .filter(([, value]) => value !== 0 && value !== false)
    .map(
      ([name, value]) => `${name}=${typeof value === "number" ? Number(value.toFixed(2)) : value}`,
    );
  const size = `${nodesCount} nodes, ${hostsCount} hosts, ${faultsMs / 1_000} s of faults`;
  const pace = `${pushesPerSecond} pushes/s, ${operationsPerMinute} operations/min`;
  return `${profile}: ${size}, ${pace}; ${shown.join(" ")}`;
}
