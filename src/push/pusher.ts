/**
 * The pusher: keeps the hosts of a slice at their desired manifests, at this node's own pace.
 *
 * A shell around pure parts: the queue says who is next, the pace how many, the outcome table what
 * an answer means, the status what is known. Never two pushes in flight to a host; desired state is a
 * value, so only the newest counts. After each push a host is in exactly one place: ready, backing
 * off, or waiting for its sweep. Nothing is sent while `mayPush` is false.
 */
import type { HostId } from "../inventory/host.ts";
import type { Digest } from "../protocol/digest.ts";
import type { HostMode } from "../protocol/host-mode.ts";
import { equalFences } from "../protocol/fence.ts";
import {
  checkpointOf,
  isWorthCheckpoint,
  restoreStatus,
  type HostCheckpoint,
} from "./host-checkpoint.ts";
import {
  aboutFence,
  classifyReport,
  isOffered,
  judged,
  lastWordOf,
  reportedVia,
  standingOf,
  type FetchStanding,
  type LastWord,
  type ReportedReply,
} from "./fetching.ts";
import { newStatus, type HostStatus, type Moment } from "./host-status.ts";
import { Notices } from "./notices.ts";
import { OwnProgress } from "./own-progress.ts";
import { outcomePolicies, type PushOutcome } from "./outcome.ts";
import { Tally, type PushCounts } from "./push-counts.ts";
import { flightOf, isCurrent, PushEntry, type Flight, type PushTarget } from "./push-entry.ts";
import { PushLoop } from "./push-loop.ts";
import { PushMetrics } from "./push-metrics.ts";
import type { PushOptions } from "./push-options.ts";
import type { PushEvents, PushPorts, PushReason, Pusher } from "./push-ports.ts";
import type { Lane } from "./queue.ts";
import { afterOutcome, afterRetarget, afterSignOfLife } from "./status-reducer.ts";
import { nextSweepMs } from "./sweep.ts";
import { SyncBodies } from "./sync-body.ts";
import { syncClassOf } from "./sync-class.ts";
import {
  SyncExchange,
  type PushDone,
  type PushIdentity,
  type RenderedSync,
} from "./sync-exchange.ts";

export type { PushTarget } from "./push-entry.ts";
export type { Pusher } from "./push-ports.ts";

export function createPusher(
  ports: PushPorts,
  identity: PushIdentity,
  options: PushOptions,
  events: PushEvents,
): Pusher {
  return new SlicePusher(ports, identity, options, events);
}

class SlicePusher implements Pusher {
  readonly #ports: PushPorts;
  readonly #identity: PushIdentity;
  readonly #options: PushOptions;
  readonly #events: PushEvents;
  readonly #entries = new Map<HostId, PushEntry>();
  readonly #loop: PushLoop;
  readonly #exchange: SyncExchange;
  readonly #tally = new Tally();
  readonly #progress = new OwnProgress();
  readonly #metrics: PushMetrics;
  readonly #done: PushDone = (entry, flight, pushed) => this.#finish(entry, flight, pushed);
  readonly #notices = new Notices();

