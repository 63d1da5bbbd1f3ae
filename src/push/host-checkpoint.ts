/**
 * The part of a host's status that outlives its owner: a new owner pushes only where something
 * differs, and does not ask all unreachable hosts again at once.
 *
 * It is a hint, not truth: the sweep asks every host within a minute anyway. Monotonic times mean
 * nothing on another machine, so failures begin to count anew at the reader.
 */
import type { HostId } from "../inventory/host.ts";
import type { Digest } from "../protocol/digest.ts";
import { formatFence, parseFence } from "../protocol/fence.ts";
import type { Manifest } from "../protocol/manifest.ts";
import type { HeldConfig } from "../protocol/sync.ts";
import { noProblems, type HeldState } from "./held-state.ts";
import {
  newStatus,
  type HostError,
  type HostStatus,
  type Moment,
  type Parked,
  type Reachability,
} from "./host-status.ts";
import { outcomePolicies } from "./outcome.ts";
import { backoffMs } from "./status-reducer.ts";

/** JSON-able; absent fields are left out. */
export interface HostCheckpoint {
  readonly id: HostId;
  /** Digest the host last said it holds, with its fence. */
  readonly manifest?: Digest;
  readonly fence?: string;
  readonly reachability: Reachability;
  readonly failures: number;
  /** Wall time in milliseconds, for people. */
  readonly lastContactAt?: number;
  readonly error?: HostError;
  readonly parked?: Parked;
  readonly isQuarantined?: true;
  /** Results that are neither applied nor unchanged. */
  readonly problems?: readonly HeldConfig[];
}

export function checkpointOf(id: HostId, status: HostStatus): HostCheckpoint {
  const { held, lastContactWallMs, lastError, parked } = status;
  return {
    id,
    reachability: status.reachability,
    failures: status.failures,
    ...(held === undefined ? undefined : { manifest: held.manifest }),
    ...(held?.fence === undefined ? undefined : { fence: formatFence(held.fence) }),
    ...(held === undefined || held.problems.length === 0 ? undefined : { problems: held.problems }),
    ...(lastContactWallMs === undefined ? undefined : { lastContactAt: lastContactWallMs }),
    ...(lastError === undefined ? undefined : { error: lastError }),
    ...(parked === undefined ? undefined : { parked }),
    ...(status.isQuarantined ? { isQuarantined: true as const } : undefined),
  };
}

/** True where the checkpoint of `after` says something that the one of `before` does not. */
export function isWorthCheckpoint(before: HostStatus, after: HostStatus): boolean {
  return (
    before.held !== after.held ||
    before.reachability !== after.reachability ||
    before.parked !== after.parked ||
    before.isQuarantined !== after.isQuarantined ||
    before.lastError?.class !== after.lastError?.class
  );
}

/** The checkpoint may be old news: a new owner asks failing hosts itself before long. */
const firstTryMaxMs = 15_000;

/** The status that a new owner starts from. `draw` in [0, 1) spreads the first tries. */
export function restoreStatus(
  checkpoint: HostCheckpoint,
  manifest: Manifest,
  moment: Moment,
  draw: number,
): HostStatus {
  const { error, failures } = checkpoint;
  const isFailing = failures > 0 || checkpoint.isQuarantined === true;
  const delayMs =
    isFailing && error !== undefined
      ? Math.min(backoffMs(outcomePolicies[error.class], failures, draw), draw * firstTryMaxMs)
      : undefined;
  return newStatus({
    reachability: checkpoint.reachability,
    failures,
    failingSinceMs: moment.atMs,
    attempts: failures,
    lastContactWallMs: checkpoint.lastContactAt,
    lastError: error,
    nextAttemptMs: delayMs === undefined ? undefined : moment.atMs + delayMs,
    nextAttemptWallMs: delayMs === undefined ? undefined : moment.wallMs + delayMs,
    held: heldOf(checkpoint, manifest),
    parked: checkpoint.parked,
    parkedSinceMs: moment.atMs,
    isQuarantined: checkpoint.isQuarantined === true,
    boot: checkpoint.parked?.boot,
    agent: checkpoint.parked?.agent,
  });
}

function heldOf(checkpoint: HostCheckpoint, manifest: Manifest): HeldState | undefined {
  if (checkpoint.manifest === undefined) return undefined;
  const isDesired = checkpoint.manifest === manifest.digest;
  return {
    manifest: isDesired ? manifest.digest : checkpoint.manifest,
    fence: checkpoint.fence === undefined ? undefined : parseFence(checkpoint.fence),
    configs: isDesired ? manifest.configs : undefined,
    problems: checkpoint.problems ?? noProblems,
  };
}
