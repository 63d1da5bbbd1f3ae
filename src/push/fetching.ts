/**
 * Hosts that fetch what they should hold, from a node (`poll`) or an object store (`object`).
 *
 * They cannot be reached, so they cannot be found unreachable either: what counts is how long ago
 * they last said something. Where such a mode is only the second best, pushes that fail are no news
 * about the host as long as it reports; they go on, seldom, so that the better mode comes back.
 */
import type { HostId } from "../inventory/host.ts";
import type { Digest } from "../protocol/digest.ts";
import { formatFence, type Fence } from "../protocol/fence.ts";
import { isFetched, type HostMode } from "../protocol/host-mode.ts";
import { classifyExchange, outcome, outcomePolicies, type PushOutcome } from "./outcome.ts";
import type { Flight, PushEntry } from "./push-entry.ts";

/** A host's answer to a sync that it fetched. */
export interface ReportedReply {
  readonly status: number;
  /** JSON of the reply, not compressed. */
  readonly body: Buffer;
}

/** What an owner knows of a host that asks. */
export interface FetchStanding {
  readonly fence: string;
  /** What it should hold. */
  readonly manifest: Digest;
  /** What it held when it last said so, and that was taken. */
  readonly acknowledged: Digest | undefined;
  /** It should be told something, or say again how it is. */
  readonly needsSync: boolean;
}

/** What an owner compares with what a host left for it in an object store. */
export interface LastWord {
  /** Wanted now. */
  readonly fence: Fence;
  readonly manifest: Digest;
  /** The host's fence when it was last heard. */
  readonly heardFence: Fence | undefined;
  /** It is behind, out of reach, or silent for long. */
  readonly isWanted: boolean;
}

/** A host that holds what it should says how it is this often, in sweeps: constant work, as with a push. */
const sweepsPerReport = 5;
const reportsPerOverdue = 3;

interface ReportPace {
  readonly sweepIntervalMs: number;
  readonly fetchOverdueMs: number;
}

function reportEveryMs({ sweepIntervalMs, fetchOverdueMs }: ReportPace): number {
  return Math.min(sweepsPerReport * sweepIntervalMs, fetchOverdueMs / reportsPerOverdue);
}

/** Notes the sign of life; only a report says what is held. */
export function standingOf(entry: PushEntry, atMs: number, options: ReportPace): FetchStanding {
  const { target, status, reportedMs } = entry;
  entry.heardAt(atMs);
  entry.via = "poll";
  const everyMs = reportEveryMs(options);
  return {
    fence: formatFence(target.fence),
    manifest: target.manifest.digest,
    acknowledged: status.held?.manifest,
    needsSync: entry.needsPush || reportedMs === -1 || atMs - reportedMs >= everyMs,
  };
}

export function lastWordOf(entry: PushEntry, atMs: number, options: ReportPace): LastWord {
  const { target, status, heardMs } = entry;
  const isOld = atMs - heardMs >= reportEveryMs(options);
  return {
    fence: target.fence,
    manifest: target.manifest.digest,
    heardFence: status.held?.fence,
    isWanted: isOld || entry.needsPush || status.reachability !== "ok",
  };
}

/** How a report came that a node was told: a host that polls has just done so. */
export function reportedVia({ target, via }: PushEntry): HostMode {
  const { modes = [] } = target;
  return modes.includes("poll") && (via === "poll" || !modes.includes("object"))
    ? "poll"
    : "object";
}

/** True where what the host should hold lies ready for it already. */
export function isOffered({ offeredFence, target }: PushEntry): boolean {
  return offeredFence !== "" && offeredFence === formatFence(target.fence);
}

/** A report means what the reply to a short sync means: it says what the host holds. */
export function classifyReport(
  { status, body }: ReportedReply,
  host: HostId,
  manifest: Digest,
): PushOutcome {
  const result = { kind: "reply", status, body, retryAfterMs: undefined } as const;
  return classifyExchange(result, { host, manifest, form: "short" });
}

/**
 * A report may be about what the host should have held a while ago: what became of that says what it
 * holds, and nothing about what it should hold now.
 */
export function aboutFence(said: PushOutcome, fence: Fence): PushOutcome {
  const { kind, reply } = said;
  const isVerdict = kind === "rejected" || kind === "failed" || kind === "missing";
  if (!isVerdict || reply === undefined || reply.fence === formatFence(fence)) return said;
  return { ...outcome("differs", ""), reply };
}

/** What the outcome of a push means for a host that may fetch; notes in `entry` what lies ready. */
export function judged(
  entry: PushEntry,
  flight: Flight,
  raw: PushOutcome,
  atMs: number,
  fetchOverdueMs: number,
): PushOutcome {
  if (flight.modes === undefined || !isFetched(flight.modes)) return raw;
  // It may not have been able to fetch either: its silence counts from the end of the outage.
  if (raw.kind === "offers") entry.heardAt(atMs);
  if (raw.kind === "offered") {
    entry.offeredFence = flight.fenceText;
    if (atMs - entry.heardMs < fetchOverdueMs) return raw;
    return outcome("overdue", "the host has neither fetched nor reported for too long");
  }
  const hasReported = entry.reportedMs !== -1 && atMs - entry.reportedMs < fetchOverdueMs;
  if (!outcomePolicies[raw.kind].countsAsUnreachable || !hasReported) return raw;
  const { mayHaveBegun } = raw;
  return { ...outcome("onFallback", `${raw.kind}: ${raw.message}`), mayHaveBegun };
}
