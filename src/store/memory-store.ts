/**
 * The store in memory, with the same contract as DynamoDB and a hook for faults.
 *
 * Unit tests and the simulator run on it. Each call takes effect at one instant between `before`
 * and `after` of its hook, which may delay it, fail it, or lose the answer of a write that landed.
 */
import { CoxswainError } from "../kernel/errors.ts";
import {
  checkAttributes,
  checkChange,
  checkConditions,
  checkIncrement,
  checkKey,
  checkKeys,
  checkQuery,
  checkSize,
  compareBytes,
} from "./item.ts";
import type {
  Attributes,
  Condition,
  Item,
  Key,
  Page,
  Store,
  StoreCall,
  WriteOutcome,
} from "./store.ts";

export type { StoreCall } from "./store.ts";

/** Called around every operation; each may be async and may throw to make the call fail. */
export interface StoreFaults {
  /** Before the operation takes effect: what it throws is a failure known not to have landed. */
  before?(call: StoreCall, key: Key): Promise<void> | void;
  /** After it took effect: what it throws is a lost answer (reads fail, writes are `unknown`). */
  after?(call: StoreCall, key: Key): Promise<void> | void;
}

/** A Store in this process's memory; `faults` may be replaced at any time. */
export class MemoryStore implements Store {
  faults: StoreFaults = {};
  readonly #partitions = new Map<string, Map<string, Attributes>>();

  async get(key: Key): Promise<Item | undefined> {
    checkKey(key);
    return this.#read("get", key, () => this.#item(key));
  }

  async getMany(keys: readonly Key[]): Promise<Item[]> {
    checkKeys(keys);
    const first = keys[0];
    if (first === undefined) return [];
    return this.#read("getMany", first, () =>
      keys.map((key) => this.#item(key)).filter((item) => item !== undefined),
    );
  }

  async query(
    pk: string,
    options: { readonly prefix?: string; readonly after?: string; readonly limit: number },
  ): Promise<Page> {
    checkQuery(pk, options);
    const { prefix = "", after, limit } = options;
    return this.#read("query", { pk, sk: prefix }, () => {
      const matching = [...(this.#partitions.get(pk) ?? [])]
        .filter(
          ([sk]) => sk.startsWith(prefix) && (after === undefined || compareBytes(sk, after) > 0),
        )
        .toSorted(([left], [right]) => compareBytes(left, right));
      const items = matching
        .slice(0, limit)
        .map(([sk, attributes]) => ({ pk, sk, attributes: { ...attributes } }));
      return { items, next: matching.length > limit ? items.at(-1)?.sk : undefined };
    });
  }

  async put(item: Item, conditions: readonly Condition[] = []): Promise<WriteOutcome> {
    checkAttributes(item.attributes);
    return this.#write("put", item, conditions, () => ({ ...item.attributes }));
  }

  async update(
    key: Key,
    change: { readonly set: Attributes; readonly remove?: readonly string[] },
    conditions: readonly Condition[] = [],
  ): Promise<WriteOutcome> {
    checkChange(change.set, change.remove ?? []);
    return this.#write("update", key, conditions, (current) => {
      const kept = Object.entries(current ?? {}).filter(([name]) => !change.remove?.includes(name));
      return { ...Object.fromEntries(kept), ...change.set };
    });
  }

  async delete(key: Key, conditions: readonly Condition[] = []): Promise<WriteOutcome> {
    return this.#write("delete", key, conditions, () => undefined);
  }

  async increment(key: Key, attribute: string, by: number): Promise<number> {
    checkIncrement(attribute, by);
    let value = 0;
    const outcome = await this.#write("increment", key, [], (current) => {
      const before = current?.[attribute] ?? 0;
      if (typeof before !== "number") {
        throw new CoxswainError(
          "STORE_CORRUPT",
          `Expected ${attribute} of ${key.pk}/${key.sk} to be a number, got ${typeof before}`,
        );
      }
      value = before + by;
      return { ...current, [attribute]: value };
    });
    if (outcome.kind === "written") return value;
    throw new CoxswainError("STORE_UNKNOWN_OUTCOME", "No answer to an increment", {
      cause: outcome,
    });
  }

  async close(): Promise<void> {}

  /** Everything stored, for tests that look at or replace the whole table. */
  dump(): Item[] {
    return [...this.#partitions].flatMap(([pk, items]) =>
      [...items].map(([sk, attributes]) => ({ pk, sk, attributes })),
    );
  }

  /** Replaces the whole content: an empty or an older table, as after a restore. */
  restore(items: readonly Item[]): void {
    this.#partitions.clear();
    for (const item of items) this.#set(item, item.attributes);
  }

  #item({ pk, sk }: Key): Item | undefined {
    const attributes = this.#partitions.get(pk)?.get(sk);
    return attributes === undefined ? undefined : { pk, sk, attributes: { ...attributes } };
  }

  #set({ pk, sk }: Key, attributes: Attributes | undefined): void {
    const items = this.#partitions.get(pk) ?? new Map<string, Attributes>();
    if (attributes === undefined) items.delete(sk);
    else items.set(sk, attributes);
    if (items.size === 0) this.#partitions.delete(pk);
    else this.#partitions.set(pk, items);
  }

  async #read<T>(call: StoreCall, key: Key, read: () => T): Promise<T> {
    await this.faults.before?.(call, key);
    const result = read();
    await this.faults.after?.(call, key);
    return result;
  }

  async #write(
    call: StoreCall,
    key: Key,
    conditions: readonly Condition[],
    change: (current: Attributes | undefined) => Attributes | undefined,
  ): Promise<WriteOutcome> {
    checkKey(key);
    checkConditions(conditions);
    await this.faults.before?.(call, key);
    const current = this.#partitions.get(key.pk)?.get(key.sk);
    const holds = conditions.every((condition) => conditionHolds(condition, current));
    if (holds) {
      const changed = change(current);
      if (changed !== undefined) checkSize(key, changed);
      this.#set(key, changed);
    }
    try {
      await this.faults.after?.(call, key);
    } catch (error) {
      // The fault stands for an answer that never came: what was written stays written.
      return { kind: "unknown", cause: error instanceof Error ? error : new Error(String(error)) };
    }
    return { kind: holds ? "written" : "refused" };
  }
}

function conditionHolds(condition: Condition, current: Attributes | undefined): boolean {
  if (condition.kind === "absent") return current === undefined;
  const value = current?.[condition.attribute];
  switch (condition.kind) {
    case "equal":
      return value === condition.value;
    case "without":
      return value === undefined;
    case "below":
      return value === undefined || (typeof value === "number" && value < condition.value);
    case "atMost":
      return value === undefined || (typeof value === "number" && value <= condition.value);
  }
}
