/** S9, at the host: no config changes unless a push is being applied or a crash is being undone. */
import type { Check, Observation, Recorder } from "../observations.ts";

export class UnpushedCheck implements Check {
  readonly name = "S9 unpushed";
  readonly #recorder: Recorder;

  constructor(recorder: Recorder) {
    this.#recorder = recorder;
  }

  take(observation: Observation): void {
    if (observation.kind !== "host.changed" || observation.isPushed) return;
    const text = `${observation.host} changed ${observation.path} without a push`;
    this.#recorder.fail("safety", this.name, text, [observation.host]);
  }
}
