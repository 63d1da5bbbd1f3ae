/** What a node is made from, and what it says of itself. */
import type { Clock } from "../kernel/clock.ts";
import type { Logger } from "../kernel/log.ts";
import type { Metrics } from "../kernel/metrics.ts";
import type { Random } from "../kernel/random.ts";
import type { MembershipOptions } from "../membership/options.ts";
import type { MembershipSnapshot } from "../membership/snapshot.ts";
import type { ObjectStore } from "../objects/object-store.ts";
import type { PushOptions } from "../push/push-options.ts";
import type { Transport } from "../push/transport.ts";
import type { Meta } from "../store/meta.ts";
import type { Store } from "../store/store.ts";
import type { NodeOptions } from "./options.ts";
import type { Peers } from "./peers.ts";

export interface NodePorts {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly peers: Peers;
  /** How late the event loop is; left out: hosts that call are let in however late it is. */
  readonly lagMs?: () => number;
  /** From which the keys of hosts are derived; left out: hosts and peers that call are believed. */
  readonly hostSecret?: Uint8Array;
  /** Dials hosts. */
  readonly transport: Transport;
  /** Where manifests lie for hosts that read them from an object store; left out: nowhere. */
  readonly objects?: ObjectStore;
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
