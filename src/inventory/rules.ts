/**
 * Rules: which release of which config goes to which hosts. All active rules live in one item, so
 * that they are read whole, with one revision: the middle part of the fence.
 *
 * A rollout is a patch of the rules: it adds some and drops those it supersedes. Both lists are
 * remembered, so that undoing is the inverse patch. Restored rules keep the revision at which they
 * were made: precedence against rules that came later is then what it was before. The fleet's own
 * revision only grows.
 */
import { formatSelector, type Selector } from "./selector.ts";

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

/**
 * True where two sets of rules carry one revision. The store never lets that happen; a table that was
 * rolled back and then written to can. Rules are sorted, and an identity never gets other contents.
 */
export function isForkOf(left: Fleet, right: Fleet): boolean {
  if (left === right || left.revision !== right.revision) return false;
  const textOf = ({ rules }: Fleet) => rules.map(identity).join(" ");
  return textOf(left) !== textOf(right);
}

/** What one rollout does to the rules. */
export interface Patch {
  readonly config: string;
  readonly added: readonly Rule[];
  readonly superseded: readonly Rule[];
  /** Fleet revision the patch makes. */
  readonly revision: number;
}

/** Ascending by revision, then rollout id: of two rules that match a host, the later one wins. */
export function compareRules(left: Rule, right: Rule): number {
  if (left.revision !== right.revision) return left.revision - right.revision;
  return left.rollout < right.rollout ? -1 : left.rollout > right.rollout ? 1 : 0;
}

/** Rules of the same config that `rule` leaves without effect: same selector, or it matches all. */
export function supersededBy(fleet: Fleet, rule: Rule): Rule[] {
  return fleet.rules.filter((older) => older.config === rule.config && covers(rule, older));
}

/** The rules after `patch`, sorted. */
export function patchedRules(fleet: Fleet, patch: Patch): Rule[] {
  const gone = new Set(patch.superseded.map(identity));
  return [...fleet.rules.filter((rule) => !gone.has(identity(rule))), ...patch.added].toSorted(
    compareRules,
  );
}

/**
 * True while the patch is what the rules say: all it added is there, nothing it dropped has come
 * back and, where it added nothing, no other rule has since replaced what it dropped (one with its own
 * revision won the race against it). Only then can it be undone. False before it has landed, too.
 */
export function isInPlace(patch: Patch, fleet: Fleet): boolean {
  const present = new Set(fleet.rules.map(identity));
  if (patch.superseded.some((rule) => present.has(identity(rule)))) return false;
  if (patch.added.length > 0) return patch.added.every((rule) => present.has(identity(rule)));
  return !patch.superseded.some((dropped) =>
    fleet.rules.some(
      (rule) =>
        rule.config === dropped.config && rule.revision >= patch.revision && covers(rule, dropped),
    ),
  );
}

/**
 * Number of configs that every host matched by `selector` is certain to hold: those whose newest rule
 * for all hosts or for this very selector gives a release, and which no later rule removes.
 */
export function certainConfigCount(fleet: Fleet, selector: Selector): number {
  const text = formatSelector(selector);
  const certain = new Set<string>();
  for (const rule of fleet.rules.toSorted(compareRules)) {
    const isCertain = rule.selector.length === 0 || formatSelector(rule.selector) === text;
    if (rule.digest === undefined) certain.delete(rule.config);
    else if (isCertain) certain.add(rule.config);
  }
  return certain.size;
}

function covers(rule: Rule, older: Rule): boolean {
  return (
    rule.selector.length === 0 || formatSelector(rule.selector) === formatSelector(older.selector)
  );
}

function identity(rule: Rule): string {
  return `${rule.revision}/${rule.rollout}`;
}
