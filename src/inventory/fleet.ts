/**
 * The `fleet` item: all active rules, read whole and changed by compare-and-set on its revision.
 *
 * A change is a patch worked out from the rules as they are. Where another writer came first it is
 * worked out again. Every try carries a token of its own (`writer`), so that a try whose answer was
 * lost is recognised when the item is read again. A try that lands late does no harm: it too is bound
 * to the revision it saw.
 */
import { CoxswainError, messageOf } from "../kernel/errors.ts";
import { randomId, type Random } from "../kernel/random.ts";
import { configNamePattern, digestPattern, limits } from "../protocol/limits.ts";
import { keys, type Attributes, type Condition, type Item, type Store } from "../store/store.ts";
import { writeUntilAnswered } from "./answered-write.ts";
import { pack, unpack } from "./packed-json.ts";
import {
  emptyFleet,
  isForkOf,
  isInPlace,
  patchedRules,
  type Fleet,
  type Patch,
  type Rule,
} from "./rules.ts";
import { formatSelector, parseSelector } from "./selector.ts";

/** Enough for a burst of writers: of n that try at once, one gets through each round. */
const triesMax = 32;
const rulesJsonBytesMax = 32 * 1024 * 1024;

/** Reads and changes the fleet item of one store. */
export class FleetStore {
  readonly #store: Store;
  readonly #random: Random;
  #newestRevision = 0;
  #decoded: { readonly writer: unknown; readonly fleet: Fleet } | undefined;

  constructor(store: Store, random: Random) {
    this.#store = store;
    this.#random = random.fork("fleet");
  }

  /** The rules; the same object while the item is unchanged. Empty only where there is no item. */
  async read(): Promise<Fleet> {
    return this.#decode(await this.#store.get(keys.fleet));
  }

