/**
 * Rules: which release of which config goes to which hosts. All active rules live in one item, so
 * that they are read whole, with one revision: the middle part of the fence.
 */
import type { Selector } from "./selector.ts";

export interface Rule {
  /** The rollout that made the rule. */
  readonly rollout: string;
  readonly config: string;
  /** Undefined: the rule removes the config from the hosts it matches. */
  readonly digest: string | undefined;
  readonly selector: Selector;
  /** Fleet revision at which the rule was made; of two rules that match, the higher wins. */
  readonly revision: number;
}

/** The `fleet` item. */
export interface Fleet {
  readonly revision: number;
  /** Sorted by revision, then rollout id. */
  readonly rules: readonly Rule[];
}

export const emptyFleet: Fleet = { revision: 0, rules: [] };
