/** What a slice needs from the rest of the node. */
import type { FleetStore } from "../inventory/fleet.ts";
import type { HostId } from "../inventory/host.ts";
import type { HostStore } from "../inventory/hosts.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Logger } from "../kernel/log.ts";
import type { HostCheckpoint } from "../push/host-checkpoint.ts";
import type { Pusher } from "../push/push-ports.ts";
import type { View } from "../ring/view.ts";

export interface SlicePorts {
  readonly clock: Clock;
  readonly log: Logger;
  readonly hosts: HostStore;
  readonly fleets: FleetStore;
  readonly pusher: Pusher;
  readonly checkpoints: Checkpoints;
  /** The view as the store has it now. */
  readonly storedView: () => Promise<View | undefined>;
  /** Called when everything that `view` gives this node has been loaded. */
  readonly report: (view: View, placementHash: string, hostsCount: number) => void;
}

/** The acknowledged state of a partition's hosts, as a new owner finds it. */
export type KnownHosts = ReadonlyMap<HostId, HostCheckpoint>;

export interface Checkpoints {
  /** Of up to a hundred partitions. */
  read(partitions: readonly number[]): Promise<ReadonlyMap<number, KnownHosts>>;
  /** Before partitions are let go. Never throws: what is not written is asked of the hosts. */
  write(partitions: readonly number[]): Promise<void>;
}
