/**
 * The modes in which a host makes the first move, as one part of the node: what comes from hosts and
 * peers goes in here, and the transport that knows every mode comes out.
 */
import type { HostId } from "../inventory/host.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Metrics } from "../kernel/metrics.ts";
import type { Random } from "../kernel/random.ts";
import { createHostTransport, type HostOffers } from "../push/host-transport.ts";
import type { Pusher } from "../push/pusher.ts";
import type { Transport } from "../push/transport.ts";
import { Knocks } from "./knocks.ts";
import type { NodeOptions } from "./options.ts";
import type { Peers } from "./peers.ts";
import { Polls } from "./polls.ts";
import { ReverseHosts } from "./reverse-hosts.ts";
import type { ShapeCalls } from "./shape-calls.ts";
import type { Slice } from "./slice.ts";

export interface ShapesPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: Metrics;
  readonly peers: Peers;
  readonly slot: string;
  readonly partitionOf: (id: HostId) => number;
  /** Made later than this: the pusher needs the transport. */
  readonly slice: () => Slice;
  readonly pusher: () => Pusher;
  readonly options: NodeOptions;
  readonly mayPush: () => boolean;
  readonly isStoreReachable: () => boolean;
  readonly lagMs: (() => number) | undefined;
  /** The cluster's secret; undefined: whoever calls is believed. */
  readonly hostSecret: Uint8Array | undefined;
}

export class Shapes {
  readonly knocks: Knocks;
  readonly polls: Polls;
  readonly reverse: ReverseHosts;

  constructor(ports: ShapesPorts) {
    this.knocks = new Knocks(ports);
    this.polls = new Polls(ports);
    this.reverse = new ReverseHosts(ports, ports.options);
  }

  /** `sockets` dials; `offers` undefined: no object store. */
  transport(sockets: Transport, offers: HostOffers | undefined): Transport {
    return createHostTransport({ sockets, links: this.reverse, offers });
  }

  async answerPeer<Name extends keyof ShapeCalls>(
    name: Name,
    ask: ShapeCalls[Name]["ask"],
  ): Promise<ShapeCalls[keyof ShapeCalls]["answer"]> {
    const call = { name, ask } as {
      [Each in keyof ShapeCalls]: { name: Each; ask: ShapeCalls[Each]["ask"] };
    }[keyof ShapeCalls];
    switch (call.name) {
      case "knock":
        this.knocks.passed(call.ask.knocks);
        return {};
      case "links":
        return this.reverse.answerLinks(call.ask);
      case "relay":
        return this.reverse.answerRelay(call.ask);
      case "poll":
        return this.polls.passed(call.ask);
      case "report": {
        const { host, status, body } = call.ask;
        return this.polls.passedReport(host, { status, body: Buffer.from(body) });
      }
    }
  }
}
