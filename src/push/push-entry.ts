/** What the pusher keeps of one host, and of one push under way. */
import type { HostId } from "../inventory/host.ts";
import type { Fence } from "../protocol/fence.ts";
import type { Manifest } from "../protocol/manifest.ts";
import { needsPush, type HostStatus } from "./host-status.ts";
import type { PushForm } from "./outcome.ts";
import { QueueSlot, type Lane, type Pool } from "./queue.ts";
import type { SentSync } from "./status-reducer.ts";
import { syncClassOf, type SyncClass } from "./sync-class.ts";

/** What a host should hold, and where it is. */
export interface PushTarget {
  readonly id: HostId;
  /** Origin of the agent. */
  readonly address: string;
  readonly fence: Fence;
  readonly manifest: Manifest;
}

export class PushEntry {
  readonly id: HostId;
  target: PushTarget;
  status: HostStatus;
  syncClass: SyncClass;
  readonly slot: QueueSlot<PushEntry>;
  /** Rises when the record is another one (added again, moved): answers to older pushes are not its own. */
  incarnation = 0;
  /** When the change that the host has not acknowledged became known; -1: none. */
  changedMs = -1;
  /** Removed while in flight: gone when the flight ends. */
  isRemoved = false;
  /** Showed life while in flight. */
  isWoken = false;

  constructor(target: PushTarget, status: HostStatus) {
    this.id = target.id;
    this.target = target;
    this.status = status;
    this.syncClass = syncClassOf(status, target.manifest.digest);
    this.slot = new QueueSlot<PushEntry>(this);
  }

  get needsPush(): boolean {
    return needsPush(this.status, this.target.manifest.digest);
  }

  /** Hosts that fail push in places of their own. */
  get pool(): Pool {
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
  form: PushForm;
  startedMs: number;
  /** Nothing was tried: the contents could not be read or the permission ended. */
  isUnsent: boolean;
}
