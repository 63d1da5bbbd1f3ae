/**
 * A node: membership, slice, pusher and the loops between them. Free of HTTP, sockets and signals, so
 * that the same code runs as a process and in the simulator.
 *
 * Every loop reads what is true now and acts on it; events and hints only make it look sooner. The
 * order of leaving: successors have the view, loops end, pushes in flight end, checkpoints are
 * written, the member item goes last.
 */
import { appendAudit, type AuditEntry } from "../inventory/audit.ts";
import type { HostId } from "../inventory/host.ts";
import { createInventory } from "../inventory/inventory.ts";
import { messageOf } from "../kernel/errors.ts";
import { createMembership, type Membership } from "../membership/membership.ts";
import type { MemberProgress } from "../membership/member.ts";
import { readView } from "../membership/view-store.ts";
import type { Digest } from "../protocol/digest.ts";
import type { Fence } from "../protocol/fence.ts";
import type { Hello } from "../protocol/sync.ts";
import type { ObjectOffers } from "../push/object-offers.ts";
import { createPusher, type Pusher } from "../push/pusher.ts";
import { partitionOf } from "../ring/hash.ts";
import type { View } from "../ring/view.ts";
import { Checkpointer } from "./checkpointer.ts";
import { createOffers } from "./create-offers.ts";
import { Directory } from "./directory.ts";
import { ClusterEvents } from "./cluster-events.ts";
import { EventLog } from "./events.ts";
import { Hints } from "./hints.ts";
import { HostCalls } from "./host-calls.ts";
import type { NodePorts, NodeSetup, Readiness } from "./node-setup.ts";
import { Operations } from "./operations.ts";
import { membershipOptionsOf, pushOptionsOf } from "./part-options.ts";
import type { PeerCalls } from "./peers.ts";
import { Shapes } from "./shapes.ts";
import { Slice } from "./slice.ts";
import { StoreRecovery } from "./store-recovery.ts";
import { StoredHosts } from "./stored-hosts.ts";
import { runLoop } from "./loop.ts";
import { untilReplaced } from "./until-replaced.ts";

const tickMs = 250;
const gaugesEveryMs = 1_000;
const recoveryEveryMs = 1_000;
const nothingLoaded = { viewSeen: null, placementHash: null };
/** Every served partition is read whole once in this time. */
const rereadAllMs = 10 * 60_000;

