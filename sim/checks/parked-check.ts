/**
 * S11, at the nodes: a process that was told that a host's check refuses a manifest does not send that
 * manifest to the same host again as it is.
 *
 * What allows it to be sent again ends the watch over it: another manifest, another process at the
 * host, a change of the host's record, another view (the host may have had another owner meanwhile).
 * An answer to a push from before such an end is not counted: a node that lets go of a host and takes
 * it up again may not believe what it is told of its former time.
 */
import type { Check, Observation, Recorder } from "../observations.ts";

interface Pair {
  readonly node: string;
  readonly host: string;
}

interface Told extends Pair {
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
  /** Pushes whose answer counts; a node has one under way to a host. */
  readonly #underWay = new Map<string, Pair>();

  constructor(recorder: Recorder) {
    this.#recorder = recorder;
  }

  take(observation: Observation): void {
    if (observation.kind === "view.stored") this.#forget(() => true);
    else if (observation.kind === "node.ended") {
      this.#forget(({ node }) => node === observation.node);
    } else if (observation.kind === "stored") {
      const host = hostKey.exec(observation.key)?.[1];
      if (host !== undefined) this.#forget((pair) => pair.host === host);
    } else if (observation.kind === "push.sent") this.#sent(observation);
    else if (observation.kind === "push.ended") this.#ended(observation);
  }

  #sent({ node, host, manifest, isFull }: Extract<Observation, { kind: "push.sent" }>): void {
    const name = `${node} ${host}`;
    this.#underWay.set(name, { node, host });
    const told = this.#told.get(name);
    if (told === undefined) return;
    if (told.manifest !== manifest) this.#told.delete(name);
    else if (isFull) {
      const text = `${node} sends ${manifest} to ${host} again, whose check refuses it`;
      this.#recorder.fail("safety", this.name, text, [node, host]);
    }
  }

  #ended(ended: Extract<Observation, { kind: "push.ended" }>): void {
    const { node, host, manifest, boot, isRejected } = ended;
    const name = `${node} ${host}`;
    const isItsOwn = this.#underWay.delete(name);
    if (boot === undefined || !isItsOwn) return;
    const isOther = this.#told.get(name)?.boot !== boot;
    if (isRejected) {
      this.toldCount++;
      this.#told.set(name, { node, host, manifest, boot });
    } else if (isOther) this.#told.delete(name);
  }

  #forget(isOver: (pair: Pair) => boolean): void {
    for (const pairs of [this.#told, this.#underWay]) {
      for (const [name, pair] of pairs) if (isOver(pair)) pairs.delete(name);
    }
  }
}
