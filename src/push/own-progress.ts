/**
 * Whether the pushes of this node show it at work, for the report that its beats carry.
 *
 * A push that nobody answered is an end like any other while others are answered: hosts die. Where at
 * least `silentHostsMin` different hosts in a row did not answer and none did, it is no longer: the node
 * may have lost its way to all hosts and beat on, and the other members should get to know.
 */
import type { HostId } from "../inventory/host.ts";
import { outcomePolicies, type OutcomeKind } from "./outcome.ts";

const silentHostsMin = 10;

export class OwnProgress {
  /** At most `silentHostsMin`. */
  readonly #silentHosts = new Set<HostId>();

  /** True where the end of this push shows the node at work. */
  ended(id: HostId, kind: OutcomeKind): boolean {
    const { isSignOfLife, countsAsUnreachable } = outcomePolicies[kind];
    if (isSignOfLife) this.#silentHosts.clear();
    else if (countsAsUnreachable || kind === "local") this.#noteSilent(id);
    return kind !== "local" && !this.isStuck;
  }

  /** No host answers any more, and enough were asked. */
  get isStuck(): boolean {
    return this.#silentHosts.size >= silentHostsMin;
  }

  #noteSilent(id: HostId): void {
    if (!this.isStuck) this.#silentHosts.add(id);
  }
}
