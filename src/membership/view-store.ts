/**
 * The view in the store: one item, changed by compare-and-set on its number.
 *
 * `writer` is a random id of the proposal. It is how a proposer recognises its own write when the
 * answer was lost: the item then carries the id, whatever the answer would have been. A write that
 * lands late is harmless, because its condition still names the version it was made for.
 */
import { z } from "zod";
import { CoxswainError } from "../kernel/errors.ts";
import { emptyView, isNewerView, type View } from "../ring/view.ts";
import { keys, type Condition, type Item } from "../store/store.ts";
import type { MembershipStore } from "./member.ts";

export type ProposalOutcome =
  | { readonly kind: "won" }
  | { readonly kind: "lost" }
  | { readonly kind: "unknown"; readonly cause: Error };

const itemSchema = z.object({
  // Both fit into one number (inventory/checkpoints.ts).
  generation: z
    .int()
    .min(1)
    .max(2 ** 21 - 1),
  version: z
    .int()
    .min(0)
    .max(2 ** 32 - 1),
  members: z.string(),
  writer: z.string(),
  fleetRevisionMin: z.int().min(0).optional(),
});
const membersSchema = z.array(
  z.object({
    slot: z.string().min(1),
    incarnation: z.int().min(1),
    state: z.enum(["active", "leaving"]),
    weight: z.int().min(1).max(100),
    zone: z.string(),
    url: z.string(),
    fleetUrl: z.string(),
  }),
);

/** Undefined where there is no view item; throws STORE_CORRUPT for another shape. */
export async function readView(store: MembershipStore): Promise<View | undefined> {
  const item = await store.get(keys.view);
  return item === undefined ? undefined : decode(item).view;
}

/** Writes the empty view where there is none; `coxswain init` calls it, nodes never do. */
export async function ensureView(store: MembershipStore): Promise<void> {
  const outcome = await store.put(encode(emptyView, "init"), [{ kind: "absent" }]);
  if (outcome.kind !== "unknown" || (await readView(store)) !== undefined) return;
  throw new CoxswainError("STORE_UNKNOWN_OUTCOME", "No answer to writing the first view", {
    cause: outcome.cause,
  });
}

/**
 * Replaces `seen` (undefined: no view) by `next`, only if that is still what is stored. Throws like a
 * store write.
 */
export async function proposeView(
  store: MembershipStore,
  seen: View | undefined,
  next: View,
  writer: string,
): Promise<ProposalOutcome> {
  const outcome = await store.put(encode(next, writer), conditionsOf(seen));
  if (outcome.kind === "written") return { kind: "won" };
  if (outcome.kind === "refused") return recognise(store, next, writer, undefined);
  return recognise(store, next, writer, outcome.cause);
}

function conditionsOf(seen: View | undefined): Condition[] {
  if (seen === undefined) return [{ kind: "absent" }];
  return [
    { kind: "equal", attribute: "generation", value: seen.generation },
    { kind: "equal", attribute: "version", value: seen.version },
  ];
}

/**
 * Even a refusal may be an own success: a client library that repeats a write after a lost answer
 * meets its own first attempt.
 */
async function recognise(
  store: MembershipStore,
  next: View,
  writer: string,
  cause: Error | undefined,
): Promise<ProposalOutcome> {
  const item = await store.get(keys.view);
  const stored = item === undefined ? undefined : decode(item);
  if (stored?.writer === writer) return { kind: "won" };
  if (cause === undefined) return { kind: "lost" };
  const isDecided = stored !== undefined && !isNewerView(next, stored.view);
  return isDecided ? { kind: "lost" } : { kind: "unknown", cause };
}

function encode(view: View, writer: string): Item {
  const { generation, version, members, fleetRevisionMin } = view;
  const floor = fleetRevisionMin === undefined ? {} : { fleetRevisionMin };
  const attributes = { generation, version, members: JSON.stringify(members), writer, ...floor };
  return { ...keys.view, attributes };
}

function decode(item: Item): { readonly view: View; readonly writer: string } {
  const row = itemSchema.safeParse(item.attributes);
  if (!row.success) throw corrupt(row.error);
  const { generation, version, writer, fleetRevisionMin } = row.data;
  let parsed: unknown;
  try {
    parsed = JSON.parse(row.data.members);
  } catch (error) {
    throw corrupt(error);
  }
  const members = membersSchema.safeParse(parsed);
  if (!members.success) throw corrupt(members.error);
  const floor = fleetRevisionMin === undefined ? {} : { fleetRevisionMin };
  return { view: { generation, version, ...floor, members: members.data }, writer };
}

function corrupt(cause: unknown): CoxswainError {
  return new CoxswainError("STORE_CORRUPT", "Expected cluster/view to be a view, got other data", {
    details: keys.view,
    cause,
  });
}
