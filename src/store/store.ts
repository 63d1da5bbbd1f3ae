/**
 * The store port: what Coxswain asks of DynamoDB, and nothing more.
 *
 * One table keyed by (pk, sk), strong reads, conditional writes of single items. No transactions
 * (twice the price, and the embedded engine has none), no streams, no clocks. Every adapter passes
 * the contract suite in store-contract.ts.
 *
 * A write has three outcomes. `unknown` means that no answer came: it may have landed, now or later.
 * Callers write so that a repeat is harmless (absolute values, conditions on identity) or read again.
 */

export interface Key {
  readonly pk: string;
  readonly sk: string;
}

/** Attribute values: text, safe integers or finite numbers, bytes. Structures travel as JSON text. */
export type Attribute = string | number | Uint8Array;
export type Attributes = Readonly<Record<string, Attribute>>;

export interface Item extends Key {
  readonly attributes: Attributes;
}

/** All conditions of a write must hold for the item as it is now, or nothing is written. */
export type Condition =
  /** There is no such item. */
  | { readonly kind: "absent" }
  /** The item exists and its attribute has exactly this value. */
  | { readonly kind: "equal"; readonly attribute: string; readonly value: string | number }
  /** The item exists or not, but has no such attribute. */
  | { readonly kind: "without"; readonly attribute: string }
  /** The attribute is missing, or a number below `value`. */
  | { readonly kind: "below"; readonly attribute: string; readonly value: number }
  /** The attribute is missing, or a number not above `value`. */
  | { readonly kind: "atMost"; readonly attribute: string; readonly value: number };

export type WriteOutcome =
  | { readonly kind: "written" }
  /** A condition did not hold; nothing changed. */
  | { readonly kind: "refused" }
  /** No answer: the write may have landed. */
  | { readonly kind: "unknown"; readonly cause: Error };

export interface Page {
  /** Ascending by the bytes of `sk`. */
  readonly items: readonly Item[];
  /** Pass as `after` to go on; undefined at the end. */
  readonly next: string | undefined;
}

/** The operations, for metrics and fault hooks. */
export type StoreCall = "get" | "getMany" | "query" | "put" | "update" | "delete" | "increment";

/**
 * Reads throw CoxswainError (STORE_UNAVAILABLE, STORE_THROTTLED, STORE_DENIED); an empty answer is
 * only ever the store's own. Writes throw the same where the store is known not to have written,
 * and REQUEST_TOO_LARGE for an item above 400 KB. Malformed calls (empty keys, numbers that are not
 * finite, attributes named pk or sk) fail an assertion: item.ts has the rules.
 */
export interface Store {
  /** One item, strongly consistent. */
  get(key: Key): Promise<Item | undefined>;
  /**
   * Up to 100 different keys, in no particular order; absent ones are left out. Strongly consistent
   * unless `isEventual`: that costs half and may answer with what was true a moment ago, so that no
   * decision may follow from it but to look again.
   */
  getMany(keys: readonly Key[], options?: { readonly isEventual: boolean }): Promise<Item[]>;
  /** Items of one pk whose sk starts with `prefix`, strongly consistent, `limit` at most. */
  query(
    pk: string,
    options: { readonly prefix?: string; readonly after?: string; readonly limit: number },
  ): Promise<Page>;
  /** Replaces the whole item. */
  put(item: Item, conditions?: readonly Condition[]): Promise<WriteOutcome>;
  /** Sets the named attributes (one at least), removes others, creates the item where there is none. */
  update(
    key: Key,
    change: { readonly set: Attributes; readonly remove?: readonly string[] },
    conditions?: readonly Condition[],
  ): Promise<WriteOutcome>;
  /** Deleting what is not there is `written` unless a condition says otherwise. */
  delete(key: Key, conditions?: readonly Condition[]): Promise<WriteOutcome>;
  /**
   * Adds `by` to a number attribute (0 where missing) and returns the new value. Throws
   * STORE_UNKNOWN_OUTCOME where no answer came: numbers may be skipped, never given twice.
   * Throws STORE_CORRUPT where the attribute is no number.
   */
  increment(key: Key, attribute: string, by: number): Promise<number>;
  /** Releases sockets. Idempotent. */
  close(): Promise<void>;
}

/** Ids of the table's items (DESIGN: Store); the only place that knows them. */
export const keys = {
  meta: { pk: "cluster", sk: "meta" },
  view: { pk: "cluster", sk: "view" },
  fleet: { pk: "cluster", sk: "fleet" },
  member: (slot: string): Key => ({ pk: "member", sk: slot }),
  head: (partition: number): Key => ({ pk: `part#${partition}`, sk: "head" }),
  host: (partition: number, id: string): Key => ({ pk: `part#${partition}`, sk: `host#${id}` }),
  /** Hosts that share an item. */
  pack: (partition: number, index: number): Key => ({
    pk: `part#${partition}`,
    sk: `hosts#${index}`,
  }),
  status: (partition: number, chunk: number): Key => ({
    pk: `part#${partition}`,
    sk: `status#${chunk}`,
  }),
  config: (name: string): Key => ({ pk: "config", sk: name }),
  release: (name: string, digest: string): Key => ({
    pk: `config#${name}`,
    sk: `release#${digest}`,
  }),
  content: (digest: string, chunk: number): Key => ({
    pk: `content#${digest}`,
    sk: String(chunk).padStart(4, "0"),
  }),
  rollout: (id: string): Key => ({ pk: "rollout", sk: id }),
  audit: (month: string, id: string): Key => ({ pk: `audit#${month}`, sk: id }),
} as const;
