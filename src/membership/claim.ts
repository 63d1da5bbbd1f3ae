/**
 * Taking a slot at start: absent, or held by a process that is gone, but never from a living one.
 *
 * A refused connection at the holder's address means that it is gone. Otherwise its beat is watched
 * for two and a half intervals: a beat that moves belongs to a living process and the start fails.
 * A holder that said it restarts is gone. What the slot has to make up for goes on to its next holder.
 * The write is conditioned on what was read, so of two claimants one wins. Incarnations never
 * restart: a free slot begins above the version of the view, which every join and leave has raised.
 */
import type { Clock } from "../kernel/clock.ts";
import { CoxswainError } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";
import type { View } from "../ring/view.ts";
import { keys } from "../store/store.ts";
import {
  beatKey,
  decodeMember,
  encodeMember,
  isMarked,
  unchangedSince,
  type MemberReport,
  type MembershipStore,
} from "./member.ts";
import type { MembershipOptions } from "./options.ts";
import { afterBreak, afterEviction, noFlaps, type FlapRecord } from "./probation.ts";

/** Asks whether anything listens at a member's fleet address; `unknown` proves nothing. */
export type Probe = (
  fleetUrl: string,
  timeoutMs: number,
) => Promise<"answered" | "refused" | "unknown">;

export interface ClaimPorts {
  readonly store: MembershipStore;
  readonly clock: Clock;
  readonly log: Logger;
  readonly probe: Probe;
}

type Claimed = Pick<MemberReport, "incarnation" | "beat" | "flaps">;

/**
 * Registers `wanted` and returns the incarnation and beat that are now stored. Waits for the store as long as it
 * takes; throws MEMBER_SLOT_TAKEN where a living process holds the slot.
 */
export async function claimSlot(
  ports: ClaimPorts,
  wanted: MemberReport,
  view: View,
  options: MembershipOptions,
  signal: AbortSignal,
): Promise<Claimed> {
  return persist(ports, options, signal, () => tryClaim(ports, wanted, view, options, signal));
}

/**
 * Repeats `attempt` at beat intervals until it returns something; errors that may pass are logged
 * once and waited out, all others thrown.
 */
export async function persist<T>(
  ports: Pick<ClaimPorts, "clock" | "log">,
  options: MembershipOptions,
  signal: AbortSignal,
  attempt: () => Promise<T | undefined>,
): Promise<T> {
  for (let isLogged = false; ;) {
    try {
      const result = await attempt();
      if (result !== undefined) return result;
    } catch (error) {
      if (!(error instanceof CoxswainError) || !error.retryable || signal.aborted) throw error;
      if (!isLogged) ports.log.warn({ err: error }, "waiting for the store");
      isLogged = true;
    }
    await ports.clock.sleep(options.beatIntervalMs, signal);
  }
}

/** Undefined where somebody else was faster or no answer came: the next attempt reads again. */
async function tryClaim(
  ports: ClaimPorts,
  wanted: MemberReport,
  view: View,
  options: MembershipOptions,
  signal: AbortSignal,
): Promise<Claimed | undefined> {
  const { slot } = wanted;
  const { store, log } = ports;
  const known = view.members.find((member) => member.slot === slot)?.incarnation ?? 0;
  const item = await store.get(keys.member(slot));
  if (item === undefined) {
    const incarnation = Math.max(known, view.version) + 1;
    const attributes = encodeMember({ ...wanted, incarnation });
    const outcome = await store.put({ ...keys.member(slot), attributes }, [{ kind: "absent" }]);
    const claimed = { incarnation, beat: wanted.beat, flaps: noFlaps };
    return outcome.kind === "written" ? claimed : undefined;
  }
  const holder = decodeMember(item);
  if (holder.holder === wanted.holder) return holder;
  const isGone =
    holder.intent === "restart" ||
    (await ports.probe(holder.fleetUrl, options.probeTimeoutMs)) === "refused" ||
    (await standsStill(ports, holder, options, signal));
  if (!isGone) return undefined;
  const incarnation = Math.max(known, holder.incarnation) + 1;
  const beat = holder.beat + 1;
  const flaps = inheritedFlaps(holder, beat, options);
  const attributes = encodeMember({ ...wanted, incarnation, beat, flaps });
  const outcome = await store.put({ ...keys.member(slot), attributes }, unchangedSince(holder));
  if (outcome.kind !== "written") return undefined;
  log.info({ slot, incarnation }, "took the slot over from a process that is gone");
  return { incarnation, beat, flaps };
}

function inheritedFlaps(
  holder: MemberReport,
  beat: number,
  options: MembershipOptions,
): FlapRecord {
  return isMarked(holder)
    ? afterEviction(holder.flaps, holder.evictReason ?? "silent", beat, options)
    : afterBreak(holder.flaps, beat);
}

/** Watches for 2.5 beats. False where the item vanished; throws where the holder lives. */
async function standsStill(
  { store, clock }: ClaimPorts,
  holder: MemberReport,
  options: MembershipOptions,
  signal: AbortSignal,
): Promise<boolean> {
  for (let read = 0; read < watchReadsCount; read++) {
    await clock.sleep(options.beatIntervalMs / 2, signal);
    const item = await store.get(keys.member(holder.slot));
    if (item === undefined) return false;
    const now = decodeMember(item);
    if (beatKey(now) === beatKey(holder) && now.holder === holder.holder) continue;
    throw new CoxswainError(
      "MEMBER_SLOT_TAKEN",
      `Expected slot \`${holder.slot}\` to be free, got a living process at ${now.url}`,
      { details: { slot: holder.slot, url: now.url } },
    );
  }
  return true;
}

const watchReadsCount = 5;
