/**
 * Timings of membership: each with the formula it feeds and both directions of its trade-off.
 *
 * All are durations of the reader's own monotonic clock or counts of its own reads; none is ever
 * compared with a value from another machine.
 */

export interface MembershipOptions {
  /** One beat and one read round each. Shorter finds deaths sooner, longer costs the store less. */
  readonly beatIntervalMs: number;
  /** Deadline of one store call; a hanging store costs one beat, not the loop. */
  readonly storeTimeoutMs: number;
  /** Reads without a change before a member is silent. More tolerates a slower writer. */
  readonly silenceReadsMin: number;
  /** Time without a change before a member is silent; above the longest pause to be tolerated. */
  readonly silenceMs: number;
  /** Members that must agree before one is marked, where so many live. One would trust a lone reader. */
  readonly observersMin: number;
  /** Reads without a change before the member's own address is probed. */
  readonly probeAfterMissedBeats: number;
  /** Deadline of one probe. */
  readonly probeTimeoutMs: number;
  /** Joins and leaves wait until none was added for this long, so that they share one view. */
  readonly joinQuietMs: number;
  /** Longest wait of the first join or leave for others. */
  readonly joinQuietMaxMs: number;
  /** Proposers go one after another: rank times this. Longer wastes fewer writes, acts later. */
  readonly rankDelayMs: number;
  /**
   * Mass silence is held this long, and then evicted in steps of this length. Five members of
   * which three died are whole again after silence + 3 steps.
   */
  readonly massSilenceHoldMs: number;
  /** Shortest time between two rounds, however many hints come. */
  readonly wakeMinMs: number;
  /** Shortest time between two re-registrations of an evicted but living member. */
  readonly rejoinMinMs: number;
  /** Longest graceful leave; below the time the process supervisor waits before it kills. */
  readonly leaveTimeoutMs: number;
  /**
   * Own beats without a finished push, while hosts are queued, until a member counts as stalled.
   * Above the longest push; shorter demotes nodes that are only slow.
   */
  readonly stallBeats: number;
  /** Evictions within this many beats of service count together. */
  readonly flapWindowBeats: number;
  /** From this many on a slot is on probation when it comes back. */
  readonly flapEvictionsMin: number;
  /** First probation; each further eviction doubles it. Longer keeps capacity out, shorter moves more. */
  readonly probationBeatsMin: number;
  /** Longest probation, and the one after an eviction by command. */
  readonly probationBeatsMax: number;
  /** Reads in a row that find the view missing or older before the table counts as lost. */
  readonly lossReadsMin: number;
  /** Shortest time between two raises of the generation by one node. */
  readonly raiseMinMs: number;
  /** A dead member's row is deleted after being silent and outside the view for this long. */
  readonly rowRetentionMs: number;
}

export const membershipDefaults: MembershipOptions = Object.freeze({
  beatIntervalMs: 1_000,
  storeTimeoutMs: 1_000,
  silenceReadsMin: 5,
  silenceMs: 5_000,
  observersMin: 2,
  probeAfterMissedBeats: 2,
  probeTimeoutMs: 500,
  joinQuietMs: 500,
  joinQuietMaxMs: 5_000,
  rankDelayMs: 150,
  massSilenceHoldMs: 25_000,
  wakeMinMs: 100,
  rejoinMinMs: 5_000,
  leaveTimeoutMs: 25_000,
  stallBeats: 45,
  flapWindowBeats: 600,
  flapEvictionsMin: 3,
  probationBeatsMin: 30,
  probationBeatsMax: 300,
  lossReadsMin: 3,
  raiseMinMs: 30_000,
  rowRetentionMs: 1_000_000,
});
