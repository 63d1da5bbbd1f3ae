/** S2: what a host accepts is what some stored version of the rules and of its record gives. */
import { formatFence } from "../../src/protocol/fence.ts";
import type { Check, Observation, Recorder } from "../observations.ts";
import type { Oracle } from "../oracle.ts";

export class PublishedCheck implements Check {
  readonly name = "S2 published";
  readonly #recorder: Recorder;
  readonly #oracle: Oracle;

  constructor(recorder: Recorder, oracle: Oracle) {
    this.#recorder = recorder;
    this.#oracle = oracle;
  }

  take(observation: Observation): void {
    if (observation.kind !== "host.synced" || !observation.isAccepted) return;
    const { host, wire, offered, node } = observation;
    const published = this.#oracle.manifests(host, wire);
    if (published.has(offered)) return;
    this.#recorder.fail(
      "safety",
      this.name,
      `${host} accepted ${offered} with ${formatFence(wire)} from ${node}; that fence stands for ${[...published].join(" or ") || "nothing"}`,
      [host],
    );
  }
}
