/**
 * A node: membership, slice, pusher and the loops between them. Free of HTTP, sockets and signals, so
 * that the same code runs as a process and in the simulator.
 *
 * Every loop reads what is true now and acts on it; events and hints only make it look sooner. The
 * order of leaving: successors have the view, loops end, pushes in flight end, checkpoints are
 * written, the member item goes last.
 */
import { appendAudit, type AuditEntry } from "../inventory/audit.ts";
import { parseHostId, type HostId } from "../inventory/host.ts";
import { createInventory } from "../inventory/inventory.ts";
import type { Clock } from "../kernel/clock.ts";
import { isCoxswainError, messageOf } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";
import type { Metrics } from "../kernel/metrics.ts";
import type { Random } from "../kernel/random.ts";
import { createMembership, type Membership } from "../membership/membership.ts";
import type { MembershipSnapshot } from "../membership/snapshot.ts";
import { membershipDefaults, type MembershipOptions } from "../membership/options.ts";
import type { Hello } from "../protocol/sync.ts";
import { defaultPushOptions, type PushOptions } from "../push/push-options.ts";
import { createPusher, type Pusher } from "../push/pusher.ts";
import type { Transport } from "../push/transport.ts";
import { partitionOf } from "../ring/hash.ts";
import type { Meta } from "../store/meta.ts";
import type { Store } from "../store/store.ts";
import { answerCounts, answerHosts, takenAddresses } from "./answers.ts";
import { Checkpointer } from "./checkpointer.ts";
import { Directory } from "./directory.ts";
import { ClusterEvents } from "./cluster-events.ts";
import { EventLog } from "./events.ts";
import { Hints } from "./hints.ts";
import type { KnownHost } from "./host-views.ts";
import { Operations } from "./operations.ts";
import type { NodeOptions } from "./options.ts";
import type { PeerCalls, Peers } from "./peers.ts";
import { Slice } from "./slice.ts";
import { StoredHosts } from "./stored-hosts.ts";
import { runLoop } from "./loop.ts";

export interface NodePorts {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly peers: Peers;
  readonly transport: Transport;
}

export interface NodeSetup {
  readonly meta: Meta;
  readonly options: NodeOptions;
  /** Base URLs under which people, and peers and agents, reach this node. */
  readonly apiUrl: string;
  readonly fleetUrl: string;
  readonly version: string;
  /** Instead of the defaults of membership and push, for what no option of a node names. */
  readonly membership?: Partial<MembershipOptions>;
  readonly push?: Partial<PushOptions>;
}

export interface Readiness {
  readonly isReady: boolean;
  readonly member: MembershipSnapshot["self"]["status"];
  readonly view: { readonly generation: number; readonly version: number };
  readonly isStoreReachable: boolean;
}

const tickMs = 250;
const gaugesEveryMs = 1_000;
const helloTimeoutMs = 2_000;
/** Every served partition is read whole once in this time. */
const rereadAllMs = 10 * 60_000;

export class Node {
  readonly cluster: string;
  readonly events: EventLog;
  readonly clusterEvents: ClusterEvents;
  readonly operations: Operations;
  readonly #ports: NodePorts;
  readonly #setup: NodeSetup;
  readonly #membership: Membership;
  readonly #slice: Slice;
  readonly #pusher: Pusher;
  readonly #checkpointer: Checkpointer;
  readonly #hints: Hints;
  readonly #loops = new AbortController();
  #running: Promise<unknown> = Promise.resolve();

