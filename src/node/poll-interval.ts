/**
 * When a host that polls should ask again: so seldom that all pollers together stay at half of what the
 * node lets in, because retries and changes of many hosts at once need the other half.
 */

/** A host that is silent for three of these is unreachable (`fetchOverdueMs`). */
export const pollMaxMs = 5 * 60_000;
const aimRatio = 0.5;
/** Hosts that once asked together do not go on doing so. */
const spreadRatio = 0.2;

/** `draw` in [0, 1). From `pollMinMs` to `pollMaxMs`, less or more by a tenth. */
export function nextPollMs(
  pollersCount: number,
  options: { readonly pollsPerSecond: number; readonly pollMinMs: number },
  draw: number,
): number {
  const fairMs = (pollersCount / (options.pollsPerSecond * aimRatio)) * 1_000;
  const meanMs = Math.min(pollMaxMs, Math.max(options.pollMinMs, fairMs));
  return Math.round(meanMs * (1 - spreadRatio / 2 + spreadRatio * draw));
}
