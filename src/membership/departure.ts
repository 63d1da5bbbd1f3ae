/**
 * The last writes of a process that ends: out of the view for good, never really in, or away for a restart.
 *
 * They are made after the loops have ended and have nothing but their deadline. Where they fail, the
 * others find the member silent: a crash is the slow form of both.
 */
import type { Clock } from "../kernel/clock.ts";
import { isCoxswainError } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";
import { keys, type Store } from "../store/store.ts";
import { boundStore } from "./bounded-store.ts";
import { decodeMember } from "./member.ts";
import type { Observer } from "./observer.ts";
import type { MembershipOptions } from "./options.ts";
import type { OwnMember } from "./own-member.ts";
import { findSelf } from "./situation.ts";

interface DeparturePorts {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Takes the member out of the view where nobody has yet, and deletes its item. */
export async function leaveForGood(
  { store, clock, log }: DeparturePorts,
  own: OwnMember,
  observer: Observer,
  options: MembershipOptions,
): Promise<void> {
  const last = boundStore(store, clock, options.storeTimeoutMs);
  try {
    const isOut = findSelf(observer.view, own.row) === undefined || (await observer.dropSelf(last));
    if (isOut) await own.remove(last);
    log.info({ isOut }, "left the cluster");
  } catch (error) {
    if (!isCoxswainError(error)) throw error;
    log.warn({ err: error }, "left without telling the store");
  }
}

/**
 * Takes back what a process that ends while it joins has written: others would wait for its beats, and
 * may have let it in already. An own registration without an answer is found by its holder.
 */
export async function withdraw(
  { store, clock, log }: DeparturePorts,
  own: OwnMember,
  observer: Observer | undefined,
  options: MembershipOptions,
): Promise<void> {
  const last = boundStore(store, clock, options.storeTimeoutMs);
  try {
    const item = await last.get(keys.member(own.row.slot));
    const stored = item === undefined ? undefined : decodeMember(item);
    if (stored?.holder !== own.row.holder) return;
    own.claimed(stored, clock.monotonicMs());
    await observer?.dropSelf(last);
    await own.remove(last);
    log.info({}, "stopped while joining");
  } catch (error) {
    if (!isCoxswainError(error)) throw error;
    log.warn({ err: error }, "stopped while joining without telling the store");
  }
}

/** Says with a last beat that the slot comes back within `graceMs`; the view keeps it so long. */
export async function leaveForRestart(
  { store, clock, log }: DeparturePorts,
  own: OwnMember,
  graceMs: number,
  options: MembershipOptions,
): Promise<void> {
  own.pause(graceMs);
  const last = boundStore(store, clock, options.storeTimeoutMs);
  const { kind } = await own.beat(last, clock, options, new AbortController().signal);
  log.info({ graceMs, kind }, "stopped for a restart");
}
