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
  /** A dead member's row is deleted after being silent and outside the view for this long. */
  readonly rowRetentionMs: number;
}

export const membershipDefaults: MembershipOptions = Object.freeze({
  beatIntervalMs: 1_000,
  storeTimeoutMs: 1_000,
  silenceReadsMin: 5,
  silenceMs: 5_000,
  probeAfterMissedBeats: 2,
  probeTimeoutMs: 500,
  joinQuietMs: 500,
  joinQuietMaxMs: 5_000,
  rankDelayMs: 150,
  massSilenceHoldMs: 25_000,
  wakeMinMs: 100,
  rejoinMinMs: 5_000,
  leaveTimeoutMs: 25_000,
  rowRetentionMs: 1_000_000,
});