  /**
   * Applies the patch that `attempt` makes of the rules it is given (asked again after each lost
   * race) and returns the fleet that has it. Throws STORE_CONTENDED, RULES_FULL, the store's
   * errors and whatever `attempt` throws.
   */
  async change(attempt: (fleet: Fleet, revision: number) => Promise<Patch>): Promise<Fleet> {
    let fleet = await this.read();
    const writers = new Set<unknown>();
    const unsure: Patch[] = [];
    for (let tries = 0; tries < triesMax; tries++) {
      this.#requireForward(fleet);
      const patch = await attempt(fleet, fleet.revision + 1);
      const writer = randomId(this.#random);
      const rules = patchedRules(fleet, patch);
      const item = { ...keys.fleet, attributes: encodeFleet(patch.revision, rules, writer) };
      const outcome = await this.#store.put(item, [unchangedSince(fleet)]);
      if (outcome.kind === "written") {
        const made = { revision: patch.revision, rules };
        this.#decoded = { writer, fleet: made };
        this.#newestRevision = made.revision;
        return made;
      }
      // Read after a refusal too: the store's own client repeats writes whose answer it lost. A write without
      // an answer may also land later, while the next try is on its way.
      writers.add(writer);
      if (outcome.kind === "unknown") unsure.push(patch);
      const current = await this.#store.get(keys.fleet);
      const latest = this.#decode(current);
      if (writers.has(current?.attributes["writer"])) return latest;
      if (unsure.some((each) => isInPlace(each, latest))) return latest;
      fleet = latest;
    }
    throw new CoxswainError(
      "STORE_CONTENDED",
      `Expected to change the rules within ${triesMax} tries, got ahead of by other writers`,
    );
  }

  /**
   * Writes back rules that the table has lost, with the revision they had. Where the table has others under
   * that same revision (written after it was rolled back, by who did not know these), these get the
   * next revision: one number never means two sets of rules for long. Nothing where the table has these
   * or newer ones. Throws STORE_UNKNOWN_OUTCOME and the store's errors.
   */
  async restore(fleet: Fleet): Promise<void> {
    const item = await this.#store.get(keys.fleet);
    const stored = this.#decode(item);
    const isForked = isForkOf(stored, fleet);
    if (stored.revision >= fleet.revision && !isForked) return;
    const revision = isForked ? fleet.revision + 1 : fleet.revision;
    const attributes = encodeFleet(revision, fleet.rules, randomId(this.#random));
    const conditions = [unchangedSince(stored), ...sameWriter(item)];
    // Refused: somebody else restores too, and the next look shows what came of it.
    await writeUntilAnswered("the rules", () =>
      this.#store.put({ ...keys.fleet, attributes }, conditions),
    );
  }

  /** Rules made from what a lost table still has would take away all that it lost. */
  #requireForward({ revision }: Fleet): void {
    if (revision >= this.#newestRevision) return;
    throw new CoxswainError(
      "STORE_WENT_BACK",
      `Expected rules of revision ${this.#newestRevision} or newer in the table, got ${revision}`,
    );
  }

  #decode(item: Item | undefined): Fleet {
    const fleet = this.#decodeItem(item);
    this.#newestRevision = Math.max(this.#newestRevision, fleet.revision);
    return fleet;
  }

  #decodeItem(item: Item | undefined): Fleet {
    if (item === undefined) return emptyFleet;
    const { revision, writer } = item.attributes;
    const last = this.#decoded;
    // Both: after a restore of the table a revision may come again with other rules.
    if (last !== undefined && last.fleet.revision === revision && last.writer === writer)
      return last.fleet;
    const fleet = decodeFleet(item);
    this.#decoded = { writer, fleet };
    return fleet;
  }
}

function unchangedSince({ revision }: Fleet): Condition {
  return revision === 0
    ? { kind: "absent" }
    : { kind: "equal", attribute: "revision", value: revision };
}

function sameWriter(item: Item | undefined): Condition[] {
  const writer = item?.attributes["writer"];
  return typeof writer === "string" ? [{ kind: "equal", attribute: "writer", value: writer }] : [];
}

function encodeFleet(revision: number, rules: readonly Rule[], writer: string): Attributes {
  const bytes = packRules(rules);
  if (bytes.length > limits.rulesBytesMax) {
    throw new CoxswainError(
      "RULES_FULL",
      `Expected all rules in at most ${limits.rulesBytesMax} bytes, got ${bytes.length}`,
      { details: { bytes: bytes.length, bytesMax: limits.rulesBytesMax, rules: rules.length } },
    );
  }
  return { revision, writer, rules: bytes };
}

function decodeFleet(item: Item): Fleet {
  const { revision, rules } = item.attributes;
  try {
    if (typeof revision !== "number" || !Number.isSafeInteger(revision) || revision < 1) {
      throw new Error("its revision is not a positive integer");
    }
    return { revision, rules: unpackRules(rules) };
  } catch (error) {
    throw new CoxswainError(
      "STORE_CORRUPT",
      `Expected ${item.pk}/${item.sk} to be the fleet's rules: ${messageOf(error)}`,
      { details: { pk: item.pk, sk: item.sk }, cause: error },
    );
  }
}

/** Rules as compressed JSON, selectors as canonical text. */
export function packRules(rules: readonly Rule[]): Uint8Array {
  return pack(
    rules.map(({ rollout, config, digest, selector, revision }) => ({
      rollout,
      config,
      digest: digest ?? null,
      selector: formatSelector(selector),
      revision,
    })),
  );
}

/** Throws a plain Error (or SELECTOR_INVALID) on anything `packRules` would not write. */
export function unpackRules(bytes: unknown): Rule[] {
  const list = unpack(bytes, rulesJsonBytesMax);
  if (!Array.isArray(list)) throw new Error("the rules are not a list");
  return list.map(parseRule);
}

function parseRule(value: unknown): Rule {
  const { rollout, config, digest, selector, revision } = Object(value) as Record<string, unknown>;
  const isRule =
    typeof rollout === "string" &&
    typeof config === "string" &&
    configNamePattern.test(config) &&
    (digest === null || (typeof digest === "string" && digestPattern.test(digest))) &&
    typeof selector === "string" &&
    typeof revision === "number" &&
    Number.isSafeInteger(revision);
  if (!isRule) throw new Error(`not a rule: ${JSON.stringify(value)?.slice(0, 200)}`);
  return {
    rollout,
    config,
    digest: digest ?? undefined,
    selector: parseSelector(selector),
    revision,
  };
}
