/**
 * Eviction by command: the same two steps as any other, a mark and then the view, without waiting
 * for silence. A member that lives registers again and comes back after the longest probation.
 */
import type { Clock } from "../kernel/clock.ts";
import { isNewerView, type View } from "../ring/view.ts";
import { keys } from "../store/store.ts";
import { markAbsent, markMember } from "./mark.ts";
import { decodeMember, isMarked, type MembershipStore, type ViewNumber } from "./member.ts";

export type EvictOutcome =
  | { readonly kind: "evicted"; readonly view: ViewNumber }
  | { readonly kind: "unknownSlot" }
  /** Nobody else would be left to push. */
  | { readonly kind: "lastMember" }
  /** Marked or not, the view did not change in time: try again. */
  | { readonly kind: "unfinished" };

export interface EvictionPorts {
  readonly store: MembershipStore;
  readonly clock: Clock;
  /** What this node sees now. */
  seen(): { readonly view: View; readonly silentSlots: ReadonlySet<string> };
  /** Starts a round here and at the others. */
  wake(): void;
}

const marksMax = 5;
const waitMaxMs = 2_500;
const lookEveryMs = 50;

/** Throws the store's errors. */
export async function evictSlot(ports: EvictionPorts, slot: string): Promise<EvictOutcome> {
  const { view, silentSlots } = ports.seen();
  if (!view.members.some((member) => member.slot === slot)) return { kind: "unknownSlot" };
  const isNeeded = !view.members.some(
    (member) => member.slot !== slot && member.state === "active" && !silentSlots.has(member.slot),
  );
  if (isNeeded) return { kind: "lastMember" };
  for (let marks = 0; marks < marksMax; marks++) {
    if (await tryMark(ports.store, view, slot)) break;
  }
  ports.wake();
  return waitForView(ports, view, slot);
}

/** True where the slot's item carries a mark now; a member that beats at that moment is tried again. */
async function tryMark(store: MembershipStore, view: View, slot: string): Promise<boolean> {
  const item = await store.get(keys.member(slot));
  if (item === undefined) {
    const known = view.members.find((member) => member.slot === slot);
    return known === undefined || (await markAbsent(store, known, "command")).kind === "written";
  }
  const member = decodeMember(item);
  return isMarked(member) || (await markMember(store, member, "command")).kind === "written";
}

async function waitForView(
  ports: EvictionPorts,
  before: View,
  slot: string,
): Promise<EvictOutcome> {
  const deadlineMs = ports.clock.monotonicMs() + waitMaxMs;
  while (ports.clock.monotonicMs() < deadlineMs) {
    const { view } = ports.seen();
    const isOut = !view.members.some((member) => member.slot === slot);
    if (isOut && isNewerView(view, before)) {
      return { kind: "evicted", view: { generation: view.generation, version: view.version } };
    }
    await ports.clock.sleep(lookEveryMs);
  }
  return { kind: "unfinished" };
}
