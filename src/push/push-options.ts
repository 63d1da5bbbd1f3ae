/** Every knob of pushing, with what it trades, and the defaults. */
import type { PaceOptions } from "./pace.ts";
import type { StatusRules } from "./host-status.ts";
import type { SyncBodyOptions } from "./sync-body.ts";

export interface PushOptions extends PaceOptions, StatusRules, SyncBodyOptions {
  /** Total time of a push that may change the host: checks and reloads run inside it. */
  readonly deadlineMs: number;
  /** Total time of a short push, which changes nothing. Shorter finds dead hosts sooner. */
  readonly sweepDeadlineMs: number;
  /** Every host is visited once in this time, changed or not: drift and death are found within it. */
  readonly sweepIntervalMs: number;
  /** A host that fetches (`object`, `poll`) and is silent for this long counts as unreachable. */
  readonly fetchOverdueMs: number;
}

export const defaultPushOptions: PushOptions = {
  // 5,000 hosts in 2.5 s; a tenth of what one core can send on kept connections.
  pushesPerSecond: 2_000,
  // 256 places are enough for 13,000 pushes/s at 20 ms a reply.
  inFlightMax: 256,
  // Places that tarpits can hold without slowing the others.
  suspectInFlightMax: 32,
  retryShareRatio: 0.1,
  // Sweeps of 12,000 hosts a minute at the default pace, however many changes there are.
  sweepShareRatio: 0.1,
  rollbackReserveRatio: 0.1,
  lagHighMs: 100,
  deadlineMs: 10_000,
  sweepDeadlineMs: 3_000,
  sweepIntervalMs: 60_000,
  // Three of the longest polls.
  fetchOverdueMs: 15 * 60_000,
  unreachableFailures: 3,
  unreachableAfterMs: 5_000,
  lostAfterMs: 24 * 60 * 60 * 1_000,
  cacheBytesMax: 64 * 1024 * 1024,
  firstContactBytesMax: 64 * 1024,
};
