/**
 * One exchange by the best mode that can carry it: the list of the host's record, best first.
 *
 * `dial` and `knock` go to the host's address, `reverse` over the connection that the host opened, if
 * it has one. `object` and `poll` carry nothing: what the host should hold lies ready for it. A mode
 * that fails is not followed by the next one in the same exchange: a push that timed out may have
 * been executed, and the scheduler decides when to try again.
 */
import type { HostMode } from "../protocol/host-mode.ts";
import { failed } from "./http-exchange.ts";
import type { ExchangeRequest, ExchangeResult, HostRoute, Transport } from "./transport.ts";

/** Connections that hosts have opened, at this node or at a peer. */
export interface HostLinks {
  /** Undefined where the host has no connection open that this node knows of. */
  exchange(request: ExchangeRequest, route: HostRoute): Promise<ExchangeResult> | undefined;
  readonly linkCount: number;
}

/** Where manifests lie for hosts that read them from an object store. */
export interface HostOffers {
  /** Writes what the host should hold, unless it lies there already. Never rejects. */
  offer(route: HostRoute): Promise<ExchangeResult>;
  /**
   * The same in the background, for a host that is reached in another way: what lies there is current
   * when that way, or every node, is gone. Left out under load: the next exchange asks again. A host that
   * was not reached may have left a report there.
   */
  keep(route: HostRoute, isReached: boolean): void;
}

export interface HostTransportPorts {
  /** Dials. */
  readonly sockets: Transport;
  readonly links: HostLinks | undefined;
  readonly offers: HostOffers | undefined;
}

const lying: ExchangeResult = { kind: "offered" };

export function createHostTransport({ sockets, links, offers }: HostTransportPorts): Transport {
  const by: Record<
    HostMode,
    (
      request: ExchangeRequest,
      route: HostRoute,
      signal?: AbortSignal,
    ) => Promise<ExchangeResult> | undefined
  > = {
    dial: (request, _route, signal) => sockets.exchange(request, signal),
    knock: (request, _route, signal) => sockets.exchange(request, signal),
    reverse: (request, route) => links?.exchange(request, route),
    object: (_request, route) => offers?.offer(route),
    poll: () => Promise.resolve(lying),
  };
  const kept = async (exchange: Promise<ExchangeResult>, route: HostRoute) => {
    const result = await exchange;
    offers?.keep(route, result.kind === "reply");
    return result;
  };
  return {
    get socketCount() {
      return sockets.socketCount + (links?.linkCount ?? 0);
    },
    drop: (origin) => sockets.drop(origin),
    exchange(request, signal) {
      const { route } = request;
      if (route === undefined) return sockets.exchange(request, signal);
      for (const mode of route.modes) {
        const result = by[mode](request, route, signal);
        if (result === undefined) continue;
        route.via = mode;
        return mode === "object" || !route.modes.includes("object") ? result : kept(result, route);
      }
      const message = `no mode of the host (${route.modes.join(", ")}) can be used now`;
      return Promise.resolve(failed("detached", message, false));
    },
  };
}
