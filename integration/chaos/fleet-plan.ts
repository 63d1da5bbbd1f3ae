/** What a host container is told: the agents it runs, and where. */
import type { HostMode } from "../../src/protocol/host-mode.ts";

export interface PlannedHost {
  readonly id: string;
  readonly mode: HostMode;
  /** Proves who it is where it calls: 64 hexadecimal digits. */
  readonly key: string;
  /** For `reverse`: a node may point it to its owner; else nodes pass its syncs on. */
  readonly isDirect: boolean;
}

export interface FleetPlan {
  readonly cluster: string;
  /** Fixed address of the container in the network of the hosts. */
  readonly address: string;
  /** Port of the first host; the others follow. */
  readonly firstPort: number;
  readonly hosts: readonly PlannedHost[];
  /** Base URLs of nodes. */
  readonly nodes: readonly string[];
  /** Where nodes listen to knocks. */
  readonly knockAt: readonly string[];
  /** The object store. */
  readonly objects: string;
  /** A load balancer that lies listens there, and stands first among the hosts' nodes; undefined: none. */
  readonly liarPort?: number | undefined;
  /** `GET /held` there answers with the digests of all config files, by host and config; undefined: nobody asks. */
  readonly heldPort?: number | undefined;
  readonly dataFolder: string;
  readonly logFolder: string;
}
