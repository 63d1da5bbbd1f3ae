/**
 * Rollout records as items of the store; the rules they added and dropped as compressed JSON.
 */
import { CoxswainError, messageOf } from "../kernel/errors.ts";
import { digestPattern } from "../protocol/limits.ts";
import type { Attributes, Item } from "../store/store.ts";
import { packRules, unpackRules } from "./fleet.ts";
import type { Rule } from "./rules.ts";

export interface Rollout {
  readonly id: string;
  readonly config: string;
  /** Undefined: removes the config, or (an undo) restores several rules or none. */
  readonly digest: string | undefined;
  /** Canonical selector text. */
  readonly selector: string;
  readonly author: string;
  /** ISO text of the author's clock, for people only. */
  readonly at: string;
  readonly fleetRevision: number;
  readonly state: "active" | "superseded" | "undone";
  /** The rollout that this one takes back. */
  readonly undoes?: string;
  /** Rules it made or, for an undo, restored. */
  readonly added: readonly Rule[];
  /** Rules it dropped. */
  readonly superseded: readonly Rule[];
}

type StoredState = "starting" | "active" | "undone";
/** The state as stored: what the rules say comes on top (rollouts.ts). */
export type StoredRollout = Omit<Rollout, "state"> & { readonly state: StoredState };

export function encodeRollout(rollout: StoredRollout): Attributes {
  const { config, digest, selector, author, at, fleetRevision, state, undoes } = rollout;
  return {
    config,
    selector,
    author,
    at,
    fleetRevision,
    state,
    added: packRules(rollout.added),
    superseded: packRules(rollout.superseded),
    ...(digest === undefined ? {} : { digest }),
    ...(undoes === undefined ? {} : { undoes }),
  };
}

/** Throws STORE_CORRUPT. */
export function decodeRollout(item: Item): StoredRollout {
  const { config, digest, selector, author, at, fleetRevision, state, undoes } = item.attributes;
  const isRollout =
    typeof config === "string" &&
    (digest === undefined || (typeof digest === "string" && digestPattern.test(digest))) &&
    typeof selector === "string" &&
    typeof author === "string" &&
    typeof at === "string" &&
    typeof fleetRevision === "number" &&
    (state === "starting" || state === "active" || state === "undone") &&
    (undoes === undefined || typeof undoes === "string");
  try {
    if (!isRollout) throw new Error("a field is missing or of another kind");
    return {
      id: item.sk,
      config,
      digest,
      selector,
      author,
      at,
      fleetRevision,
      state,
      added: unpackRules(item.attributes["added"]),
      superseded: unpackRules(item.attributes["superseded"]),
      ...(undoes === undefined ? {} : { undoes }),
    };
  } catch (error) {
    throw new CoxswainError(
      "STORE_CORRUPT",
      `Expected ${item.pk}/${item.sk} to be a rollout: ${messageOf(error)}`,
      { details: { pk: item.pk, sk: item.sk }, cause: error },
    );
  }
}
