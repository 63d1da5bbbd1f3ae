/**
 * Why a node could not beat, as far as the simulated world knows: what the check of evictions compares
 * a verdict of the nodes with.
 */
import type { World } from "./world.ts";

export const trueCauses = [
  "dead",
  "leaving",
  "frozen",
  "cut",
  "store",
  "table",
  "stalled",
  "unready",
  "misled",
] as const;
export type Cause = (typeof trueCauses)[number] | "false";

/** Longest pause that must be survived. */
const pauseMs = 3_000;
/** From the last moment of a trouble to the mark: detection, a turn, a slow write. */
const windowMs = 8_000;
/** After a loss of the table, rows are written anew. */
const tableWindowMs = 30_000;
/** Fewer calls with trouble than this cannot hide the beats of a silence. */
const troubledCallsMin = 3;

/**
 * True where `by` took the refusals of a firewall, since the victim's last beat, for the victim's own, and
 * nobody else was able to vote: with one observer a refused probe makes two missed beats enough.
 */
export function isMisled(
  world: World,
  by: string,
  slot: string,
  lastBeatMs: number,
  members: ReadonlySet<string>,
): boolean {
  const { nowMs } = world.timeline;
  if (!world.network.wasRefused(by, slot, lastBeatMs)) return false;
  const sinceMs = nowMs - windowMs;
  return !world
    .livingProcesses()
    .some(
      (process) =>
        process.slot !== by &&
        process.slot !== slot &&
        members.has(process.slot) &&
        process.startedMs <= sinceMs &&
        process.clock.longestFreezeMs(sinceMs) < pauseMs / 3 &&
        troubledSince(world, process.slot, sinceMs).length < troubledCallsMin,
    );
}

/**
 * The process at the slot's address says that it is no member (yet), or said so since its last beat: it
 * serves nothing, and a refused probe counts until the next beat.
 */
export function isUnready(world: World, slot: string, lastBeatMs: number): boolean {
  const saidMs = world.unreadySaidMs.get(slot) ?? -Infinity;
  return saidMs >= lastBeatMs || world.nodes.get(slot)?.living?.node.isMember() === false;
}

function troubledSince(world: World, slot: string, sinceMs: number) {
  return (world.troubledCalls.get(slot) ?? []).filter(({ atMs }) => atMs >= sinceMs);
}

/** `lastBeatMs`: when the slot's last beat took effect, in virtual time. */
export function causeOf(world: World, slot: string, reason: string, lastBeatMs: number): Cause {
  const { timeline, swarm } = world;
  const sinceMs = timeline.nowMs - windowMs;
  const node = world.nodes.get(slot);
  const process = node?.process;
  if (timeline.nowMs - world.lostAtMs < tableWindowMs) return "table";
  // Whoever beat last is gone where the process of now has not been able to register.
  const isOther = process !== undefined && process.startedMs > Math.min(sinceMs, lastBeatMs);
  if (process === undefined || isOther) return "dead";
  if (process.stopping.signal.aborted) return "leaving";
  // Zombies of the slot may be the ones that are meant.
  const isFrozen = node?.processes.some(({ clock }) => clock.longestFreezeMs(sinceMs) > pauseMs);
  if (isFrozen === true) return "frozen";
  const calls = troubledSince(world, slot, sinceMs);
  if (calls.length >= troubledCallsMin) {
    return calls.some(({ isCut }) => isCut) ? "cut" : "store";
  }
  // No finished push for 45 beats: only where hosts or the way to them had trouble.
  const canStall = swarm.profile === "mixed" || swarm.profile === "fullDisk";
  return reason === "stalled" && canStall ? "stalled" : "false";
}
