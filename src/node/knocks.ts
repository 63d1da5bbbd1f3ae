/**
 * Knocks of hosts on their way to the owner: verified where they arrive, judged by the owner, who wakes
 * the host. A knock that is lost costs nothing but time: the host knocks again until it is synced.
 *
 * What is passed on is bounded: one call under way to each peer, and behind it the newest knock of each
 * host.
 */
import { parseHostId, type HostId } from "../inventory/host.ts";
import type { Clock } from "../kernel/clock.ts";
import { isCoxswainError } from "../kernel/errors.ts";
import type { Metrics } from "../kernel/metrics.ts";
import type { Pusher } from "../push/pusher.ts";
import { KnockGate } from "./knock-gate.ts";
import type { Peers } from "./peers.ts";
import { knocksPerCallMax, type PassedKnock } from "./shape-calls.ts";
import type { Slice } from "./slice.ts";

/** One datagram of a host, its signature checked. */
export interface VerifiedKnock {
  readonly host: string;
  readonly counter: bigint;
}

export interface KnocksPorts {
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly slot: string;
  readonly slice: () => Slice;
  readonly pusher: () => Pusher;
  readonly peers: Peers;
  readonly partitionOf: (id: HostId) => number;
}

type Outcome = "woken" | "passedOn" | "replayed" | "tooSoon" | "unknownHost" | "noOwner" | "lost";

const passTimeoutMs = 1_000;
const waitingMax = 10_000;

export class Knocks {
  readonly #ports: KnocksPorts;
  readonly #gate = new KnockGate();
  /** By the fleet address of the owner. */
  readonly #waiting = new Map<string, Map<string, bigint>>();
  readonly #underWay = new Set<string>();

  constructor(ports: KnocksPorts) {
    this.#ports = ports;
  }

  /** Knocks that this node received itself. */
  received(knocks: readonly VerifiedKnock[]): void {
    const { slot, partitionOf } = this.#ports;
    const slice = this.#ports.slice();
    for (const knock of knocks) {
      const partition = partitionOf(parseHostId(knock.host));
      const owner = slice.placement.ownerOf(partition);
      if (slice.isServed(partition) || owner === slot) this.#judge(knock, partition);
      else this.#passOn(knock, owner);
    }
  }

  /** Knocks that a peer received; those of hosts served elsewhere go no further. */
  passed(knocks: readonly PassedKnock[]): void {
    for (const { host, counter } of knocks) {
      const partition = this.#ports.partitionOf(parseHostId(host));
      this.#judge({ host, counter: BigInt(counter) }, partition);
    }
  }

  #judge({ host, counter }: VerifiedKnock, partition: number): void {
    const { slice, pusher, clock } = this.#ports;
    const id = parseHostId(host);
    if (slice().record(partition, id)?.modes.includes("knock") !== true) {
      this.#count("unknownHost");
      return;
    }
    const verdict = this.#gate.take(host, counter, clock.monotonicMs());
    this.#count(verdict === "wake" ? "woken" : verdict);
    if (verdict === "wake") pusher().wake(id);
  }

  #passOn({ host, counter }: VerifiedKnock, owner: string | undefined): void {
    const member = this.#ports.slice().view.members.find(({ slot }) => slot === owner);
    if (member === undefined) {
      this.#count("noOwner");
      return;
    }
    const waiting = this.#waiting.get(member.fleetUrl) ?? new Map<string, bigint>();
    this.#waiting.set(member.fleetUrl, waiting);
    if (waiting.size >= waitingMax && !waiting.has(host)) {
      this.#count("lost");
      return;
    }
    waiting.set(host, counter);
    if (!this.#underWay.has(member.fleetUrl)) void this.#send(member.fleetUrl, waiting);
  }

  async #send(fleetUrl: string, waiting: Map<string, bigint>): Promise<void> {
    this.#underWay.add(fleetUrl);
    try {
      // What arrives in this turn goes out together.
      await this.#ports.clock.sleep(0);
      while (waiting.size > 0) {
        const batch = [...waiting].slice(0, knocksPerCallMax);
        for (const [host] of batch) waiting.delete(host);
        const isTaken = await this.#call(fleetUrl, batch);
        this.#count(isTaken ? "passedOn" : "lost", batch.length);
      }
    } finally {
      this.#underWay.delete(fleetUrl);
      this.#waiting.delete(fleetUrl);
    }
  }

  async #call(fleetUrl: string, batch: readonly (readonly [string, bigint])[]): Promise<boolean> {
    const knocks = batch.map(([host, counter]) => ({ host, counter: counter.toString() }));
    try {
      await this.#ports.peers.call(fleetUrl, "knock", { knocks }, passTimeoutMs);
      return true;
    } catch (error) {
      // The host knocks again; by then the view may name another owner.
      if (isCoxswainError(error)) return false;
      throw error;
    }
  }

  #count(outcome: Outcome, by = 1): void {
    this.#ports.metrics.knocksTotal.labels({ outcome }).inc(by);
  }
}
