/**
 * Answers about the hosts of some partitions: from memory where they are served here, else nothing
 * (`unserved`), so that the asking node can look elsewhere and count every partition exactly once.
 */
import type { HostRecord } from "../inventory/host.ts";
import type { DamagedHost } from "../inventory/hosts.ts";
import { parseSelector, type Selector } from "../inventory/selector.ts";
import { Tally, hostView, passes, type HostFilter, type KnownHost } from "./host-views.ts";
import type {
  CountsAnswer,
  CountsQuery,
  HostAddress,
  HostsAnswer,
  HostsQuery,
  TakenAddress,
} from "./peers.ts";

/** The hosts of one partition; undefined where this source does not have it. */
export type HostSource = (partition: number) => Iterable<KnownHost> | undefined;

type OwnerOf = (partition: number) => string | undefined;

/** Hosts that pass the query's filter, ascending by id. */
export function answerHosts(query: HostsQuery, source: HostSource, ownerOf: OwnerOf): HostsAnswer {
  const filter: HostFilter = {
    selector: selectorOf(query.selector),
    reachability: query.reachability,
    sync: query.sync,
  };
  const ids = query.ids === undefined ? undefined : new Set(query.ids);
  const found: KnownHost[] = [];
  const unserved = forEachHost(query.partitions, source, (host) => {
    const { id } = host.record;
    if (query.after !== undefined && id <= query.after) return;
    if (ids !== undefined && !ids.has(id)) return;
    if (passes(host, filter)) found.push(host);
  });
  const hosts = found
    .toSorted((left, right) => (left.record.id < right.record.id ? -1 : 1))
    .slice(0, query.limit)
    .map((host) => hostView(host, ownerOf(host.partition), query.isDetailed));
  return { hosts, unserved };
}

/** Hosts of one partition whose record cannot be read. */
export type DamagedSource = (partition: number) => readonly DamagedHost[];

export function answerCounts(
  query: CountsQuery,
  source: HostSource,
  damagedIn: DamagedSource,
): CountsAnswer {
  const scope =
    query.rollout === undefined
      ? undefined
      : { config: query.rollout.config, selector: parseSelector(query.rollout.selector) };
  const tally = new Tally();
  const unserved = forEachHost(query.partitions, source, (host) => tally.add(host, scope));
  const unservedSet = new Set(unserved);
  for (const partition of query.partitions) {
    if (unservedSet.has(partition)) continue;
    for (const { id, error } of damagedIn(partition)) tally.addDamaged(id, error.message, scope);
  }
  return { counts: tally.counts, problems: tally.problems, unserved };
}

/**
 * Which of `asked` addresses belong to another host of `partitions` already. Every request of an import
 * looks at all hosts: at their records, and nothing else of them.
 */
export function takenAddresses(
  asked: readonly HostAddress[],
  partitions: Iterable<number>,
  recordsOf: (partition: number) => Iterable<HostRecord>,
): TakenAddress[] {
  const byAddress = new Map(asked.map((host) => [host.address, host]));
  // Hosts that nobody dials have none, which is no address to share.
  byAddress.delete("");
  const taken: TakenAddress[] = [];
  for (const partition of partitions) {
    for (const { id, address } of recordsOf(partition)) {
      const host = byAddress.get(address);
      if (host !== undefined && host.id !== id) taken.push({ ...host, by: id });
    }
  }
  return taken;
}

function forEachHost(
  partitions: Iterable<number>,
  source: HostSource,
  visit: (host: KnownHost) => void,
): number[] {
  const unserved: number[] = [];
  for (const partition of partitions) {
    const hosts = source(partition);
    if (hosts === undefined) unserved.push(partition);
    else for (const host of hosts) visit(host);
  }
  return unserved;
}

function selectorOf(text: string | undefined): Selector | undefined {
  return text === undefined ? undefined : parseSelector(text);
}
