/**
 * What only a node itself can say about its deployment: its limits, its binds, its clock, and which
 * members it reaches. `coxswain doctor` asks every node for it.
 *
 * Nothing here decides anything or changes anything. Callers at the same time share one round of
 * probes, so that asking often costs no more than asking once.
 */
import type { Clock } from "../kernel/clock.ts";
import type { NodeOptions } from "./options.ts";
import type { Peers } from "./peers.ts";

/** Longest wait for one member; a live one answers in milliseconds. */
const probeTimeoutMs = 2_000;
/** With the largest cluster all dead, a round takes 200 / 100 x 2 s. */
const probesAtOnceMax = 100;

interface PeerProbe {
  readonly slot: string;
  readonly fleetUrl: string;
  /** `refused`: nothing listens, or a process that is no member yet; `unknown`: no answer in time. */
  readonly outcome: "answered" | "refused" | "unknown";
}

export interface SelfCheck {
  readonly slot: string;
  readonly version: string;
  /** ISO time of this node's wall clock when it answered, for people: no decision reads it. */
  readonly at: string;
  /** Open files at most; null where the system does not tell. */
  readonly openFilesMax: number | null;
  /** Host connections that this node may hold: its option `sockets`. */
  readonly socketsMax: number;
  /** Connections that hosts may have opened to it: its option `links`. */
  readonly linksMax: number;
  /** Addresses that the listeners are bound to. */
  readonly apiHost: string;
  readonly fleetHost: string;
  /** The other members, ascending by slot. */
  readonly peers: readonly PeerProbe[];
}

export interface SelfCheckPorts {
  readonly clock: Pick<Clock, "wallMs">;
  readonly peers: Pick<Peers, "probe">;
  readonly options: Pick<NodeOptions, "slot" | "sockets" | "links" | "apiHost" | "fleetHost">;
  readonly version: string;
  /** Every member, this node among them or not. */
  readonly members: () => readonly Pick<PeerProbe, "slot" | "fleetUrl">[];
  readonly openFilesMax: () => Promise<number | undefined>;
}

/** Makes the check; each call answers anew, and calls at the same time share their probes. */
export function createSelfCheck(ports: SelfCheckPorts): () => Promise<SelfCheck> {
  const { clock, options, version } = ports;
  let probing: Promise<PeerProbe[]> | undefined;
  return async () => {
    probing ??= probeOthers(ports).finally(() => {
      probing = undefined;
    });
    const [peers, openFilesMax] = await Promise.all([probing, ports.openFilesMax()]);
    return {
      slot: options.slot,
      version,
      at: new Date(clock.wallMs()).toISOString(),
      openFilesMax: openFilesMax ?? null,
      socketsMax: options.sockets,
      linksMax: options.links,
      apiHost: options.apiHost,
      fleetHost: options.fleetHost,
      peers,
    };
  };
}

async function probeOthers({ members, options, peers }: SelfCheckPorts): Promise<PeerProbe[]> {
  const others = members()
    .filter(({ slot }) => slot !== options.slot)
    .toSorted((left, right) => (left.slot < right.slot ? -1 : 1));
  const probed: PeerProbe[] = [];
  for (let from = 0; from < others.length; from += probesAtOnceMax) {
    const some = others.slice(from, from + probesAtOnceMax).map(async ({ slot, fleetUrl }) => ({
      slot,
      fleetUrl,
      outcome: await peers.probe(fleetUrl, probeTimeoutMs),
    }));
    probed.push(...(await Promise.all(some)));
  }
  return probed;
}
