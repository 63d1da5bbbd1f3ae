/**
 * What the owner knows of one host, as a value (status-reducer.ts makes the next one of each event).
 *
 * Reachability goes unknown -> ok -> suspect -> unreachable -> lost and back on any sign of life.
 * One class with one fixed shape and shared parts (manifest lists, fences, empty lists), because an
 * owner holds one of these for every host of its slice. Only the owner's own monotonic time decides;
 * wall times are for people.
 */
import type { Digest } from "../protocol/digest.ts";
import type { Fence } from "../protocol/fence.ts";
import type { HeldConfig, SyncReply } from "../protocol/sync.ts";
import type { OutcomeKind } from "./outcome.ts";

export const reachabilities = ["unknown", "ok", "suspect", "unreachable", "lost"] as const;
export type Reachability = (typeof reachabilities)[number];

/** What the host holds, by its own last word. */
export interface HeldState {
  readonly manifest: Digest;
  readonly fence: Fence | undefined;
  /** Shared with the manifest where the host is in sync; undefined where only the digest is known. */
  readonly configs: readonly { readonly name: string; readonly digest: string }[] | undefined;
  /** Results other than applied, unchanged and removed. */
  readonly problems: readonly HeldConfig[];
}

export interface HostError {
  readonly class: OutcomeKind;
  readonly message: string;
  readonly wallMs: number;
}

/** A manifest that is not sent to this host again while it is the same agent process. */
export interface Parked {
  readonly manifest: Digest;
  readonly class: OutcomeKind;
  readonly message: string;
  readonly boot: string | undefined;
  readonly agent: string | undefined;
}

export interface HostStatus {
  readonly reachability: Reachability;
  /** Failures in a row that count towards unreachable. */
  readonly failures: number;
  /** Monotonic time of the first of them. */
  readonly failingSinceMs: number;
  /** Attempts in a row without success, whatever the reason: the exponent of the backoff. */
  readonly attempts: number;
  readonly lastContactWallMs: number | undefined;
  readonly lastError: HostError | undefined;
  /** Monotonic; no push before it unless the host shows life. */
  readonly nextAttemptMs: number | undefined;
  readonly nextAttemptWallMs: number | undefined;
  readonly held: HeldState | undefined;
  readonly parked: Parked | undefined;
  /** Monotonic, as far as this node knows. */
  readonly parkedSinceMs: number;
  readonly isQuarantined: boolean;
  /** Configs whose contents the host asked for. */
  readonly asked: readonly string[] | undefined;
  /** `missing` answers in a row. */
  readonly askedRounds: number;
  readonly boot: string | undefined;
  readonly agent: string | undefined;
  readonly state: SyncReply["state"];
}

export interface StatusRules {
  readonly unreachableFailures: number;
  readonly unreachableAfterMs: number;
  readonly lostAfterMs: number;
}

export interface Moment {
  readonly atMs: number;
  readonly wallMs: number;
}

export class Status implements HostStatus {
  reachability: Reachability = "unknown";
  failures = 0;
  failingSinceMs = 0;
  attempts = 0;
  lastContactWallMs: number | undefined = undefined;
  lastError: HostError | undefined = undefined;
  nextAttemptMs: number | undefined = undefined;
  nextAttemptWallMs: number | undefined = undefined;
  held: HeldState | undefined = undefined;
  parked: Parked | undefined = undefined;
  parkedSinceMs = 0;
  isQuarantined = false;
  asked: readonly string[] | undefined = undefined;
  askedRounds = 0;
  boot: string | undefined = undefined;
  agent: string | undefined = undefined;
  state: SyncReply["state"] = undefined;
}

/** A copy to be changed before anyone else sees it. */
export function copyOf(status: HostStatus): Status {
  const copy = new Status();
  copy.reachability = status.reachability;
  copy.failures = status.failures;
  copy.failingSinceMs = status.failingSinceMs;
  copy.attempts = status.attempts;
  copy.lastContactWallMs = status.lastContactWallMs;
  copy.lastError = status.lastError;
  copy.nextAttemptMs = status.nextAttemptMs;
  copy.nextAttemptWallMs = status.nextAttemptWallMs;
  copy.held = status.held;
  copy.parked = status.parked;
  copy.parkedSinceMs = status.parkedSinceMs;
  copy.isQuarantined = status.isQuarantined;
  copy.asked = status.asked;
  copy.askedRounds = status.askedRounds;
  copy.boot = status.boot;
  copy.agent = status.agent;
  copy.state = status.state;
  return copy;
}

/** A host of which nothing is known. `parts` override single fields. */
export function newStatus(parts: Partial<HostStatus> = {}): HostStatus {
  return Object.assign(new Status(), parts);
}

/** True while `manifest` must not be sent to the host again. */
export function isParkedFor(status: HostStatus, manifest: Digest): boolean {
  return status.parked !== undefined && status.parked.manifest === manifest;
}

/** True where the host should be sent `manifest` now. */
export function needsPush(status: HostStatus, manifest: Digest): boolean {
  if (status.isQuarantined || isParkedFor(status, manifest)) return false;
  const { held } = status;
  // A refused release that was taken back leaves the old manifest and a complaint: ask again, so that
  // the host itself says that all is well.
  return held === undefined || held.manifest !== manifest || held.problems.length > 0;
}
