/**
 * A store that counts what DynamoDB would charge: for real by the answers of the engine, on virtual
 * time by the published rules over a store in memory. `npm run bench -- cost` runs both and compares
 * them where both can run.
 */
import { readUnits, writeUnits } from "../src/cli/plan/capacity-units.ts";
import type { Clock } from "../src/kernel/clock.ts";
import { itemKindOf, type ItemKind } from "../src/store/item-kind.ts";
import { itemBytes } from "../src/store/item.ts";
import type { MemoryStore } from "../src/store/memory-store.ts";
import type { Item, Key, Store, WriteOutcome } from "../src/store/store.ts";

type Access = "read" | "write";

/** Units by access and kind of item. */
export class UnitCounts {
  readonly #units = new Map<string, number>();
  #callsCount = 0;
  #callsSeconds = 0;

  add(access: Access, kind: ItemKind, units: number, seconds = 0): void {
    this.#callsCount++;
    this.#callsSeconds += seconds;
    const name = `${kind} ${access}`;
    this.#units.set(name, (this.#units.get(name) ?? 0) + units);
  }

  calls(): { readonly count: number; readonly seconds: number } {
    return { count: this.#callsCount, seconds: this.#callsSeconds };
  }

  /** Mean time of the calls since `calls()` gave `before`. */
  meanMsSince(before: { readonly count: number; readonly seconds: number }): number {
    return (1_000 * (this.#callsSeconds - before.seconds)) / (this.#callsCount - before.count);
  }

  copy(): ReadonlyMap<string, number> {
    return new Map(this.#units);
  }
}

/** What came between two copies, divided by `by`. */
export function difference(
  after: ReadonlyMap<string, number>,
  before: ReadonlyMap<string, number>,
  by = 1,
): Map<string, number> {
  return new Map(
    [...after]
      .map(([name, units]) => [name, (units - (before.get(name) ?? 0)) / by] as const)
      .toSorted(([left], [right]) => (left < right ? -1 : 1)),
  );
}

export function total(units: ReadonlyMap<string, number>, access: Access): number {
  let sum = 0;
  for (const [name, count] of units) if (name.endsWith(access)) sum += count;
  return sum;
}

/** One node's view of a shared MemoryStore: a round trip of `latencyMs`, and a bill. */
export class CountedStore implements Store {
  readonly #inner: MemoryStore;
  readonly #clock: Clock;
  readonly #counts: UnitCounts;
  readonly #latencyMs: number;

  constructor(inner: MemoryStore, clock: Clock, counts: UnitCounts, latencyMs: number) {
    this.#inner = inner;
    this.#clock = clock;
    this.#counts = counts;
    this.#latencyMs = latencyMs;
  }

  async get(key: Key): Promise<Item | undefined> {
    await this.#travel();
    const item = await this.#inner.get(key);
    this.#counts.add("read", itemKindOf(key), readUnits(bytesOf(item)));
    return item;
  }

  async getMany(keys: readonly Key[], { isEventual } = { isEventual: false }): Promise<Item[]> {
    await this.#travel();
    const items = await this.#inner.getMany(keys);
    const found = items.reduce((sum, item) => sum + readUnits(bytesOf(item)), 0);
    const [first] = keys;
    if (first !== undefined) {
      const strong = found + keys.length - items.length;
      this.#counts.add("read", itemKindOf(first), isEventual ? strong / 2 : strong);
    }
    return items;
  }

  query: Store["query"] = async (pk, options) => {
    await this.#travel();
    // Like the DynamoDB store, which reads one item more to know whether there is a next page.
    const { items } = await this.#inner.query(pk, { ...options, limit: options.limit + 1 });
    const bytes = items.reduce((sum, item) => sum + bytesOf(item), 0);
    this.#counts.add("read", itemKindOf({ pk, sk: options.prefix ?? "" }), readUnits(bytes));
    return this.#inner.query(pk, options);
  };

  put: Store["put"] = (item, conditions) =>
    this.#write(item, () => this.#inner.put(item, conditions));
  update: Store["update"] = (key, change, conditions) =>
    this.#write(key, () => this.#inner.update(key, change, conditions));
  delete: Store["delete"] = (key, conditions) =>
    this.#write(key, () => this.#inner.delete(key, conditions));
  increment: Store["increment"] = (key, attribute, by) =>
    this.#write(key, () => this.#inner.increment(key, attribute, by));

  async close(): Promise<void> {}

  async #write<T extends WriteOutcome | number>(key: Key, write: () => Promise<T>): Promise<T> {
    await this.#travel();
    const before = bytesOf(await this.#inner.get(key));
    const outcome = await write();
    const after = bytesOf(await this.#inner.get(key));
    this.#counts.add("write", itemKindOf(key), writeUnits(Math.max(before, after)));
    return outcome;
  }

  #travel(): Promise<void> {
    return this.#clock.sleep(this.#latencyMs);
  }
}

function bytesOf(item: Item | undefined): number {
  return item === undefined ? 0 : itemBytes(item, item.attributes);
}
