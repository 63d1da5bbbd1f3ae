/** S1: what a host accepts never goes back, over the whole life of its disk, whoever sent it. */
import type { HostMode } from "../../src/protocol/host-mode.ts";
import { formatFence, goesBack, type Fence } from "../../src/protocol/fence.ts";
import type { Check, Observation, Recorder } from "../observations.ts";

export class FenceCheck implements Check {
  readonly name = "S1 fence";
  /** Syncs that were accepted. */
  acceptedCount = 0;
  /** Those of them that came otherwise than by a dialled connection. */
  readonly acceptedVia: Partial<Record<HostMode, number>> = {};
  readonly #recorder: Recorder;
  readonly #accepted = new Map<string, Fence>();

  constructor(recorder: Recorder) {
    this.#recorder = recorder;
  }

  take(observation: Observation): void {
    if (observation.kind === "host.booted" && observation.isDiskNew) {
      this.#accepted.delete(observation.host);
    }
    if (observation.kind !== "host.synced" || !observation.isAccepted) return;
    this.acceptedCount++;
    const { host, wire, node, via } = observation;
    if (via !== undefined) this.acceptedVia[via] = (this.acceptedVia[via] ?? 0) + 1;
    const before = this.#accepted.get(host);
    if (before !== undefined && goesBack(before, wire)) {
      const text = `${host} accepted ${formatFence(wire)} from ${node} after ${formatFence(before)}`;
      this.#recorder.fail("safety", this.name, text, [host]);
    }
    this.#accepted.set(host, wire);
  }
}
