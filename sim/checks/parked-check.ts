/**
 * S11, at the nodes: a process that was told that a host's check refuses a manifest does not send that
 * manifest to the same host again as it is.
 *
 * What allows it to be sent again ends the watch over it: another manifest, another process at the
 * host, a change of the host's record, another view (the host may have had another owner meanwhile).
 */
import type { Check, Observation, Recorder } from "../observations.ts";

interface Told {
  readonly node: string;
  readonly host: string;
  readonly manifest: string;
  readonly boot: string | undefined;
}

const hostKey = /\/host#(.+)$/;

export class ParkedCheck implements Check {
  readonly name = "S11 parked";
  /** Refusals that a node was told of. */
  toldCount = 0;
  readonly #recorder: Recorder;
  readonly #told = new Map<string, Told>();

  constructor(recorder: Recorder) {
    this.#recorder = recorder;
  }

  take(observation: Observation): void {
    if (observation.kind === "view.stored") this.#told.clear();
    else if (observation.kind === "node.ended") {
      this.#forget(({ node }) => node === observation.node);
    } else if (observation.kind === "stored") {
      const host = hostKey.exec(observation.key)?.[1];
      if (host !== undefined) this.#forget((told) => told.host === host);
    } else if (observation.kind === "push.sent") this.#sent(observation);
    else if (observation.kind === "push.ended") this.#ended(observation);
  }

  #sent({ node, host, manifest, isFull }: Extract<Observation, { kind: "push.sent" }>): void {
    const told = this.#told.get(`${node} ${host}`);
    if (told === undefined) return;
    if (told.manifest !== manifest) this.#told.delete(`${node} ${host}`);
    else if (isFull) {
      const text = `${node} sends ${manifest} to ${host} again, whose check refuses it`;
      this.#recorder.fail("safety", this.name, text, [node, host]);
    }
  }

  #ended(ended: Extract<Observation, { kind: "push.ended" }>): void {
    const { node, host, manifest, boot, isRejected } = ended;
    if (boot === undefined) return;
    const name = `${node} ${host}`;
    const isOther = this.#told.get(name)?.boot !== boot;
    if (isRejected) {
      this.toldCount++;
      this.#told.set(name, { node, host, manifest, boot });
    } else if (isOther) this.#told.delete(name);
  }

  #forget(isOver: (told: Told) => boolean): void {
    for (const [name, told] of this.#told) if (isOver(told)) this.#told.delete(name);
  }
}
