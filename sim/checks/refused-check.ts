/**
 * S11, releases that a host cannot take: what its check refuses never stands in the file, what its
 * reload refuses is taken back before the reply, and the content from before stays. After a crash the
 * same holds.
 */
import type { Check, Observation, Recorder } from "../observations.ts";

export class RefusedCheck implements Check {
  readonly name = "S11 refused release";
  /** Answers in which a host refused a release. */
  refusalCount = 0;
  /** Config files that changed, back again included. */
  changeCount = 0;
  readonly #recorder: Recorder;
  /** Digest of what stood there after the last answer, by host. */
  readonly #settled = new Map<string, string>();

  constructor(recorder: Recorder) {
    this.#recorder = recorder;
  }

  take(observation: Observation): void {
    if (observation.kind === "host.changed") {
      this.changeCount++;
      if (observation.verdict !== "refused") return;
      this.#fail(observation.host, "put a content in place that its check refuses");
    } else if (observation.kind === "host.booted") this.#settle(observation, "after a crash");
    else if (observation.kind === "host.synced") {
      const { host, content, isRefused, held } = observation;
      const before = this.#settled.get(host);
      if (isRefused) this.refusalCount++;
      if (isRefused && before !== undefined && before !== content) {
        this.#fail(host, `refused a release and changed ${before} into ${content} all the same`);
      }
      this.#settle(observation, `while it states ${held}`);
    }
  }

  #settle(
    { host, content, verdict }: { host: string; content: string; verdict: string },
    when: string,
  ): void {
    if (verdict !== "good") this.#fail(host, `holds the ${verdict} content ${content} ${when}`);
    this.#settled.set(host, content);
  }

  #fail(host: string, what: string): void {
    this.#recorder.fail("safety", this.name, `${host} ${what}`, [host]);
  }
}
