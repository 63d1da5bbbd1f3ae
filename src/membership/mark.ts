/**
 * The first step of an eviction: the mark on the member's item (see member.ts for what it means).
 *
 * It is written only IF the member is exactly as it was read. A member of the view whose item has
 * vanished gets a stub that carries the mark, only IF there still is no item: a living member that
 * registers again in the meantime wins, and one that comes later finds the mark.
 */
import type { ViewMember } from "../ring/view.ts";
import { keys, type WriteOutcome } from "../store/store.ts";
import {
  beatKey,
  encodeMember,
  unchangedSince,
  type MemberReport,
  type MembershipStore,
} from "./member.ts";
import { noFlaps, type EvictReason } from "./probation.ts";

/** Holder of a stub: no process has this id. */
export const stubHolder = "none";

/** Marks a member as read; `refused` means that it moved or that somebody else was faster. */
export function markMember(
  store: MembershipStore,
  member: MemberReport,
  reason: EvictReason,
): Promise<WriteOutcome> {
  const set = { evicting: beatKey(member), evictReason: reason };
  return store.update(keys.member(member.slot), { set }, [
    ...unchangedSince(member),
    { kind: "without", attribute: "evicting" },
  ]);
}

/** Marks a member of the view that has no item. */
export function markAbsent(
  store: MembershipStore,
  known: ViewMember,
  reason: EvictReason,
): Promise<WriteOutcome> {
  const { slot, incarnation, weight, zone, url, fleetUrl } = known;
  const stub: MemberReport = {
    slot,
    incarnation,
    holder: stubHolder,
    beat: 0,
    intent: "leave",
    weight,
    zone,
    url,
    fleetUrl,
    viewSeen: null,
    placementHash: null,
    hosts: 0,
    pushes: 0,
    queued: 0,
    graceMs: 0,
    stalledBeats: 0,
    flaps: noFlaps,
    restored: null,
    suspects: {},
    evicting: undefined,
    evictReason: undefined,
  };
  const attributes = { ...encodeMember(stub), evicting: beatKey(stub), evictReason: reason };
  return store.put({ ...keys.member(slot), attributes }, [{ kind: "absent" }]);
}
