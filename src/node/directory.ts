/**
 * Questions about the whole cluster, answered by any node.
 *
 * The placement of this node's view says whom to ask about which partitions. What nobody serves at
 * the moment (an owner died, a successor still loads) is read from the store, so that lists and counts
 * cover the inventory during a takeover too. What could not be read at all is named, never guessed.
 */
import { CoxswainError, isCoxswainError } from "../kernel/errors.ts";
import type { HostId } from "../inventory/host.ts";
import { answerCounts, answerHosts, takenAddresses, type HostSource } from "./answers.ts";
import { forEachBounded } from "../inventory/bounded.ts";
import { Tally, type KnownHost } from "./host-views.ts";
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

const askTimeoutMs = 2_000;
const asksAtOnce = 16;

export interface DirectoryPorts {
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
    const missing = await this.#ask("hosts", partitions, query, {
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

  async counts(
    rollout?: CountsQuery["rollout"],
  ): Promise<{ counts: Counts; problems: readonly Problem[]; missing: string[] }> {
    const tally = new Tally();
    const query = rollout === undefined ? {} : { rollout };
    const missing = await this.#ask("counts", this.#allPartitions(), query, {
      local: (asked) => answerCounts({ ...query, partitions: asked }, this.#ports.local),
      stored: (asked, source) => answerCounts({ ...query, partitions: asked }, source),
      take: (answer) => tally.merge(answer.counts, answer.problems),
    });
    return { counts: tally.counts, problems: tally.problems, missing };
  }

  /**
   * Addresses that other hosts have, as far as their owners answer. A courtesy that catches mistakes
   * early: the host itself refuses a push that is meant for another id.
   */
  async takenAddresses(hosts: readonly HostAddress[]): Promise<TakenAddress[]> {
    const { slice, local } = this.#ports;
    const taken = takenAddresses(hosts, slice.servedPartitions(), local);
    const ask = { hosts: hosts.map(({ id, address }) => ({ id, address })) };
    await forEachBounded(this.#others(), asksAtOnce, async ({ fleetUrl }) => {
      try {
        const answer = await this.#ports.peers.call(fleetUrl, "addresses", ask, askTimeoutMs);
        taken.push(...answer.taken);
      } catch (error) {
        // See above: a peer that does not answer does not block registrations.
        if (!isCoxswainError(error)) throw error;
      }
    });
    return taken;
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
    handle: {
      local: (asked: readonly number[]) => PeerCalls[Name]["answer"];
      stored: (asked: readonly number[], source: HostSource) => PeerCalls[Name]["answer"];
      take: (answer: PeerCalls[Name]["answer"]) => void;
    },
  ): Promise<string[]> {
    const urls = new Map(this.#others().map(({ slot, fleetUrl }) => [slot, fleetUrl]));
    const unserved: number[] = [];
    const groups = Map.groupBy(partitions, (partition) => this.#ownerOf(partition));
    await forEachBounded([...groups], asksAtOnce, async ([owner, asked]) => {
      if (owner === this.#ports.slot) {
        const answer = handle.local(asked);
        handle.take(answer);
        unserved.push(...answer.unserved);
        return;
      }
      const fleetUrl = owner === undefined ? undefined : urls.get(owner);
      const answer = await this.#askPeer(name, fleetUrl, { ...query, partitions: asked });
      if (answer === undefined) {
        unserved.push(...asked);
        return;
      }
      handle.take(answer);
      unserved.push(...answer.unserved);
    });
    return this.#askStore(unserved, handle);
  }

  async #askPeer<Name extends "hosts" | "counts">(
    name: Name,
    fleetUrl: string | undefined,
    ask: object,
  ): Promise<PeerCalls[Name]["answer"] | undefined> {
    if (fleetUrl === undefined) return undefined;
    try {
      return await this.#ports.peers.call(fleetUrl, name, ask as never, askTimeoutMs);
    } catch (error) {
      // The store is asked instead.
      if (isCoxswainError(error, "MEMBER_UNREACHABLE")) return undefined;
      throw error;
    }
  }

  async #askStore<Answer>(
    partitions: readonly number[],
    handle: {
      stored: (asked: readonly number[], source: HostSource) => Answer;
      take: (answer: Answer) => void;
    },
  ): Promise<string[]> {
    if (partitions.length === 0) return [];
    const read: Map<number, readonly KnownHost[]> = await this.#ports.stored.read(partitions);
    handle.take(handle.stored([...read.keys()], (partition) => read.get(partition)));
    const unread = partitions.filter((partition) => !read.has(partition));
    return [...new Set(unread.map((partition) => this.#ownerOf(partition) ?? "none"))].toSorted();
  }
}
