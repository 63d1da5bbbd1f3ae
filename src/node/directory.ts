/**
 * Questions about the whole cluster, answered by any node.
 *
 * The placement of this node's view says whom to ask about which partitions. What nobody serves at
 * the moment (an owner died, a successor still loads) is read from the store, so that lists and counts
 * cover the inventory during a takeover too. What could not be read in time is named, never guessed:
 * a question has a limit in time of its own, whatever peers and the store do.
 */
import type { Clock } from "../kernel/clock.ts";
import { CoxswainError, isCoxswainError } from "../kernel/errors.ts";
import { withDeadline } from "../membership/bounded-store.ts";
import type { HostId } from "../inventory/host.ts";
import {
  answerCounts,
  answerHosts,
  takenAddresses,
  type DamagedSource,
  type HostSource,
} from "./answers.ts";
import { forEachBounded } from "../inventory/bounded.ts";
import { Tally } from "./host-views.ts";
import type {
  Counts,
  CountsQuery,
  HostAddress,
  HostView,
  HostsQuery,
  PeerCalls,
  Peers,
  Problem,
  TakenAddress,
} from "./peers.ts";
import type { Slice } from "./slice.ts";
import type { StoredHosts } from "./stored-hosts.ts";

const asksAtOnce = 16;

/** How long a question waits: first for all peers together, then for the store in their place. */
export interface Patience {
  readonly askMs: number;
  readonly storeMs: number;
}

/** For who asks to know. */
export const patient: Patience = { askMs: 2_000, storeMs: 2_000 };
/** For what goes along with the answer to a change, which is not to wait for peers. */
export const brief: Patience = { askMs: 500, storeMs: 500 };

export interface DirectoryPorts {
  readonly clock: Clock;
  readonly slot: string;
  readonly slice: Slice;
  readonly peers: Peers;
  readonly stored: StoredHosts;
  /** Hosts served by this node. */
  readonly local: HostSource;
}

export class Directory {
  readonly #ports: DirectoryPorts;

  constructor(ports: DirectoryPorts) {
    this.#ports = ports;
  }

  /** Ascending by id; `missing` names the owners of partitions that could not be read. */
  async hosts(
    query: Omit<HostsQuery, "partitions">,
    partitions: readonly number[] = this.#allPartitions(),
  ): Promise<{ hosts: HostView[]; missing: string[] }> {
    const hosts: HostView[] = [];
    const missing = await this.#ask("hosts", partitions, query, patient, {
      local: (asked) =>
        answerHosts({ ...query, partitions: asked }, this.#ports.local, this.#ownerOf),
      stored: (asked, source) =>
        answerHosts({ ...query, partitions: asked }, source, this.#ownerOf),
      take: (answer) => {
        hosts.push(...answer.hosts);
      },
    });
    hosts.sort((left, right) => (left.id < right.id ? -1 : 1));
    return { hosts: hosts.slice(0, query.limit), missing };
  }

