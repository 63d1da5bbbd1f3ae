/**
 * Promise 7: nobody is evicted who was able to beat. Each eviction gets the cause that the world knows:
 * the victim's process was gone, leaving, frozen, cut off from the store, or its own calls to the store
 * had trouble. A victim with none of these is a false eviction: short pauses, starvation, clocks that
 * differ and trouble between nodes are no reasons. Nor may a living victim be marked before its last
 * beat is as old as silence takes. The one exception (`misled`) is counted apart: a lone observer
 * behind a firewall that refuses its probes.
 */
import { causeOf, isMisled, isUnready, type Cause } from "../causes.ts";
import type { Check, Observation } from "../observations.ts";
import type { World } from "../world.ts";

/** `silenceMs` on a clock that runs as fast as the simulator lets one run. */
const silenceMinMs = 5_000 / 1.05 - 1;

/** The beginning of a fault that is no reason to evict anybody. */
const harmless = /^(?:nodePause|nodeStarve|wallStep): /;

export class EvictionCheck implements Check {
  readonly name = "S10 false eviction";
  /** Evictions by cause. */
  readonly counts: Partial<Record<Cause, number>> = {};
  /** Pauses, starvations and steps of clocks that were to be survived. */
  harmlessCount = 0;
  readonly #world: World;
  readonly #lastBeatMs = new Map<string, number>();
  /** Cause of the last mark by slot, until the view is without it. */
  readonly #marked = new Map<string, Cause>();
  #slots: ReadonlySet<string> = new Set();

  constructor(world: World) {
    this.#world = world;
  }

  take(observation: Observation): void {
    if (observation.kind === "note") {
      if (harmless.test(observation.text)) this.harmlessCount++;
    } else if (observation.kind === "stored") {
      const { by, key } = observation;
      if (key === `member/${by}`) this.#lastBeatMs.set(by, this.#world.timeline.nowMs);
    } else if (observation.kind === "member.marked") this.#judge(observation);
    else if (observation.kind === "view.stored") {
      const { members } = observation.view;
      const still = new Set(members.map(({ slot }) => slot));
      for (const slot of this.#slots) {
        const cause = this.#marked.get(slot);
        if (still.has(slot) || cause === undefined) continue;
        this.counts[cause] = (this.counts[cause] ?? 0) + 1;
        this.#marked.delete(slot);
      }
      this.#slots = still;
    }
  }

  #judge({ by, slot, reason }: Extract<Observation, { kind: "member.marked" }>): void {
    const world = this.#world;
    const lastBeatMs = this.#lastBeatMs.get(slot) ?? -Infinity;
    const silentMs = world.timeline.nowMs - lastBeatMs;
    let cause = causeOf(world, slot, reason, lastBeatMs);
    const isEarly = reason === "silent" && cause !== "dead" && cause !== "table";
    if (isEarly && silentMs < silenceMinMs) cause = "false";
    if (cause === "false" && isUnready(world, slot, lastBeatMs)) cause = "unready";
    if (cause === "false" && isMisled(world, by, slot, lastBeatMs, this.#slots)) cause = "misled";
    this.#marked.set(slot, cause);
    if (cause !== "false") return;
    const text = `${by} marks ${slot} as ${reason}, which was able to beat and did so ${Math.round(silentMs)} ms ago`;
    world.recorder.fail("safety", this.name, text, [slot, by]);
  }
}
