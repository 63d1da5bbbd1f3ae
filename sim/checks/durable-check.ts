/** S4, at the host: what a reply stated is still there after any crash of the machine. */
import { formatFence, goesBack, type Fence } from "../../src/protocol/fence.ts";
import type { Check, Observation, Recorder } from "../observations.ts";

interface Stated {
  readonly fence: Fence;
  /** Undefined where a crash in the middle of a sync may have changed it. */
  readonly held: string | undefined;
}

export class DurableCheck implements Check {
  readonly name = "S4 durable";
  /** Restarts on a disk that had acknowledged something. */
  restartCount = 0;
  readonly #recorder: Recorder;
  readonly #stated = new Map<string, Stated>();

  constructor(recorder: Recorder) {
    this.#recorder = recorder;
  }

  take(observation: Observation): void {
    if (observation.kind === "host.synced" && observation.isAccepted) {
      const { host, wire, held } = observation;
      this.#stated.set(host, { fence: wire, held });
    }
    if (observation.kind !== "host.booted") return;
    const { host, isDiskNew, isIdleCrash, fence, held } = observation;
    const stated = this.#stated.get(host);
    if (isDiskNew || stated === undefined) {
      this.#stated.delete(host);
      return;
    }
    this.restartCount++;
    if (fence === undefined || goesBack(stated.fence, fence)) {
      const found = fence === undefined ? "none" : formatFence(fence);
      const text = `${host} had acknowledged ${formatFence(stated.fence)} and has ${found} after a crash`;
      this.#recorder.fail("safety", this.name, text, [host]);
    } else if (isIdleCrash && stated.held !== undefined && stated.held !== held) {
      const text = `${host} had acknowledged ${stated.held} and holds ${held} after a crash`;
      this.#recorder.fail("safety", this.name, text, [host]);
    }
    if (!isIdleCrash) this.#stated.set(host, { fence: stated.fence, held: undefined });
  }
}
