/**
 * Waits for another process to take this node's slot. That may have happened before anybody waited,
 * even before the first round of membership: the snapshot tells.
 */
import type { Membership } from "../membership/membership.ts";
import type { MembershipSnapshot } from "../membership/snapshot.ts";

export function untilReplaced(membership: Pick<Membership, "snapshot" | "subscribe">): {
  readonly promise: Promise<"replaced">;
  readonly forget: () => void;
} {
  const { promise, resolve } = Promise.withResolvers<"replaced">();
  const look = ({ self }: MembershipSnapshot) => {
    if (self.status === "replaced") resolve("replaced");
  };
  const forget = membership.subscribe(look);
  look(membership.snapshot());
  return { promise, forget };
}