  /** `missing` as in `hosts`. */
  async counts(
    rollout?: CountsQuery["rollout"],
    patience: Patience = patient,
  ): Promise<{ counts: Counts; problems: readonly Problem[]; missing: string[] }> {
    const tally = new Tally();
    const query = rollout === undefined ? {} : { rollout };
    const { local, slice } = this.#ports;
    const damagedHere = (partition: number) => slice.damagedIn(partition);
    const missing = await this.#ask("counts", this.#allPartitions(), query, patience, {
      local: (asked) => answerCounts({ ...query, partitions: asked }, local, damagedHere),
      stored: (asked, source, damagedIn) =>
        answerCounts({ ...query, partitions: asked }, source, damagedIn),
      take: (answer) => tally.merge(answer.counts, answer.problems),
    });
    return { counts: tally.counts, problems: tally.problems, missing };
  }

  /**
   * Addresses that other hosts have, as far as their owners answer within `waitMs`. A courtesy that
   * catches mistakes early: the host itself refuses a push that is meant for another id.
   */
  async takenAddresses(
    hosts: readonly HostAddress[],
    waitMs: number = patient.askMs,
  ): Promise<TakenAddress[]> {
    const { slice, clock } = this.#ports;
    const taken = takenAddresses(hosts, slice.servedPartitions(), (partition) =>
      slice.hostsOf(partition),
    );
    const ask = { hosts: hosts.map(({ id, address }) => ({ id, address })) };
    const others = [...this.#others()];
    const askAll = () =>
      forEachBounded(others, asksAtOnce, async ({ fleetUrl }) => {
        try {
          const answer = await this.#ports.peers.call(fleetUrl, "addresses", ask, waitMs);
          taken.push(...answer.taken);
        } catch (error) {
          // See above: a peer that does not answer does not block registrations.
          if (!isCoxswainError(error)) throw error;
        }
      });
    await withDeadline(askAll, clock, waitMs, undefined, () => others.splice(0));
    return [...taken];
  }

  /** One host as its owner (or the store) knows it; undefined where neither does. */
  async host(id: HostId, partition: number): Promise<HostView | undefined> {
    const query = { ids: [id], limit: 1, isDetailed: true };
    const { hosts, missing } = await this.hosts(query, [partition]);
    if (missing.length > 0) {
      throw new CoxswainError(
        "MEMBER_UNREACHABLE",
        `Neither the owner of ${id} (${missing[0]}) nor the store answers`,
      );
    }
    return hosts[0];
  }

  readonly #ownerOf = (partition: number) => this.#ports.slice.placement.ownerOf(partition);

  #allPartitions(): number[] {
    return Array.from({ length: this.#ports.slice.partitionsCount }, (_, partition) => partition);
  }

  #others(): readonly { slot: string; fleetUrl: string }[] {
    return this.#ports.slice.view.members.filter(({ slot }) => slot !== this.#ports.slot);
  }

  async #ask<Name extends "hosts" | "counts">(
    name: Name,
    partitions: readonly number[],
    query: object,
    patience: Patience,
    handle: {
      local: (asked: readonly number[]) => PeerCalls[Name]["answer"];
      stored: (
        asked: readonly number[],
        source: HostSource,
        damagedIn: DamagedSource,
      ) => PeerCalls[Name]["answer"];
      take: (answer: PeerCalls[Name]["answer"]) => void;
    },
  ): Promise<string[]> {
    const { slot, clock } = this.#ports;
    const unserved: number[] = [];
    const take = (answer: PeerCalls[Name]["answer"]) => {
      handle.take(answer);
      unserved.push(...answer.unserved);
    };
    const groups = Map.groupBy(partitions, (partition) => this.#ownerOf(partition));
    const own = groups.get(slot);
    if (own !== undefined) take(handle.local(own));
    groups.delete(slot);
    const urls = new Map(this.#others().map((member) => [member.slot, member.fleetUrl]));
    let isOver = false;
    const askAll = () =>
      forEachBounded([...groups], asksAtOnce, async ([owner, asked]) => {
        const fleetUrl = owner === undefined ? undefined : urls.get(owner);
        if (fleetUrl === undefined || isOver) return;
        const ask = { ...query, partitions: asked };
        const answer = await this.#askPeer(name, fleetUrl, ask, patience.askMs);
        // An answer that comes too late would count its partitions twice.
        if (answer === undefined || isOver) return;
        groups.delete(owner);
        const ofThese = new Set(asked);
        take({ ...answer, unserved: answer.unserved.filter((number) => ofThese.has(number)) });
      });
    await withDeadline(askAll, clock, patience.askMs, undefined, () => undefined);
    isOver = true;
    for (const asked of groups.values()) unserved.push(...asked);
    return this.#askStore(unserved, patience.storeMs, handle);
  }

  async #askPeer<Name extends "hosts" | "counts">(
    name: Name,
    fleetUrl: string,
    ask: object,
    timeoutMs: number,
  ): Promise<PeerCalls[Name]["answer"] | undefined> {
    try {
      return await this.#ports.peers.call(fleetUrl, name, ask as never, timeoutMs);
    } catch (error) {
      // The store is asked instead.
      if (isCoxswainError(error, "MEMBER_UNREACHABLE")) return undefined;
      throw error;
    }
  }

  async #askStore<Answer>(
    partitions: readonly number[],
    waitMs: number,
    handle: {
      stored: (asked: readonly number[], source: HostSource, damagedIn: DamagedSource) => Answer;
      take: (answer: Answer) => void;
    },
  ): Promise<string[]> {
    if (partitions.length === 0) return [];
    const { stored } = this.#ports;
    const read = await stored.read(partitions, waitMs);
    const source: HostSource = (partition) => read.get(partition)?.hosts;
    const damagedIn: DamagedSource = (partition) => read.get(partition)?.damaged ?? [];
    handle.take(handle.stored([...read.keys()], source, damagedIn));
    const unread = partitions.filter((partition) => !read.has(partition));
    return [...new Set(unread.map((partition) => this.#ownerOf(partition) ?? "none"))].toSorted();
  }
}