  constructor(ports: NodePorts, setup: NodeSetup) {
    const { store, clock, random, log, metrics, peers, transport } = ports;
    const { meta, options } = setup;
    this.#ports = ports;
    this.#setup = setup;
    this.cluster = meta.clusterId;
    this.events = new EventLog(clock, options.slot);
    const inventory = createInventory({
      store,
      random: random.fork("inventory"),
      partitionOf: (id) => partitionOf(id, meta.partitions),
    });
    const { hosts, fleets, releases } = inventory;
    this.#membership = createMembership(
      {
        store,
        clock,
        random: random.fork("membership"),
        log: log.child({ component: "membership" }),
        metrics,
        probe: (fleetUrl, timeoutMs) => peers.probe(fleetUrl, timeoutMs),
        hintPeers: (fleetUrls) => this.#hints.wakeViews(fleetUrls),
      },
      {
        slot: options.slot,
        weight: options.weight,
        zone: options.zone,
        url: setup.apiUrl,
        fleetUrl: setup.fleetUrl,
      },
      {
        ...membershipDefaults,
        beatIntervalMs: options.beatIntervalMs,
        silenceMs: options.silenceMs,
        silenceReadsMin: options.silenceReads,
        joinQuietMs: options.joinQuietMs,
        leaveTimeoutMs: options.drainTimeoutMs,
        ...setup.membership,
      },
    );
    this.#checkpointer = new Checkpointer(
      { store, clock, log, slice: () => this.#slice, pusher: () => this.#pusher },
      options.checkpointIntervalMs,
    );
    this.#pusher = createPusher(
      {
        clock,
        random: random.fork("push"),
        transport,
        contents: (digest) => releases.readContent(digest),
        log: log.child({ component: "push" }),
        metrics,
        mayPush: () => this.#membership.mayPush(),
      },
      { cluster: meta.clusterId, node: options.slot, view: () => this.#slice.view },
      {
        ...defaultPushOptions,
        pushesPerSecond: options.pushesPerSecond,
        inFlightMax: options.inFlight,
        suspectInFlightMax: options.suspectInFlight,
        deadlineMs: options.pushDeadlineMs,
        sweepDeadlineMs: Math.min(options.pushDeadlineMs, defaultPushOptions.sweepDeadlineMs),
        sweepIntervalMs: options.sweepIntervalMs,
        ...setup.push,
      },
      {
        onStatus: (id) => this.#checkpointer.markChanged(this.#partitionOf(id)),
        onStale: (id) => this.#onStale(id),
        onNewerView: () => this.#membership.wake(),
        onReachability: (host, from, to, reason) =>
          this.events.emit("host.reachability", { host, from, to, reason }),
        onDrift: (host, acknowledged, found) =>
          this.events.emit("host.drift", { host, acknowledged, found }),
      },
    );
    this.#slice = new Slice(
      {
        clock,
        log: log.child({ component: "slice" }),
        hosts,
        fleets,
        pusher: this.#pusher,
        checkpoints: this.#checkpointer,
        report: (view, placementHash, hostsCount) =>
          this.#membership.report({
            viewSeen: { generation: view.generation, version: view.version },
            placementHash,
            hosts: hostsCount,
            pushes: 0,
          }),
      },
      { partitionsCount: meta.partitions, overlapMaxMs: options.overlapMaxMs },
    );
    this.#hints = new Hints({ peers, metrics, slice: this.#slice, slot: options.slot, log });
    this.clusterEvents = new ClusterEvents({
      clock,
      peers,
      log: this.events,
      slot: options.slot,
      members: () => this.#slice.view.members,
    });
    const directory = new Directory({
      slot: options.slot,
      slice: this.#slice,
      peers,
      stored: new StoredHosts({ store, hosts, slice: this.#slice, clock }),
      local: (partition) => this.#known(partition),
    });
    this.operations = new Operations({
      clock,
      meta,
      inventory,
      slice: this.#slice,
      directory,
      events: this.events,
      snapshot: () => this.#membership.snapshot(),
      slot: options.slot,
      version: setup.version,
      hint: (hint) => this.#hints.tell(hint),
      wake: (id, partition) => this.#wake(id, partition),
      audit: (entry) => this.#audit(entry),
    });
  }

  /**
   * Joins and works until `signal` aborts, then leaves; resolves with how it ended. Rejects with
   * MEMBER_SLOT_TAKEN and with defects. Waits for the store as long as it takes.
   */
  async run(signal: AbortSignal): Promise<"left" | "replaced"> {
    try {
      await this.#join(signal);
      this.#pusher.start();
      this.#running = this.#runLoops();
      const replaced = this.#untilReplaced();
      const stopped = new Promise<"stopped">((resolve) => {
        if (signal.aborted) resolve("stopped");
        else signal.addEventListener("abort", () => resolve("stopped"), { once: true });
      });
      const failed = this.#running.then(() => "stopped" as const);
      if ((await Promise.race([replaced.promise, stopped, failed])) === "replaced") {
        return "replaced";
      }
      replaced.forget();
      this.events.emit("node.stopping", {});
      await this.#membership.leave();
      return "left";
    } finally {
      await this.#stop();
    }
  }

  /** Stopping while joining ends at once; afterwards it means leaving, for which beats must go on. */
  async #join(signal: AbortSignal): Promise<void> {
    const joining = new AbortController();
    const onAbort = () => joining.abort(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      await this.#membership.start(joining.signal);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** True from joining until the node has left or was replaced. */
  isMember(): boolean {
    const { status } = this.#membership.snapshot().self;
    return status === "active" || status === "leaving";
  }

  readiness(): Readiness {
    const { self, view, isStoreReachable } = this.#membership.snapshot();
    return {
      isReady: self.status === "active" && !this.#slice.isBehind(this.#membership.snapshot()),
      member: self.status,
      view: { generation: view.generation, version: view.version },
      isStoreReachable,
    };
  }

  /** A host showed life: its owner syncs it at once. */
  async hello(hello: Hello): Promise<"woken" | "forwarded" | "unknownHost" | "noOwner"> {
    const id = parseHostId(hello.host);
    const partition = this.#partitionOf(id);
    if (this.#slice.isServed(partition)) {
      if (this.#slice.record(partition, id) === undefined) return "unknownHost";
      this.#pusher.wake(id);
      return "woken";
    }
    return (await this.#wake(id, partition)) ? "forwarded" : "noOwner";
  }

  /** Answers one call of a peer. */
  async answerPeer<Name extends keyof PeerCalls>(
    name: Name,
    ask: PeerCalls[Name]["ask"],
  ): Promise<PeerCalls[keyof PeerCalls]["answer"]> {
    const call = { name, ask } as {
      [Each in keyof PeerCalls]: { name: Each; ask: PeerCalls[Each]["ask"] };
    }[keyof PeerCalls];
    const local = (partition: number) => this.#known(partition);
    switch (call.name) {
      case "hint":
        if (call.ask.view === true) this.#membership.wake();
        await this.#hints.take(call.ask);
        return {};
      case "hello": {
        const id = parseHostId(call.ask.host);
        const isServed = this.#slice.record(this.#partitionOf(id), id) !== undefined;
        if (isServed) this.#pusher.wake(id);
        return { isServed };
      }
      case "hosts":
        return answerHosts(call.ask, local, (partition) =>
          this.#slice.placement.ownerOf(partition),
        );
      case "counts":
        return answerCounts(call.ask, local);
      case "events":
        return this.events.page(call.ask.after);
      case "addresses":
        return { taken: takenAddresses(call.ask.hosts, this.#slice.servedPartitions(), local) };
    }
  }

  #partitionOf(id: HostId): number {
    return partitionOf(id, this.#setup.meta.partitions);
  }

  #known(partition: number): Iterable<KnownHost> | undefined {
    return this.#slice.isServed(partition) ? this.#knownHosts(partition) : undefined;
  }

  *#knownHosts(partition: number): Iterable<KnownHost> {
    for (const record of this.#slice.hostsOf(partition)) {
      const status = this.#pusher.status(record.id);
      if (status === undefined) continue;
      const fence = this.#slice.fenceOf(record);
      const desired = this.#slice.desiredOf(record);
      yield { record, partition, fence, desired, status };
    }
  }

  async #wake(id: string, partition: number): Promise<boolean> {
    const hostId = parseHostId(id);
    if (this.#slice.record(partition, hostId) !== undefined) {
      this.#pusher.wake(hostId);
      return true;
    }
    const owner = this.#slice.placement.ownerOf(partition);
    const member = this.#slice.view.members.find(({ slot }) => slot === owner);
    if (member === undefined || owner === this.#setup.options.slot) return false;
    try {
      const ask = { host: id };
      const { peers } = this.#ports;
      const answer = await peers.call(member.fleetUrl, "hello", ask, helloTimeoutMs);
      return answer.isServed;
    } catch (error) {
      // The agent says hello again; the sweep finds it anyway.
      if (isCoxswainError(error)) return false;
      throw error;
    }
  }

  /** A host has seen newer numbers than this node: everything that makes a fence is read again. */
  #onStale(id: HostId): void {
    this.#membership.wake();
    this.#hints.readSoon({ fleet: "change", partitions: [this.#partitionOf(id)] });
  }

  #audit(entry: AuditEntry): void {
    const { store, random, log } = this.#ports;
    const append = async () => {
      const outcome = await appendAudit(store, random, entry);
      if (outcome.kind !== "written") log.warn({ action: entry.action }, "audit entry not written");
    };
    void append();
  }

  #untilReplaced(): { promise: Promise<"replaced">; forget: () => void } {
    const { promise, resolve } = Promise.withResolvers<"replaced">();
    const forget = this.#membership.subscribe(({ self }) => {
      if (self.status === "replaced") resolve("replaced");
    });
    return { promise, forget };
  }

  async #runLoops(): Promise<void> {
    const { options } = this.#setup;
    const { clock, log } = this.#ports;
    const { signal } = this.#loops;
    const loop = (name: string, everyMs: number, turn: () => Promise<void> | void) =>
      runLoop({ clock, log: log.child({ loop: name }), signal, everyMs, turn });
    await Promise.all([
      loop("view", tickMs, () => this.#viewTurn()),
      loop("fleet", options.fleetPollMs, () => this.#slice.refreshFleet()),
      loop("heads", options.headPollMs, () => this.#pollHeads()),
      loop("checkpoint", tickMs, () => this.#checkpointer.writeDue()),
      loop("gauges", gaugesEveryMs, () => this.#setGauges()),
    ]);
  }

  /** What hints should have told, and a slow whole read for what not even counters tell. */
  async #pollHeads(): Promise<void> {
    const moved = await this.#slice.movedPartitions();
    const turns = Math.max(1, rereadAllMs / this.#setup.options.headPollMs);
    const count = Math.ceil(this.#slice.servedPartitions().length / turns);
    await this.#hints.read({ partitions: [...moved, ...this.#slice.nextToReread(count)] });
  }

  async #viewTurn(): Promise<void> {
    // Before the rules are known nothing may be computed: no rules would mean "hold nothing".
    if (!this.#slice.isFleetKnown) await this.#slice.refreshFleet();
    const snapshot = this.#membership.snapshot();
    if (this.#slice.isBehind(snapshot)) {
      const { generation, version, members } = snapshot.view;
      await this.#slice.adopt(
        snapshot,
        () => this.#slice.isBehind(this.#membership.snapshot()),
        this.#loops.signal,
      );
      this.events.emit("view.changed", {
        generation,
        version,
        members: members.map(({ slot, state }) => ({ slot, state })),
      });
    }
    await this.#slice.release(this.#membership.snapshot());
  }

  #setGauges(): void {
    const { metrics } = this.#ports;
    metrics.partitionsOwned.set(this.#slice.servedPartitions().length);
    metrics.hostsOwned.set(this.#slice.hostsCount());
  }

  async #stop(): Promise<void> {
    this.#loops.abort(new Error("node stopped"));
    const running = await Promise.allSettled([this.#running]);
    await this.#pusher.stop();
    await this.#checkpointer.writeAll();
    await this.#membership.stop();
    for (const outcome of running) {
      if (outcome.status === "rejected" && outcome.reason !== this.#loops.signal.reason) {
        this.#ports.log.error({ err: messageOf(outcome.reason) }, "a loop failed");
      }
    }
  }
}

/** A node, ready to run; nothing happens before `run`. */
export function createNode(ports: NodePorts, setup: NodeSetup): Node {
  return new Node(ports, setup);
}