  constructor(ports: PushPorts, identity: PushIdentity, options: PushOptions, events: PushEvents) {
    this.#ports = ports;
    this.#identity = identity;
    this.#options = options;
    this.#events = events;
    this.#metrics = new PushMetrics(ports.metrics);
    const bodies = new SyncBodies(ports.contents, options);
    this.#exchange = new SyncExchange(
      {
        clock: ports.clock,
        transport: ports.transport,
        mayPush: () => ports.mayPush(),
        paced: (lane) => this.#loop.paced(lane),
      },
      identity,
      bodies,
      options,
    );
    this.#loop = new PushLoop(
      {
        clock: ports.clock,
        log: ports.log,
        mayPush: () => ports.mayPush(),
        run: (entry, lane, atMs) => this.#run(entry, lane, atMs),
        sample: () => this.#sample(),
      },
      options,
    );
  }

  upsert(target: PushTarget, reason: PushReason, known?: HostCheckpoint): void {
    const moment = this.#moment();
    const entry = this.#entries.get(target.id) ?? this.#create(target, known, moment);
    if (entry.isRemoved) this.#revive(entry, target, known, moment);
    else if (entry.target !== target) this.#retarget(entry, target, moment);
    this.#schedule(entry, reason === "load" ? "change" : reason, moment.atMs);
    this.#loop.poke();
  }

  remove(id: HostId): void {
    const entry = this.#held(id);
    if (entry === undefined) return;
    this.#tally.remove(entry.syncClass, entry.status.reachability);
    this.#loop.queue.remove(entry);
    this.#ports.transport.drop(entry.target.address);
    entry.isRemoved = true;
    if (!entry.isInFlight) this.#entries.delete(id);
  }

  wake(id: HostId): void {
    const entry = this.#held(id);
    if (entry === undefined) return;
    if (entry.isInFlight) entry.isWoken = true;
    this.#setStatus(entry, afterSignOfLife(entry.status), "sign of life");
    this.#loop.queue.add(entry, "change", entry.poolNow, this.#ports.clock.monotonicMs());
    this.#loop.poke();
  }

  reported(id: HostId, reply: ReportedReply, via?: HostMode): { needsSync: boolean } | undefined {
    const entry = this.#held(id);
    if (entry === undefined) return undefined;
    const moment = this.#moment();
    const flight = flightOf(entry, "change", moment.atMs);
    const said = aboutFence(classifyReport(reply, id, flight.manifest.digest), flight.fence);
    flight.via = via ?? reportedVia(entry);
    if (outcomePolicies[said.kind].isSignOfLife) entry.reportedMs = Math.floor(moment.atMs);
    this.#takeOutcome(entry, flight, said, moment);
    if (!entry.isInFlight) this.#schedule(entry, "change", moment.atMs);
    this.#loop.poke();
    return { needsSync: entry.needsPush };
  }

  lastWord(id: HostId): LastWord | undefined {
    const entry = this.#held(id);
    return entry && lastWordOf(entry, this.#ports.clock.monotonicMs(), this.#options);
  }

  via(id: HostId): HostMode | undefined {
    return this.#held(id)?.via;
  }

  polled(id: HostId): FetchStanding | undefined {
    const entry = this.#held(id);
    return entry === undefined
      ? undefined
      : standingOf(entry, this.#ports.clock.monotonicMs(), this.#options);
  }

  render(id: HostId): Promise<RenderedSync> | undefined {
    const entry = this.#held(id);
    return entry === undefined ? undefined : this.#exchange.render(entry);
  }

  status(id: HostId): HostStatus | undefined {
    return this.#held(id)?.status;
  }

  checkpoint(id: HostId): HostCheckpoint | undefined {
    const status = this.status(id);
    return status === undefined ? undefined : checkpointOf(id, status);
  }

  counts(): PushCounts {
    const { queue, inFlightCount } = this.#loop;
    return this.#tally.counts(queue.readyCount + inFlightCount, this.#progress.isStuck);
  }

  start(): void {
    this.#loop.start();
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }

  #held(id: HostId): PushEntry | undefined {
    const entry = this.#entries.get(id);
    return entry?.isRemoved === true ? undefined : entry;
  }

  // --- targets

  #create(target: PushTarget, known: HostCheckpoint | undefined, moment: Moment): PushEntry {
    const entry = new PushEntry(target, this.#initialStatus(target, known, moment));
    entry.heardAt(moment.atMs);
    this.#entries.set(target.id, entry);
    this.#tally.add(entry.syncClass, entry.status.reachability);
    if (entry.needsPush) entry.changedMs = moment.atMs;
    return entry;
  }

  #revive(
    entry: PushEntry,
    target: PushTarget,
    known: HostCheckpoint | undefined,
    moment: Moment,
  ): void {
    entry.revive(target, this.#initialStatus(target, known, moment), moment.atMs);
    entry.syncClass = syncClassOf(entry.status, target.manifest.digest);
    this.#tally.add(entry.syncClass, entry.status.reachability);
    entry.changedMs = entry.needsPush ? moment.atMs : undefined;
  }

  #retarget(entry: PushEntry, target: PushTarget, moment: Moment): void {
    const before = entry.target;
    const isAddressNew =
      before.address !== target.address || before.modes?.join() !== target.modes?.join();
    const isManifestNew = before.manifest.digest !== target.manifest.digest;
    if (isAddressNew) {
      this.#ports.transport.drop(before.address);
      entry.incarnation++;
      entry.offeredFence = "";
    }
    entry.target = target;
    const isFenceNew = !equalFences(before.fence, target.fence);
    const status = afterRetarget(entry.status, { isAddressNew, isManifestNew, isFenceNew });
    this.#setStatus(entry, status, "retargeted");
    if (isManifestNew) entry.changedMs = entry.needsPush ? moment.atMs : undefined;
  }

  #initialStatus(
    target: PushTarget,
    known: HostCheckpoint | undefined,
    moment: Moment,
  ): HostStatus {
    return known === undefined
      ? newStatus()
      : restoreStatus(known, target.manifest, moment, this.#ports.random.next());
  }

  #setStatus(entry: PushEntry, status: HostStatus, reason: string): void {
    const before = entry.status;
    const syncClass = syncClassOf(status, entry.target.manifest.digest);
    if (before.reachability !== status.reachability || syncClass !== entry.syncClass) {
      this.#tally.remove(entry.syncClass, before.reachability);
      this.#tally.add(syncClass, status.reachability);
    }
    entry.status = status;
    entry.syncClass = syncClass;
    if (before === status) return;
    if (before.reachability !== status.reachability) {
      const why = status.lastError?.message ?? reason;
      this.#events.onReachability(entry.id, before.reachability, status.reachability, why);
    }
    if (isWorthCheckpoint(before, status)) this.#events.onStatus(entry.id);
  }

  /** Puts the host where its status says: backing off, ready, or waiting for its sweep. */
  #schedule(entry: PushEntry, lane: Lane, atMs: number): void {
    const { status } = entry;
    if (status.nextAttemptMs !== undefined) {
      if (!entry.isInFlight) this.#loop.queue.remove(entry);
      this.#loop.queue.wait(entry, "retry", entry.poolNow, status.nextAttemptMs);
    } else if (entry.needsPush && !isOffered(entry)) {
      this.#loop.queue.add(entry, lane, entry.poolNow, atMs);
    } else {
      if (!entry.isInFlight) this.#loop.queue.remove(entry);
      const dueMs = nextSweepMs(entry.id, atMs, this.#options.sweepIntervalMs);
      this.#loop.queue.wait(entry, "sweep", entry.poolNow, dueMs);
    }
    this.#loop.rearm(atMs);
  }

  // --- one push

  #run(entry: PushEntry, lane: Lane, atMs: number): void {
    this.#metrics.started(lane, atMs - entry.dueMs);
    this.#exchange.run(entry, flightOf(entry, lane, atMs), this.#done);
  }

  #finish(entry: PushEntry, flight: Flight, raw: PushOutcome): void {
    const moment = this.#moment();
    const { atMs } = moment;
    const pushed = judged(entry, flight, raw, atMs, this.#options.fetchOverdueMs);
    this.#metrics.ended(flight.lane, pushed.kind, atMs - flight.startedMs);
    this.#loop.judge(entry.id, flight, pushed, atMs);
    if (flight.isUnsent || this.#progress.ended(entry.id, pushed.kind)) this.#tally.finish();
    if (entry.isRemoved) this.#entries.delete(entry.id);
    else if (isCurrent(entry, flight)) this.#takeOutcome(entry, flight, pushed, moment);
    this.#land(entry, flight, atMs);
    this.#loop.landed();
  }

  #takeOutcome(entry: PushEntry, flight: Flight, pushed: PushOutcome, moment: Moment): void {
    const before = entry.status;
    if (outcomePolicies[pushed.kind].isSignOfLife) {
      entry.heardAt(moment.atMs);
      entry.via = flight.via;
    }
    let status = afterOutcome(before, pushed, flight, moment, {
      rules: this.#options,
      draw: this.#ports.random.next(),
      isVerdictHeld: this.#loop.isVerdictHeld(moment.atMs),
    });
    if (flight.manifest !== entry.target.manifest) {
      const isManifestNew = flight.manifest.digest !== entry.target.manifest.digest;
      status = afterRetarget(status, { isAddressNew: false, isManifestNew, isFenceNew: true });
    }
    this.#noticeReply(entry, before, pushed, moment.atMs);
    this.#setStatus(entry, status, pushed.kind);
    if (pushed.kind === "stale") {
      this.#metrics.wasStale();
      if (this.#notices.isStaleNews(moment.atMs)) {
        this.#events.onStale(entry.id, pushed.hostFence);
      }
    }
    if (entry.changedMs !== undefined && status.held?.manifest === entry.target.manifest.digest) {
      this.#metrics.converged(moment.atMs - entry.changedMs);
      entry.changedMs = undefined;
    }
  }

  #noticeReply(entry: PushEntry, before: HostStatus, pushed: PushOutcome, atMs: number): void {
    const { reply } = pushed;
    if (reply === undefined) return;
    const acknowledged = before.held?.manifest;
    if (
      pushed.kind === "differs" &&
      acknowledged !== undefined &&
      acknowledged !== reply.manifest
    ) {
      this.#metrics.drifted();
      this.#events.onDrift(entry.id, acknowledged, reply.manifest as Digest);
    }
    const isNewer = Number(reply.view) > this.#identity.view().version;
    if (isNewer && this.#notices.isViewNews(reply.view, atMs)) {
      this.#events.onNewerView(reply.view);
    }
  }

  /** Ends the flight and puts the host where it belongs now. */
  #land(entry: PushEntry, flight: Flight, atMs: number): void {
    const wantedLane = entry.isWanted ? entry.lane : undefined;
    this.#loop.queue.complete(entry, entry.poolNow, atMs);
    if (entry.isRemoved) {
      this.#loop.queue.remove(entry);
      return;
    }
    const wasWoken = entry.isWoken;
    entry.isWoken = false;
    if (wasWoken) this.#setStatus(entry, afterSignOfLife(entry.status), "sign of life");
    // What goes on at once stays in its lane; a sweep that found a difference is a change.
    const isAhead = flight.lane === "rollback" || flight.lane === "record";
    const lane = wantedLane ?? (isAhead ? flight.lane : "change");
    if (wasWoken) this.#loop.queue.add(entry, lane, entry.poolNow, atMs);
    else this.#schedule(entry, lane, atMs);
  }

  #sample(): void {
    const { socketCount } = this.#ports.transport;
    this.#metrics.sample(this.counts(), this.#loop.queue, this.#loop, socketCount);
  }

  #moment(): Moment {
    const { clock } = this.#ports;
    return { atMs: clock.monotonicMs(), wallMs: clock.wallMs() };
  }
}
