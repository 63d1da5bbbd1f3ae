/** S7: one push in flight per node and host, and never more pushes than the node's pace. */
import type { Check, Observation, Recorder } from "../observations.ts";
import type { Timeline } from "../timeline.ts";

interface Account {
  tokens: number;
  atMs: number;
  readonly inFlight: Set<string>;
}

/** The pusher's burst, and a place for rounding. */
const burstMs = 50;
const slackCount = 1;

export class PaceCheck implements Check {
  readonly name = "S7 pace";
  readonly #recorder: Recorder;
  readonly #timeline: Timeline;
  readonly #pushesPerSecond: number;
  readonly #accounts = new Map<string, Account>();
  pushCount = 0;

  /** Start of each process, and what the ended ones lived. */
  readonly #startedMs = new Map<string, number>();
  #endedMs = 0;

  constructor(recorder: Recorder, timeline: Timeline, pushesPerSecond: number) {
    this.#recorder = recorder;
    this.#timeline = timeline;
    this.#pushesPerSecond = pushesPerSecond;
  }

  /** Virtual time that processes of nodes lived so far. */
  nodeMs(): number {
    const { nowMs } = this.#timeline;
    return [...this.#startedMs.values()].reduce((sum, at) => sum + nowMs - at, this.#endedMs);
  }

  take(observation: Observation): void {
    if (observation.kind === "node.started") {
      this.#startedMs.set(observation.node, this.#timeline.nowMs);
    } else if (observation.kind === "node.ended") {
      const { nowMs } = this.#timeline;
      this.#accounts.delete(observation.node);
      this.#endedMs += nowMs - (this.#startedMs.get(observation.node) ?? nowMs);
      this.#startedMs.delete(observation.node);
    } else if (observation.kind === "push.ended") {
      this.#accounts.get(observation.node)?.inFlight.delete(observation.host);
    } else if (observation.kind === "push.sent") {
      this.#sent(observation.node, observation.host, observation.localMs);
    }
  }

  #sent(node: string, host: string, atMs: number): void {
    this.pushCount++;
    const capacity = Math.max(1, (this.#pushesPerSecond * burstMs) / 1_000) + slackCount;
    const account = this.#accounts.get(node) ?? { tokens: capacity, atMs, inFlight: new Set() };
    this.#accounts.set(node, account);
    const earned = ((atMs - account.atMs) * this.#pushesPerSecond) / 1_000;
    account.tokens = Math.min(capacity, account.tokens + earned) - 1;
    account.atMs = atMs;
    if (account.tokens < -1e-6) {
      const text = `${node} pushes faster than ${this.#pushesPerSecond} a second`;
      this.#recorder.fail("safety", this.name, text, [node]);
    }
    if (account.inFlight.has(host)) {
      const text = `${node} has two pushes to ${host} in flight`;
      this.#recorder.fail("safety", this.name, text, [node, host]);
    }
    account.inFlight.add(host);
  }
}
