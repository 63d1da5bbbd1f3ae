/** Placement without holding up the event loop: a large cluster takes tens of milliseconds. */
import type { Clock } from "../kernel/clock.ts";
import { createPlacer, type Placement } from "../ring/placement.ts";
import type { View } from "../ring/view.ts";

/** About a millisecond of scores a turn. */
const scoresPerTurn = 200_000;

/** The placement of `view`; rejects with the signal's reason when it aborts. */
export async function placeInTurns(
  view: View,
  partitionsCount: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<Placement> {
  const placer = createPlacer(view, partitionsCount);
  const totalWeight = view.members.reduce((sum, { weight }) => sum + weight, 1);
  const partitionsPerTurn = Math.ceil(scoresPerTurn / totalWeight);
  while (!placer.step(partitionsPerTurn)) await clock.sleep(0, signal);
  return placer.result();
}
