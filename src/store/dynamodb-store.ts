/**
 * The store on DynamoDB: AWS, DynamoDB Local and the embedded engine through the same SDK code.
 *
 * Each operation is one request, except for a query longer than 1 MB, a batch of which the store
 * left keys unprocessed, and inserts (dynamodb-inserts.ts); all go on within a fixed number of requests.
 */
import {
  BatchGetItemCommand,
  DeleteItemCommand,
  GetItemCommand,
  PutItemCommand,
  QueryCommand,
  UpdateItemCommand,
} from "@aws-sdk/client-dynamodb";
import { systemClock, type Clock } from "../kernel/clock.ts";
import { CoxswainError } from "../kernel/errors.ts";
import { systemRandom, type Random } from "../kernel/random.ts";
import { DynamodbConnection, type Answer, type DynamodbOptions } from "./dynamodb-client.ts";
import {
  decodeItem,
  encodeExpressions,
  encodeItem,
  encodeKey,
  type WireItem,
} from "./dynamodb-codec.ts";
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
  itemTooLarge,
} from "./item.ts";
import { itemKindOf, type ItemKind } from "./item-kind.ts";
import type { Attributes, Condition, Item, Key, Page, Store, WriteOutcome } from "./store.ts";

/** Requests in a row that read nothing; each other one reads a key at least, so 100 keys bound it. */
const stuckRequestsMax = 6;
/** Longest wait after the first of those; it doubles with each. */
const stuckWaitMs = 25;

/** The Store on one DynamoDB table. Opens no connection before the first call. */
export class DynamodbStore implements Store {
  readonly #connection: DynamodbConnection;
  readonly #table: string;
  readonly #clock: Clock;
  readonly #random: Random;

  constructor(options: DynamodbOptions & { readonly random?: Random }) {
    this.#connection = new DynamodbConnection(options);
    this.#table = options.table;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? systemRandom();
  }

