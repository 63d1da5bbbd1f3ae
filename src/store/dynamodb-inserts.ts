/**
 * Inserts of many items in one request: PartiQL statements, because BatchWriteItem has no conditions.
 *
 * An INSERT fails for its own statement where an item with that key exists, which is exactly the
 * condition `absent`; a batch of them is no transaction, and each item has its own outcome. Engines
 * without the operation (the embedded one) and credentials without `dynamodb:PartiQLInsert` get one
 * conditional put an item instead, from the first such answer on and for good: slower, the same outcomes.
 */
import {
  BatchExecuteStatementCommand,
  type BatchExecuteStatementOutput,
  type BatchStatementRequest,
  type BatchStatementResponse,
} from "@aws-sdk/client-dynamodb";
import { CoxswainError } from "../kernel/errors.ts";
import type { DynamodbConnection } from "./dynamodb-client.ts";
import { encodeItem } from "./dynamodb-codec.ts";
import { classifyStatement, type StoreFailure } from "./dynamodb-errors.ts";
import { throwIfNoneTaken } from "./insert-outcomes.ts";
import { itemKindOf } from "./item-kind.ts";
import { itemBytes } from "./item.ts";
import type { InsertOutcome, Item, WriteOutcome } from "./store.ts";

/** Items of one request together, so that it travels well within its deadline; one item may be all. */
const requestBytesMax = 1024 * 1024;
/** Under way at once in place of a batch. */
const putsAtOnceMax = 4;
/** Why an engine or its rights leave no way but single puts. */
const reasonsForPuts: ReadonlySet<unknown> = new Set([
  "UnknownOperationException",
  "AccessDeniedException",
  "AccessDenied",
]);

/** The `insertMany` of one table; its arguments have been checked. */
export class DynamodbInserts {
  readonly #connection: DynamodbConnection;
  /** Writes an item IF there is none. */
  readonly #putNew: (item: Item) => Promise<WriteOutcome>;
  #hasStatements = true;

  constructor(connection: DynamodbConnection, putNew: (item: Item) => Promise<WriteOutcome>) {
    this.#connection = connection;
    this.#putNew = putNew;
  }

  async insert(items: readonly Item[]): Promise<InsertOutcome[]> {
    const outcomes: InsertOutcome[] = [];
    for (const batch of batchesOf(items)) {
      const insert = this.#hasStatements ? this.#insertBatch(batch) : this.#putEach(batch);
      outcomes.push(...(await insert));
    }
    throwIfNoneTaken(outcomes);
    return outcomes;
  }

  async #insertBatch(items: readonly Item[]): Promise<InsertOutcome[]> {
    const { target } = this.#connection;
    const command = new BatchExecuteStatementCommand({
      Statements: items.map((item) => insertOf(item, target.table)),
      ReturnConsumedCapacity: "TOTAL",
    });
    const outcomesOf = ({ Responses = [] }: BatchExecuteStatementOutput) =>
      items.map((_, index) => this.#outcomeOf(Responses[index]));
    const answer = await this.#connection.run(
      "insertMany",
      itemKindOf(items[0] ?? { pk: "", sk: "" }),
      (client, options) => client.send(command, options),
      (value) => worstOf(outcomesOf(value)),
    );
    const outcomes = answer.kind === "answer" ? outcomesOf(answer.value) : items.map(() => answer);
    const open = items.filter((_, index) => isForPuts(outcomes[index]));
    if (open.length === 0) return outcomes;
    this.#hasStatements = false;
    const puts = (await this.#putEach(open)).values();
    return outcomes.map((outcome) => (isForPuts(outcome) && puts.next().value) || outcome);
  }

  #outcomeOf(response: BatchStatementResponse | undefined): InsertOutcome {
    if (response === undefined) {
      return { kind: "unknown", cause: new Error("the answer leaves a statement out") };
    }
    const { Error: error } = response;
    return error === undefined
      ? { kind: "written" }
      : classifyStatement(error, this.#connection.target);
  }

  async #putEach(items: readonly Item[]): Promise<InsertOutcome[]> {
    const outcomes: InsertOutcome[] = [];
    for (let start = 0; start < items.length; start += putsAtOnceMax) {
      const group = items.slice(start, start + putsAtOnceMax);
      // After a failure the rest is not tried: a store in trouble gets no more work from here.
      const failure = outcomes.find(({ kind }) => kind === "notWritten");
      outcomes.push(
        ...(failure === undefined
          ? await Promise.all(group.map((item) => this.#put(item)))
          : group.map(() => failure)),
      );
    }
    return outcomes;
  }

  async #put(item: Item): Promise<InsertOutcome> {
    try {
      return await this.#putNew(item);
    } catch (error) {
      if (!(error instanceof CoxswainError)) throw error;
      return { kind: "notWritten", error };
    }
  }
}

function insertOf(item: Item, table: string): BatchStatementRequest {
  const wire = Object.entries(encodeItem(item));
  const members = wire.map(([name]) => `'${name}': ?`).join(", ");
  return {
    Statement: `INSERT INTO "${table}" VALUE {${members}}`,
    Parameters: wire.map(([, value]) => value),
  };
}

function* batchesOf(items: readonly Item[]): Generator<readonly Item[]> {
  let batch: Item[] = [];
  let bytes = 0;
  for (const item of items) {
    const added = itemBytes(item, item.attributes);
    if (batch.length > 0 && bytes + added > requestBytesMax) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(item);
    bytes += added;
  }
  if (batch.length > 0) yield batch;
}

/** Whether an outcome says that statements are of no use here. */
function isForPuts(outcome: InsertOutcome | undefined): boolean {
  return outcome?.kind === "notWritten" && reasonsForPuts.has(outcome.error.details["reason"]);
}

/** For the report: a failure before a refusal, which is an answer like any other. */
function worstOf(outcomes: readonly InsertOutcome[]): StoreFailure | undefined {
  const failures = outcomes.filter((outcome) => outcome.kind !== "written");
  return failures.find(({ kind }) => kind !== "refused") ?? failures[0];
}
