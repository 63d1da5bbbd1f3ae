/** What pushing needs from its surroundings, and what it tells them. */
import type { HostId } from "../inventory/host.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Logger } from "../kernel/log.ts";
import type { Metrics } from "../kernel/metrics.ts";
import type { Random } from "../kernel/random.ts";
import type { Digest } from "../protocol/digest.ts";
import type { Fence } from "../protocol/fence.ts";
import type { Reachability } from "./host-status.ts";
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