  async get(key: Key): Promise<Item | undefined> {
    checkKey(key);
    const input = {
      TableName: this.#table,
      Key: encodeKey(key),
      ConsistentRead: true,
      ReturnConsumedCapacity: "TOTAL",
    } as const;
    const { Item: wire } = await this.#connection.read("get", itemKindOf(key), (client, options) =>
      client.send(new GetItemCommand(input), options),
    );
    return wire === undefined ? undefined : decodeItem(wire);
  }

  async getMany(keys: readonly Key[], { isEventual } = { isEventual: false }): Promise<Item[]> {
    checkKeys(keys);
    const items: Item[] = [];
    let pending = keys.map((key) => encodeKey(key));
    // Callers ask for one kind of item at a time.
    const kind = keys[0] === undefined ? "other" : itemKindOf(keys[0]);
    let stuckRequests = 0;
    while (pending.length > 0) {
      const answer = await this.#getBatch(pending, kind, isEventual);
      for (const wire of answer.found) items.push(decodeItem(wire));
      stuckRequests = answer.unprocessed.length < pending.length ? 0 : stuckRequests + 1;
      pending = answer.unprocessed;
      if (stuckRequests === stuckRequestsMax) throw this.#stuckError(pending.length, keys.length);
      if (stuckRequests > 0) {
        await this.#clock.sleep(stuckWaitMs * 2 ** (stuckRequests - 1) * this.#random.next());
      }
    }
    return items;
  }

  async query(
    pk: string,
    options: { readonly prefix?: string; readonly after?: string; readonly limit: number },
  ): Promise<Page> {
    checkQuery(pk, options);
    const { prefix = "", limit } = options;
    // DynamoDB refuses a start key outside the prefix: below it means all of it, above it none.
    const after = compareBytes(options.after ?? "", prefix) < 0 ? "" : (options.after ?? "");
    if (!after.startsWith(prefix) && after !== "") return { items: [], next: undefined };
    const items: Item[] = [];
    let start = after === "" ? undefined : encodeKey({ pk, sk: after });
    // One item more than asked for tells whether there is a next page. A page of 1 MB without an
    // item does not exist, so each turn adds one at least.
    do {
      const page = await this.#queryPage(pk, prefix, limit + 1 - items.length, start);
      for (const wire of page.Items ?? []) items.push(decodeItem(wire));
      start = page.LastEvaluatedKey;
      if (page.Items?.length === 0) break;
    } while (start !== undefined && items.length <= limit);
    const hasMore = items.length > limit;
    if (hasMore) items.length = limit;
    return { items, next: hasMore ? items.at(-1)?.sk : undefined };
  }

  async put(item: Item, conditions: readonly Condition[] = []): Promise<WriteOutcome> {
    checkKey(item);
    checkAttributes(item.attributes);
    checkConditions(conditions);
    checkSize(item, item.attributes);
    const command = new PutItemCommand({
      TableName: this.#table,
      Item: encodeItem(item),
      ReturnConsumedCapacity: "TOTAL",
      ...encodeExpressions(conditions),
    });
    return outcomeOf(
      await this.#connection.run("put", itemKindOf(item), (client, options) =>
        client.send(command, options),
      ),
      item,
    );
  }

  async update(
    key: Key,
    change: { readonly set: Attributes; readonly remove?: readonly string[] },
    conditions: readonly Condition[] = [],
  ): Promise<WriteOutcome> {
    checkKey(key);
    checkChange(change.set, change.remove ?? []);
    checkConditions(conditions);
    const command = new UpdateItemCommand({
      TableName: this.#table,
      Key: encodeKey(key),
      ReturnConsumedCapacity: "TOTAL",
      ...encodeExpressions(conditions, change),
    });
    return outcomeOf(
      await this.#connection.run("update", itemKindOf(key), (client, options) =>
        client.send(command, options),
      ),
      key,
    );
  }

  async delete(key: Key, conditions: readonly Condition[] = []): Promise<WriteOutcome> {
    checkKey(key);
    checkConditions(conditions);
    const command = new DeleteItemCommand({
      TableName: this.#table,
      Key: encodeKey(key),
      ReturnConsumedCapacity: "TOTAL",
      ...encodeExpressions(conditions),
    });
    return outcomeOf(
      await this.#connection.run("delete", itemKindOf(key), (client, options) =>
        client.send(command, options),
      ),
      key,
    );
  }

  async increment(key: Key, attribute: string, by: number): Promise<number> {
    checkKey(key);
    checkIncrement(attribute, by);
    const command = new UpdateItemCommand({
      TableName: this.#table,
      Key: encodeKey(key),
      ReturnValues: "UPDATED_NEW",
      ReturnConsumedCapacity: "TOTAL",
      ...encodeExpressions([], { add: { [attribute]: by } }),
    });
    const answer = await this.#connection.run("increment", itemKindOf(key), (client, options) =>
      client.send(command, options),
    );
    if (answer.kind === "answer") return Number(answer.value.Attributes?.[attribute]?.N);
    if (answer.kind === "notWritten") throw errorOfIncrement(answer.error, key, attribute);
    throw new CoxswainError("STORE_UNKNOWN_OUTCOME", "No answer to an increment", {
      details: { key, attribute },
      cause: answer.kind === "unknown" ? answer.cause : undefined,
    });
  }

  async close(): Promise<void> {
    this.#connection.close();
  }

  async #getBatch(
    keys: WireItem[],
    kind: ItemKind,
    isEventual: boolean,
  ): Promise<{ found: WireItem[]; unprocessed: WireItem[] }> {
    const command = new BatchGetItemCommand({
      RequestItems: { [this.#table]: { Keys: keys, ConsistentRead: !isEventual } },
      ReturnConsumedCapacity: "TOTAL",
    });
    const answer = await this.#connection.read("getMany", kind, (client, options) =>
      client.send(command, options),
    );
    return {
      found: answer.Responses?.[this.#table] ?? [],
      unprocessed: answer.UnprocessedKeys?.[this.#table]?.Keys ?? [],
    };
  }

  async #queryPage(pk: string, prefix: string, limit: number, start: WireItem | undefined) {
    const command = new QueryCommand({
      TableName: this.#table,
      ConsistentRead: true,
      Limit: limit,
      KeyConditionExpression: prefix === "" ? "pk = :pk" : "pk = :pk AND begins_with(sk, :prefix)",
      ExpressionAttributeValues: {
        ":pk": { S: pk },
        ...(prefix !== "" && { ":prefix": { S: prefix } }),
      },
      ReturnConsumedCapacity: "TOTAL",
      ...(start !== undefined && { ExclusiveStartKey: start }),
    });
    const kind = itemKindOf({ pk, sk: prefix });
    return this.#connection.read("query", kind, (client, options) => client.send(command, options));
  }

  #stuckError(unreadCount: number, keyCount: number): CoxswainError {
    return new CoxswainError(
      "STORE_THROTTLED",
      `Table \`${this.#table}\` left ${unreadCount} of ${keyCount} keys unread in ${stuckRequestsMax} requests`,
    );
  }
}

function outcomeOf(answer: Answer<unknown>, key: Key): WriteOutcome {
  if (answer.kind === "answer") return { kind: "written" };
  if (answer.kind !== "notWritten") return answer;
  // An update's final size is known to the store alone.
  const { error } = answer;
  if (error.message.includes("Item size")) throw itemTooLarge(key, "got more", error);
  throw error;
}

function errorOfIncrement(error: CoxswainError, key: Key, attribute: string): CoxswainError {
  // The only part of an increment that the store can find invalid is the stored value.
  if (error.code !== "INTERNAL") return error;
  return new CoxswainError(
    "STORE_CORRUPT",
    `Expected ${attribute} of ${key.pk}/${key.sk} to be a number`,
    { details: { key, attribute }, cause: error },
  );
}
