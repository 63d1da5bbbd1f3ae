/**
 * One word for how a host stands to what it should hold; counts and filters are made of it.
 *
 * The first that fits counts, in the order of `SyncClass`: a host that applied a release and then
 * died is unreachable, because nobody knows what it holds now. A quarantined host counts as
 * unreachable: its trouble is the address or the certificate, not the release.
 */
import type { Digest } from "../protocol/digest.ts";
import { isParkedFor, type HostStatus } from "./host-status.ts";

export type SyncClass = "neverSeen" | "unreachable" | "rejected" | "applied" | "pending";

/** How the host stands to its whole manifest. */
export function syncClassOf(status: HostStatus, desired: Digest): SyncClass {
  const early = withoutContent(status);
  if (early !== undefined) return early;
  if (isParkedFor(status, desired)) return "rejected";
  const { held } = status;
  return held !== undefined && held.manifest === desired && held.problems.length === 0
    ? "applied"
    : "pending";
}

/** How the host stands to one release of one config; `digest` undefined: the config is to be gone. */
export function configClassOf(
  status: HostStatus,
  desired: Digest,
  config: string,
  digest: string | undefined,
): SyncClass {
  const early = withoutContent(status);
  if (early !== undefined) return early;
  const held = status.held?.configs;
  const holds = held?.find(({ name }) => name === config)?.digest;
  const problem = status.held?.problems.find(({ name }) => name === config);
  if (isParkedFor(status, desired)) {
    const isToBlame = problem !== undefined || status.held?.problems.length === 0;
    if (isToBlame && holds !== digest) return "rejected";
  }
  return held !== undefined && holds === digest && problem === undefined ? "applied" : "pending";
}

function withoutContent(status: HostStatus): SyncClass | undefined {
  if (status.held === undefined && status.lastContactWallMs === undefined) return "neverSeen";
  const { reachability } = status;
  const isOut = reachability === "unreachable" || reachability === "lost";
  return isOut || status.isQuarantined ? "unreachable" : undefined;
}
