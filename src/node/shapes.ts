/**
 * The modes in which a host makes the first move, as one part of the node: what comes from hosts and
 * peers goes in here, and the transport that knows every mode comes out.
 */
import type { HostId } from "../inventory/host.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Metrics } from "../kernel/metrics.ts";
import { createHostTransport, type HostOffers } from "../push/host-transport.ts";
import type { Pusher } from "../push/pusher.ts";
import type { Transport } from "../push/transport.ts";
import { Knocks } from "./knocks.ts";
import type { Peers } from "./peers.ts";
import type { ShapeCalls } from "./shape-calls.ts";
import type { Slice } from "./slice.ts";

export interface ShapesPorts {
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly peers: Peers;
  readonly slot: string;
  readonly partitionOf: (id: HostId) => number;
  /** Made later than this: the pusher needs the transport. */
  readonly slice: () => Slice;
  readonly pusher: () => Pusher;
}

export class Shapes {
  readonly knocks: Knocks;

  constructor(ports: ShapesPorts) {
    this.knocks = new Knocks(ports);
  }

  /** `sockets` dials; `offers` undefined: no object store. */
  transport(sockets: Transport, offers: HostOffers | undefined): Transport {
    return createHostTransport({ sockets, links: undefined, offers });
  }

  async answerPeer<Name extends keyof ShapeCalls>(
    name: Name,
    ask: ShapeCalls[Name]["ask"],
  ): Promise<ShapeCalls[keyof ShapeCalls]["answer"]> {
    const call = { name, ask } as {
      [Each in keyof ShapeCalls]: { name: Each; ask: ShapeCalls[Each]["ask"] };
    }[keyof ShapeCalls];
    this.knocks.passed(call.ask.knocks);
    return {};
  }
}
