/** The part of a node that meets hosts at an object store: lays manifests ready, and reads what they left. */
import type { Digest } from "../protocol/digest.ts";
import { LeftReports } from "../push/left-reports.ts";
import { ObjectOffers } from "../push/object-offers.ts";
import type { Pusher } from "../push/pusher.ts";
import type { NodePorts, NodeSetup } from "./node-setup.ts";
import type { Slice } from "./slice.ts";

/** Undefined without an object store. `slice` and `pusher` are made later than this: they need the offers. */
export function createOffers(
  { objects, clock, log, metrics }: NodePorts,
  { meta, options }: NodeSetup,
  contents: (digest: Digest) => Promise<Uint8Array>,
  slice: () => Slice,
  pusher: () => Pusher,
): ObjectOffers | undefined {
  if (objects === undefined) return undefined;
  const shared = { objects, clock, log: log.child({ component: "objects" }), metrics };
  const reported: Pusher["reported"] = (id, reply) => pusher().reported(id, reply, "object");
  const lastWord: Pusher["lastWord"] = (id) => pusher().lastWord(id);
  const ports = {
    ...shared,
    contents,
    reports: new LeftReports({ ...shared, lastWord, reported }, meta.clusterId),
    view: () => slice().view.version,
    fleetHosts: () => slice().hostsCount() * slice().view.members.length,
  };
  const identity = { cluster: meta.clusterId, node: options.slot };
  return new ObjectOffers(ports, { ...identity, pollMs: options.objectPollMs });
}
