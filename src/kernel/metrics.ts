/**
 * Every metric, named once; docs/metrics.md lists them and a test proves that both lists are equal.
 * No host id is ever a label: the number of series does not grow with the fleet.
 */
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { LabelledCounter } from "./labelled-counter.ts";
import { SecondsHistogram } from "./seconds-histogram.ts";

const secondsBuckets = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** The metrics of one node, on a registry of their own. */
export function createMetrics(registry: Registry = new Registry()) {
  const counter = <Label extends string = never>(
    name: string,
    help: string,
    labelNames: readonly Label[] = [],
  ) => new Counter({ name: `coxswain_${name}`, help, labelNames, registers: [registry] });
  const gauge = <Label extends string = never>(
    name: string,
    help: string,
    labelNames: readonly Label[] = [],
  ) => new Gauge({ name: `coxswain_${name}`, help, labelNames, registers: [registry] });
  const seconds = <Label extends string = never>(
    name: string,
    help: string,
    labelNames: readonly Label[] = [],
  ) =>
    new Histogram({
      name: `coxswain_${name}`,
      help,
      labelNames,
      buckets: secondsBuckets,
      registers: [registry],
    });
  const hotSeconds = (name: string, help: string, labelName?: string) =>
    new SecondsHistogram({
      name: `coxswain_${name}`,
      help,
      buckets: secondsBuckets,
      ...(labelName === undefined ? undefined : { labelName }),
      registry,
    });
  return {
    registry,
    viewGeneration: gauge("view_generation", "Generation of the view this node holds."),
    viewVersion: gauge(
      "view_version",
      "Version of the view this node holds. Bad: differs between nodes for more than a few seconds.",
    ),
    viewMembers: gauge("view_members", "Members in the view by state.", ["state"]),
    viewChangesTotal: counter(
      "view_changes_total",
      "View changes this node proposed and won, by reason.",
      ["reason"],
    ),
    beatsTotal: counter("beats_total", "Beats by outcome. Bad: anything but written.", ["outcome"]),
    storeReachable: gauge(
      "store_reachable",
      "1 while the last membership round reached the store. Bad: 0.",
    ),
    memberItemsCorrupt: gauge(
      "member_items_corrupt",
      "Member items that cannot be read and are left out. Bad: above 0.",
    ),
    storeBehind: gauge(
      "store_behind",
      "1 while the stored view is missing or older than one this node has seen. Bad: 1.",
    ),
    membersStalled: gauge(
      "members_stalled",
      "Active members that beat and finish no push though hosts wait. Bad: above 0.",
    ),
    evictionHeld: gauge("eviction_held", "1 while mass silence holds evictions. Bad: 1."),
    placementMismatch: gauge(
      "placement_mismatch",
      "Members whose placement hash differs for the same view. Bad: above 0.",
    ),
    partitionsOwned: gauge("partitions_owned", "Partitions this node serves."),
    hostsOwned: gauge("hosts_owned", "Hosts this node serves."),
    hostsDamaged: gauge(
      "hosts_damaged",
      "Owned hosts whose record cannot be read; they keep what they had. Bad: above 0.",
    ),
    hostsByReachability: gauge("hosts_reachability", "Owned hosts by reachability.", [
      "reachability",
    ]),
    hostsOutOfSync: gauge("hosts_out_of_sync", "Owned hosts that do not hold what they should."),
    pushesTotal: new LabelledCounter({
      name: "coxswain_pushes_total",
      help: "Pushes by lane and outcome.",
      labelNames: ["lane", "outcome"],
      registry,
    }),
    pushSeconds: hotSeconds("push_seconds", "From the first byte sent to the reply.", "lane"),
    pushQueueSeconds: hotSeconds("push_queue_seconds", "Time a push waited for its turn.", "lane"),
    convergenceSeconds: hotSeconds(
      "convergence_seconds",
      "From learning of a change to the host's acknowledgement.",
    ),
    pushesInFlight: gauge("pushes_in_flight", "Pushes under way."),
    pushInFlightLimit: gauge(
      "push_in_flight_limit",
      "Places in flight as the pace has adapted them. Bad: far below --in-flight for minutes.",
    ),
    pushRateLimit: gauge(
      "push_rate_limit",
      "Pushes per second as the pace has adapted them. Bad: below --pushes-per-second for minutes.",
    ),
    pushQueueLength: gauge("push_queue_length", "Hosts waiting, by lane.", ["lane"]),
    pushSockets: gauge("push_sockets", "Host connections held open."),
    driftTotal: counter(
      "drift_total",
      "Hosts found holding something else than they had acknowledged. Bad: above 0.",
    ),
    staleFenceTotal: counter(
      "stale_fence_total",
      "Pushes a host refused as going back (409). Bad: a steady rate.",
    ),
    knocksTotal: counter(
      "knocks_total",
      "Knocks by what became of them. Bad: a rate of forged or overBudget ones is somebody's attack.",
      ["outcome"],
    ),
    objectWritesTotal: counter(
      "object_writes_total",
      "Writes to the object store by kind of object and outcome; refused: another node was faster. Bad: failed above 0.",
      ["kind", "outcome"],
    ),
    statusObjectsTotal: counter(
      "status_objects_total",
      "Reads of what hosts left in the object store, by what became of them. Bad: failed above 0, or ignored all the time.",
      ["outcome"],
    ),
    pollsTotal: counter(
      "polls_total",
      "Polls of hosts by what became of them. Bad: lag, full, hopeless or late for longer than a minute.",
      ["outcome"],
    ),
    pollsWaiting: gauge("polls_waiting", "Polls that wait for their turn."),
    reportsTotal: counter("reports_total", "Reports of hosts that fetch, by outcome.", ["outcome"]),
    reverseLinks: gauge("reverse_links", "Connections that hosts have opened to this node."),
    attachesTotal: counter(
      "attaches_total",
      "Attaches of hosts by what became of them. Bad: busy for minutes, any unproven.",
      ["outcome"],
    ),
    linksEndedTotal: counter(
      "links_ended_total",
      "Connections of hosts that ended, by reason. Bad: a rate of silent or replaced ones.",
      ["reason"],
    ),
    relaysTotal: counter(
      "relays_total",
      "Syncs sent through the node that holds the host's connection, by outcome. Bad: ambiguous ones.",
      ["outcome"],
    ),
    hintsTotal: counter("hints_total", "Hints by direction and outcome.", ["direction", "outcome"]),
    storeSeconds: seconds("store_seconds", "Store calls by operation and outcome.", [
      "call",
      "outcome",
    ]),
    storeUnitsTotal: counter(
      "store_units_total",
      "Capacity units the store says it charged, by operation and kind of item: read units of get, getMany and query, write units of the rest.",
      ["call", "kind"],
    ),
    loopLagSeconds: gauge(
      "loop_lag_seconds",
      "Largest event-loop delay of the last second. Bad: above 0.1.",
    ),
    apiSeconds: seconds("api_seconds", "API requests by route and status.", ["route", "status"]),
  };
}

export type Metrics = ReturnType<typeof createMetrics>;
