/**
 * The stored view: its number only grows, nobody is evicted who only paused, and many deaths at once
 * are evicted in steps.
 */
import { isNewerView, type View } from "../../src/ring/view.ts";
import type { Check, Observation, Recorder } from "../observations.ts";
import type { Profile } from "../swarm.ts";
import type { Timeline } from "../timeline.ts";

/** Shorter than `massSilenceHoldMs`, by more than it takes to see a death. */
const holdMs = 20_000;

export class ViewCheck implements Check {
  readonly name = "S10 evictions";
  readonly #recorder: Recorder;
  readonly #timeline: Timeline;
  readonly #profile: Profile;
  #view: View | undefined;
  #isStrict = true;
  #mass: { readonly atMs: number; readonly limit: number; evicted: number } | undefined;

  constructor(recorder: Recorder, timeline: Timeline, profile: Profile) {
    this.#recorder = recorder;
    this.#timeline = timeline;
    this.#profile = profile;
  }

  take(observation: Observation): void {
    // From here on nodes are gone for good, whatever the profile allowed before.
    if (observation.kind === "note" && observation.text === "healed") this.#isStrict = false;
    if (observation.kind === "note" && observation.text.startsWith("massCrash: ")) {
      const limit = Math.max(1, Math.floor((this.#view?.members.length ?? 0) / 3));
      this.#mass = { atMs: this.#timeline.nowMs, limit, evicted: 0 };
    }
    if (observation.kind !== "view.stored") return;
    const { view, by } = observation;
    const before = this.#view;
    this.#view = view;
    if (before === undefined) return;
    if (!isNewerView(view, before)) {
      const text = `${by} stored view ${view.generation}.${view.version} over ${before.generation}.${before.version}`;
      this.#recorder.fail("safety", "S5 view", text, ["node"]);
    }
    const still = new Set(view.members.map(({ slot }) => slot));
    const evicted = before.members.filter(
      ({ slot, state }) => state === "active" && !still.has(slot),
    );
    if (evicted.length > 0)
      this.#evicted(
        evicted.map(({ slot }) => slot),
        by,
      );
  }

  #evicted(slots: readonly string[], by: string): void {
    if (!this.#isStrict) return;
    const names = slots.join(" ");
    if (this.#profile === "pauses" || this.#profile === "planned") {
      const text = `${by} evicted ${names}, which never stopped for more than 3 s`;
      this.#recorder.fail("safety", this.name, text, ["node"]);
    }
    const mass = this.#mass;
    if (this.#profile !== "massSilence" || mass === undefined) return;
    if (this.#timeline.nowMs - mass.atMs > holdMs) return;
    mass.evicted += slots.length;
    if (mass.evicted <= mass.limit) return;
    const text = `${mass.evicted} members evicted within ${holdMs} ms of their common death (${names} last)`;
    this.#recorder.fail("safety", this.name, text, ["node"]);
  }
}
