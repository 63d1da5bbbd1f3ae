/** The options of a node as its parts take them: what no option names keeps the part's default. */
import { membershipDefaults, type MembershipOptions } from "../membership/options.ts";
import { defaultPushOptions, type PushOptions } from "../push/push-options.ts";
import type { NodeOptions } from "./options.ts";

/** A push that is stuck ends with its deadline, so three deadlines without an end are no slow host. */
const stalledDeadlines = 3;
const stalledSweeps = 3;
/** A demotion must not take minutes where sweeps are minutes apart. */
const stalledMaxMs = 45_000;

export function membershipOptionsOf(options: NodeOptions): MembershipOptions {
  const { beatIntervalMs, sweepIntervalMs, pushDeadlineMs } = options;
  const stalledMs = Math.max(
    Math.min(stalledSweeps * sweepIntervalMs, stalledMaxMs),
    stalledDeadlines * pushDeadlineMs,
  );
  return {
    ...membershipDefaults,
    beatIntervalMs,
    silenceMs: options.silenceMs,
    silenceReadsMin: options.silenceReads,
    joinQuietMs: options.joinQuietMs,
    leaveTimeoutMs: options.drainTimeoutMs,
    stallBeats: Math.ceil(stalledMs / beatIntervalMs),
  };
}

export function pushOptionsOf(options: NodeOptions): PushOptions {
  return {
    ...defaultPushOptions,
    pushesPerSecond: options.pushesPerSecond,
    inFlightMax: options.inFlight,
    suspectInFlightMax: options.suspectInFlight,
    deadlineMs: options.pushDeadlineMs,
    sweepDeadlineMs: Math.min(options.pushDeadlineMs, defaultPushOptions.sweepDeadlineMs),
    sweepIntervalMs: options.sweepIntervalMs,
  };
}
