/** What pushing needs from its surroundings, what it tells them, and what can be asked of it. */
import type { HostId } from "../inventory/host.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Logger } from "../kernel/log.ts";
import type { Metrics } from "../kernel/metrics.ts";
import type { Random } from "../kernel/random.ts";
import type { Digest } from "../protocol/digest.ts";
import type { Fence } from "../protocol/fence.ts";
import type { HostMode } from "../protocol/host-mode.ts";
import type { FetchStanding, LastWord, ReportedReply } from "./fetching.ts";
import type { HostCheckpoint } from "./host-checkpoint.ts";
import type { HostStatus, Reachability } from "./host-status.ts";
import type { PushCounts } from "./push-counts.ts";
import type { PushTarget } from "./push-entry.ts";
import type { RenderedSync } from "./sync-exchange.ts";
import type { Transport } from "./transport.ts";

export interface PushPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly transport: Transport;
  /** Bytes of a content; rejects where they cannot be read now. */
  readonly contents: (digest: Digest) => Promise<Uint8Array>;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** False after an own pause and once replaced: nothing is sent. */
  mayPush(): boolean;
}

/** Hints to the node; called synchronously, at most a few times a push. */
export interface PushEvents {
  /** Something worth a checkpoint changed. */
  onStatus(id: HostId): void;
  /** A host refused a push as going back: read store and view again. */
  onStale(id: HostId, hostFence: Fence | undefined): void;
  /** A host has seen a newer view than this node; once a version. */
  onNewerView(version: string): void;
  onReachability(id: HostId, from: Reachability, to: Reachability, reason: string): void;
  /** A host held something else than it had acknowledged; it is being healed. */
  onDrift(id: HostId, acknowledged: Digest, found: Digest): void;
}

/** Why a host gets a target: taken over, its own record changed, or all hosts' rules did (forward or back). */
export type PushReason = "load" | "record" | "change" | "rollback";

export interface Pusher {
  /** Sets what a host should hold; only the newest counts. `known` is used for a host not yet held. */
  upsert(target: PushTarget, reason: PushReason, known?: HostCheckpoint): void;
  /** Forgets a host; a push in flight ends and is ignored. */
  remove(id: HostId): void;
  /** Any sign of life: ends the backoff and queues a sync at once. */
  wake(id: HostId): void;
  /**
   * What a host said of its own accord, as a reply to a sync: `needsSync` says that it should be told
   * something now. `via` says how it came, where the caller knows. Undefined: not held here.
   */
  reported(
    id: HostId,
    reply: ReportedReply,
    via?: HostMode,
  ): { readonly needsSync: boolean } | undefined;
  /** What to compare with what the host left in an object store; undefined: not held here. */
  lastWord(id: HostId): LastWord | undefined;
  /** How the host was heard last; undefined: dialled, not heard yet, or not held here. */
  via(id: HostId): HostMode | undefined;
  /** The host asks what it should hold, which is a sign of life; undefined: not held here. */
  polled(id: HostId): FetchStanding | undefined;
  /** What the host should be told now; undefined: not held here. Rejects where contents cannot be read. */
  render(id: HostId): Promise<RenderedSync> | undefined;
  status(id: HostId): HostStatus | undefined;
  checkpoint(id: HostId): HostCheckpoint | undefined;
  counts(): PushCounts;
  start(): void;
  /** Starts nothing more and waits for the pushes in flight, at most their deadline. Idempotent. */
  stop(): Promise<void>;
}
