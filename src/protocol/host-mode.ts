/**
 * The modes: who opens the connection between a host and its owner.
 *
 * What is said over it is the same sync for each. A host's record and its agent both list modes, best
 * first; what is not in both lists is not used.
 */

/**
 * `dial`: the node connects to the host. `reverse`: the host connects and the node drives the
 * connection. `knock`: the host sends one datagram, then the node dials. `object`: both meet at an
 * object store. `poll`: the host asks.
 */
export const hostModes = ["dial", "reverse", "knock", "object", "poll"] as const;
export type HostMode = (typeof hostModes)[number];

/** True where a node opens connections to the host itself, for which it needs the address. */
export function isDialled(modes: readonly HostMode[]): boolean {
  return modes.includes("dial") || modes.includes("knock");
}

/** True where the host may fetch its manifest without a connection that the node can use. */
export function isFetched(modes: readonly HostMode[]): boolean {
  return modes.includes("object") || modes.includes("poll");
}