export class Node {
  readonly cluster: string;
  readonly events: EventLog;
  readonly clusterEvents: ClusterEvents;
  readonly operations: Operations;
  /** What hosts that make the first move bring. */
  readonly shapes: Shapes;
  readonly #ports: NodePorts;
  readonly #setup: NodeSetup;
  readonly #membership: Membership;
  readonly #slice: Slice;
  readonly #pusher: Pusher;
  /** Undefined without an object store. */
  readonly #offers: ObjectOffers | undefined;
  readonly #checkpointer: Checkpointer;
  readonly #hints: Hints;
  readonly #calls: HostCalls;
  readonly #recovery: StoreRecovery;
  readonly #loops = new AbortController();
  #running: Promise<unknown> = Promise.resolve();
  #loaded: Pick<MemberProgress, "viewSeen" | "placementHash"> = nothingLoaded;

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
      { ...membershipOptionsOf(options), ...setup.membership },
    );
    this.#checkpointer = new Checkpointer(
      { store, clock, log, slice: () => this.#slice, pusher: () => this.#pusher },
      options.checkpointIntervalMs,
    );
    this.shapes = new Shapes({
      clock,
      metrics,
      peers,
      slot: options.slot,
      partitionOf: (id) => this.#partitionOf(id),
      slice: () => this.#slice,
      pusher: () => this.#pusher,
      random: random.fork("shapes"),
      options,
      mayPush: () => this.#membership.mayPush(),
      isStoreReachable: () => this.#membership.snapshot().isStoreReachable,
      lagMs: ports.lagMs,
      hostSecret: ports.hostSecret,
    });
    const contents = (digest: Digest) => releases.readContent(digest);
    this.#offers = createOffers(
      ports,
      setup,
      contents,
      () => this.#slice,
      () => this.#pusher,
    );
    this.#pusher = createPusher(
      {
        clock,
        random: random.fork("push"),
        transport: this.shapes.transport(transport, this.#offers),
        contents,
        log: log.child({ component: "push" }),
        metrics,
        mayPush: () => this.#membership.mayPush(),
      },
      { cluster: meta.clusterId, node: options.slot, view: () => this.#slice.view },
      { ...pushOptionsOf(options), ...setup.push },
      {
        onStatus: (id) => this.#checkpointer.markChanged(this.#partitionOf(id)),
        onStale: (id, fence) => this.#onStale(id, fence),
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
        storedView: () => readView(store),
        report: ({ generation, version }, placementHash) => {
          this.#loaded = { viewSeen: { generation, version }, placementHash };
          this.#reportProgress();
        },
      },
      { partitionsCount: meta.partitions, overlapMaxMs: options.overlapMaxMs },
    );
    this.#hints = new Hints({ clock, peers, metrics, slice: this.#slice, slot: options.slot, log });
    this.clusterEvents = new ClusterEvents({
      clock,
      peers,
      log: this.events,
      slot: options.slot,
      members: () => this.#slice.view.members,
    });
    this.#calls = new HostCalls({
      slot: options.slot,
      slice: this.#slice,
      pusher: this.#pusher,
      hints: this.#hints,
      peers,
      events: this.events,
      shapes: this.shapes,
      partitionOf: (id) => this.#partitionOf(id),
      wakeMembership: () => this.#membership.wake(),
    });
    this.#recovery = new StoreRecovery({
      ...ports,
      meta,
      fleets,
      hosts,
      slice: this.#slice,
      restored: (restored) => this.#membership.restored(restored),
    });
    const directory = new Directory({
      clock,
      slot: options.slot,
      slice: this.#slice,
      peers,
      stored: new StoredHosts({ store, hosts, slice: this.#slice, clock }),
      local: (partition) => this.#calls.known(partition),
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
      wake: (id, partition) => this.#calls.wake(id, partition),
      evict: (slot) => this.#membership.evict(slot),
      audit: (entry) => void this.#audit(entry),
    });
  }

  /**
   * Joins and works until `signal` aborts, then leaves, or with a grace goes for a restart; resolves
   * with how it ended. Rejects with
   * MEMBER_SLOT_TAKEN and with defects. Waits for the store as long as it takes.
   */
  async run(signal: AbortSignal): Promise<"left" | "replaced"> {
    let graceMs = 0;
    try {
      await this.#join(signal);
      this.#pusher.start();
      this.#running = this.#runLoops();
      const replaced = untilReplaced(this.#membership);
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
      graceMs = this.#setup.options.restartGraceMs;
      const { drainTimeoutMs } = this.#setup.options;
      const leaving = graceMs === 0 ? this.#membership.leave() : undefined;
      await Promise.all([leaving, this.shapes.reverse.drain(drainTimeoutMs)]);
      return "left";
    } finally {
      await this.#stop(graceMs);
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
  hello(hello: Hello): ReturnType<HostCalls["hello"]> {
    return this.#calls.hello(hello);
  }

  /** Answers one call of a peer. */
  answerPeer<Name extends keyof PeerCalls>(
    name: Name,
    ask: PeerCalls[Name]["ask"],
  ): Promise<PeerCalls[keyof PeerCalls]["answer"]> {
    return this.#calls.answerPeer(name, ask);
  }

  #partitionOf(id: HostId): number {
    return partitionOf(id, this.#setup.meta.partitions);
  }

  /** A host has seen newer numbers than this node: everything that makes a fence is read again. */
  #onStale(id: HostId, hostFence: Fence | undefined): void {
    if (hostFence !== undefined) this.#membership.sawGeneration(hostFence.generation);
    this.#membership.wake();
    this.#hints.readSoon({ fleet: "change", partitions: [this.#partitionOf(id)] });
  }

  async #audit(entry: AuditEntry): Promise<void> {
    const { store, random, log } = this.#ports;
    const outcome = await appendAudit(store, random, entry);
    if (outcome.kind !== "written") log.warn({ action: entry.action }, "audit entry not written");
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
      loop("recovery", recoveryEveryMs, () => this.#recovery.turn(this.#membership.snapshot())),
      loop("links", tickMs, () => this.shapes.reverse.turn()),
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
      await this.#slice.adopt(
        snapshot,
        () => this.#slice.isBehind(this.#membership.snapshot()),
        this.#loops.signal,
      );
      if (this.#slice.view === snapshot.view) this.#emitView(snapshot.view);
    }
    await this.#slice.release(this.#membership.snapshot());
  }

  #emitView({ generation, version, members }: View): void {
    const shown = members.map(({ slot, state }) => ({ slot, state }));
    this.events.emit("view.changed", { generation, version, members: shown });
  }

  /** Goes out with the next beat; a new view at once. */
  #reportProgress(): void {
    const { finished, queued } = this.#pusher.counts();
    const hosts = this.#slice.hostsCount();
    this.#membership.report({ ...this.#loaded, hosts, pushes: finished, queued });
  }

  #setGauges(): void {
    const { metrics } = this.#ports;
    this.#reportProgress();
    metrics.partitionsOwned.set(this.#slice.servedPartitions().length);
    metrics.hostsOwned.set(this.#slice.hostsCount());
    metrics.hostsDamaged.set(this.#slice.losses.damagedCount());
  }

  async #stop(graceMs: number): Promise<void> {
    this.#loops.abort(new Error("node stopped"));
    this.shapes.polls.stop();
    const running = await Promise.allSettled([this.#running]);
    await Promise.all([this.#offers?.stop(), this.#pusher.stop()]);
    this.shapes.reverse.stop();
    await this.#checkpointer.writeAll();
    // Beats go on until the last push has ended: a slot that says it is away must not push.
    if (graceMs > 0) await this.#membership.stopForRestart(graceMs);
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
