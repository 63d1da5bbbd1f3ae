/**
 * What each host should hold: a pure function of the fleet's rules and the host's own record.
 *
 * Per config the matching rule with the highest revision wins (ties: the higher rollout id); a rule
 * without a digest removes the config; a pin wins over every rule. Fleets have few distinct label
 * sets, so answers are remembered by the values of those labels that some selector mentions. Equal
 * manifests are one object, across two successive fleets as well.
 *
 * A host that would get more than `limits.configsPerHostMax` configs gets the first ones by name
 * (UTF-16 code units); `overLimit` says how many were left off.
 */
import { manifestDigestOf, type Digest } from "../protocol/digest.ts";
import { limits } from "../protocol/limits.ts";
import type { Manifest } from "../protocol/manifest.ts";
import type { HostRecord, Labels, Pins } from "./host.ts";
import { compareRules, type Fleet, type Rule } from "./rules.ts";
import { matches } from "./selector.ts";

type Subject = Pick<HostRecord, "labels" | "pins">;

/** The compiled rules of one fleet revision. */
export interface Desired {
  (record: Subject): Manifest;
  /** Configs left off this host because it would hold too many; 0 nearly always. */
  overLimit(record: Subject): number;
}

interface Answer {
  readonly manifest: Manifest;
  readonly overLimitCount: number;
}

/** The rules' answer for one set of labels, before pins. `configs` may be over the limit. */
interface Base extends Answer {
  readonly configs: ReadonlyMap<string, Digest>;
}

/** Label texts and pinned answers remembered at once; beyond it they are worked out again. */
const rememberedMax = 65_536;

/** Manifests in use by a compiled fleet, so that its successor shares them. */
const poolOf = new WeakMap<Desired, Map<Digest, Manifest>>();

/** Compiles `fleet`; pass the compiled predecessor to share its manifests. */
export function compileFleet(fleet: Fleet, previous?: Desired): Desired {
  const pool = new Map<Digest, Manifest>();
  const earlier = previous === undefined ? undefined : poolOf.get(previous);
  const rules = rulesByConfig(fleet);
  const keys = mentionedKeys(fleet);
  const byLabels = new WeakMap<Labels, Base>();
  const byText = new Map<string, Base>();
  const pinned = new Map<string, Answer>();

  const answer = (configs: ReadonlyMap<string, Digest>): Answer => {
    const kept = [...configs]
      .map(([name, digest]) => ({ name, digest }))
      .toSorted((left, right) => (left.name < right.name ? -1 : 1))
      .slice(0, limits.configsPerHostMax);
    const digest = manifestDigestOf(kept);
    const manifest = pool.get(digest) ?? earlier?.get(digest) ?? { digest, configs: kept };
    pool.set(digest, manifest);
    return { manifest, overLimitCount: configs.size - kept.length };
  };

  const baseOf = (labels: Labels): Base => {
    const known = byLabels.get(labels);
    if (known !== undefined) return known;
    const text = labelText(keys, labels);
    let base = byText.get(text);
    if (base === undefined) {
      const configs = configsFor(rules, labels);
      base = { configs, ...answer(configs) };
      remember(byText, text, base);
    }
    byLabels.set(labels, base);
    return base;
  };

  const answerOf = ({ labels, pins }: Subject): Answer => {
    const base = baseOf(labels);
    if (Object.keys(pins).length === 0) return base;
    // The base's manifest alone is not enough: two bases may differ beyond the limit.
    const text = `${labelText(keys, labels)} ${pinText(pins)}`;
    const known = pinned.get(text);
    if (known !== undefined) return known;
    const found = answer(new Map([...base.configs, ...pinEntries(pins)]));
    remember(pinned, text, found);
    return found;
  };

  const desired: Desired = Object.assign((record: Subject) => answerOf(record).manifest, {
    overLimit: (record: Subject) => answerOf(record).overLimitCount,
  });
  poolOf.set(desired, pool);
  return desired;
}

/** Per config its rules, the winning one first. */
function rulesByConfig(fleet: Fleet): ReadonlyMap<string, readonly Rule[]> {
  const grouped = Map.groupBy(fleet.rules, (rule) => rule.config);
  for (const rules of grouped.values()) rules.sort((left, right) => compareRules(right, left));
  return grouped;
}

function configsFor(
  rules: ReadonlyMap<string, readonly Rule[]>,
  labels: Labels,
): Map<string, Digest> {
  const configs = new Map<string, Digest>();
  for (const [config, candidates] of rules) {
    const winner = candidates.find((rule) => matches(rule.selector, labels));
    if (winner?.digest !== undefined) configs.set(config, winner.digest as Digest);
  }
  return configs;
}

function mentionedKeys(fleet: Fleet): string[] {
  const keys = fleet.rules.flatMap((rule) => rule.selector.map((term) => term.key));
  return [...new Set(keys)].toSorted();
}

/** The labels that matter as one text; values have neither of the two control characters. */
function labelText(keys: readonly string[], labels: Labels): string {
  let text = "";
  for (const key of keys) text += Object.hasOwn(labels, key) ? `${labels[key]}\n` : "\0\n";
  return text;
}

function pinEntries(pins: Pins): [string, Digest][] {
  return Object.entries(pins).map(([name, digest]) => [name, digest as Digest]);
}

function pinText(pins: Pins): string {
  return JSON.stringify(pinEntries(pins).toSorted(([left], [right]) => (left < right ? -1 : 1)));
}

function remember<T>(known: Map<string, T>, text: string, value: T): void {
  if (known.size >= rememberedMax) known.clear();
  known.set(text, value);
}
