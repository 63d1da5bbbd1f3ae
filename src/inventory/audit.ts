/**
 * The audit trail: who did what, one item an action, filed by month.
 *
 * Best effort: the action has happened by the time it is noted, so a failed note must not make it look
 * failed. The caller logs any outcome but `written`.
 */
import { randomId, type Random } from "../kernel/random.ts";
import { keys, type Store, type WriteOutcome } from "../store/store.ts";

const detailsCharsMax = 4_000;

export interface AuditEntry {
  /** ISO text, UTC. */
  readonly at: string;
  readonly actor: string;
  /** Verb and kind: `host.put`, `rollout.start`. */
  readonly action: string;
  readonly target: string;
  readonly details: Readonly<Record<string, unknown>>;
}

/** Appends one entry; never throws for the store's sake. Long details are cut off. */
export async function appendAudit(
  store: Store,
  random: Random,
  entry: AuditEntry,
): Promise<WriteOutcome> {
  const { at, actor, action, target } = entry;
  const details = JSON.stringify(entry.details).slice(0, detailsCharsMax).toWellFormed();
  const key = keys.audit(at.slice(0, 7), `${at}#${randomId(random, 8)}`);
  try {
    return await store.put({ ...key, attributes: { at, actor, action, target, details } });
  } catch (error) {
    // Reported, not thrown: see above.
    return { kind: "unknown", cause: error instanceof Error ? error : new Error(String(error)) };
  }
}
