/** What the pusher keeps of one host, and of one push under way. */
import type { HostId } from "../inventory/host.ts";
import { formatFence, type Fence } from "../protocol/fence.ts";
import type { HostMode } from "../protocol/host-mode.ts";
import type { Manifest } from "../protocol/manifest.ts";
import { needsPush, type HostStatus } from "./host-status.ts";
import type { PushForm } from "./outcome.ts";
import { QueueSlot, type Lane, type Pool } from "./queue.ts";
import type { SentSync } from "./status-reducer.ts";
import { syncClassOf, type SyncClass } from "./sync-class.ts";

/** What a host should hold, and where it is. */
export interface PushTarget {
  readonly id: HostId;
  /** Origin of the agent; empty where it is not dialled. */
  readonly address: string;
  /** How the host is reached, best first; left out: dialled. */
  readonly modes?: readonly HostMode[];
  readonly fence: Fence;
  readonly manifest: Manifest;
}

/** There is one for every host of the slice, so its fields count: it is its own slot in the queue. */
export class PushEntry extends QueueSlot<PushEntry> {
  target: PushTarget;
  status: HostStatus;
  syncClass: SyncClass;
  /** Rises when the record is another one (added again, moved): answers to older pushes are not its own. */
  incarnation = 0;
  /** When the change that the host has not acknowledged became known. Undefined and not a number for none: a
   * field that only ever held numbers costs every host one of them. */
  changedMs: number | undefined = undefined;
  /** Removed while in flight: gone when the flight ends. */
  isRemoved = false;
  /** Showed life while in flight. */
  isWoken = false;
  /** The fence of what lies ready for a host that fetches; empty: nothing does. */
  offeredFence = "";
  /** Monotonic time of the last sign of life, or since when this node serves it: whole, as in the queue. */
  heardMs = 0;
  /** How it was heard last, where there is a choice; undefined: dialled, or not heard yet. */
  via: HostMode | undefined = undefined;
  /** Monotonic time of its last report of its own accord; -1: none since this node serves it. */
  reportedMs = -1;

  constructor(target: PushTarget, status: HostStatus) {
    super();
    this.target = target;
    this.status = status;
    this.syncClass = syncClassOf(status, target.manifest.digest);
  }

  /** The record was added again before the last push to it had ended. */
  revive(target: PushTarget, status: HostStatus, atMs: number): void {
    this.isRemoved = false;
    this.isWoken = false;
    this.incarnation++;
    this.offeredFence = "";
    this.reportedMs = -1;
    this.heardAt(atMs);
    this.via = undefined;
    this.target = target;
    this.status = status;
  }

  /** A sign of life. */
  heardAt(atMs: number): void {
    this.heardMs = Math.floor(atMs);
  }

  get id(): HostId {
    return this.target.id;
  }

  get needsPush(): boolean {
    return needsPush(this.status, this.target.manifest.digest);
  }

  /** Where it belongs by its status; hosts that fail push in places of their own. */
  get poolNow(): Pool {
    const { reachability } = this.status;
    return reachability === "ok" || reachability === "unknown" ? "steady" : "suspect";
  }
}

/** One push under way. */
export interface Flight extends SentSync {
  readonly lane: Lane;
  readonly pool: Pool;
  readonly incarnation: number;
  readonly address: string;
  readonly modes: readonly HostMode[] | undefined;
  form: PushForm;
  /** How it went out, where the host's record gives a choice. */
  via: HostMode | undefined;
  startedMs: number;
  /** Nothing was tried: the contents could not be read or the permission ended. */
  isUnsent: boolean;
}

/** False where the host was let go of, added again or moved since this push was decided on. */
export function isCurrent(entry: PushEntry, flight: Flight): boolean {
  return !entry.isRemoved && entry.incarnation === flight.incarnation;
}

/** A push of what the host should hold now. */
export function flightOf(
  { pool, target, incarnation }: PushEntry,
  lane: Lane,
  startedMs: number,
): Flight {
  return {
    lane,
    pool,
    incarnation,
    address: target.address,
    modes: target.modes,
    manifest: target.manifest,
    fence: target.fence,
    fenceText: formatFence(target.fence),
    form: "short",
    via: undefined,
    startedMs,
    isUnsent: false,
  };
}
