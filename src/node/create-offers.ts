/** The part of a node that lays manifests ready for hosts that read them from an object store. */
import type { Digest } from "../protocol/digest.ts";
import { ObjectOffers } from "../push/object-offers.ts";
import type { NodePorts, NodeSetup } from "./node-setup.ts";
import type { Slice } from "./slice.ts";

/** Undefined without an object store. `slice` is made later than this: its pusher needs the offers. */
export function createOffers(
  { objects, clock, log, metrics }: NodePorts,
  { meta, options }: NodeSetup,
  contents: (digest: Digest) => Promise<Uint8Array>,
  slice: () => Slice,
): ObjectOffers | undefined {
  if (objects === undefined) return undefined;
  const ports = {
    objects,
    contents,
    clock,
    log: log.child({ component: "objects" }),
    metrics,
    view: () => slice().view.version,
    fleetHosts: () => slice().hostsCount() * slice().view.members.length,
  };
  const identity = { cluster: meta.clusterId, node: options.slot };
  return new ObjectOffers(ports, { ...identity, pollMs: options.objectPollMs });
}
