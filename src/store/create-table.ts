/**
 * Creates the one table Coxswain uses, or accepts the one that is there.
 *
 * Idempotent: any number of callers may run it at once. A table with other keys belongs to something
 * else and is never touched.
 */
import { CreateTableCommand, DescribeTableCommand } from "@aws-sdk/client-dynamodb";
import type { TableDescription } from "@aws-sdk/client-dynamodb";
import { systemClock } from "../kernel/clock.ts";
import { CoxswainError, isCoxswainError } from "../kernel/errors.ts";
import { DynamodbConnection, type DynamodbOptions } from "./dynamodb-client.ts";

const keyText = "pk HASH S, sk RANGE S";
/** First pause between two looks at a new table; it doubles up to the longest. */
const pollMsMin = 5;
const pollMsMax = 1_000;
/** AWS takes 5 to 20 s for a new table. */
const activeTimeoutMs = 120_000;

/**
 * Makes sure that the table exists, has Coxswain's keys and is active. `isNew` where this call made it.
 * Throws CLUSTER_MISMATCH for other keys, STORE_UNAVAILABLE when it is not active in time.
 */
export async function createTable(options: DynamodbOptions): Promise<{ isNew: boolean }> {
  const connection = new DynamodbConnection(options);
  try {
    const found = await describe(connection);
    const isNew = found === undefined && (await create(connection));
    await untilActive(connection, options, found);
    return { isNew };
  } finally {
    connection.close();
  }
}

async function untilActive(
  connection: DynamodbConnection,
  { clock = systemClock }: DynamodbOptions,
  found: TableDescription | undefined,
): Promise<void> {
  const endMs = clock.monotonicMs() + activeTimeoutMs;
  let table = found;
  for (let pollMs = pollMsMin; ; pollMs = Math.min(2 * pollMs, pollMsMax)) {
    if (table !== undefined) checkTable(connection, table);
    const status = table?.TableStatus;
    if (status === "ACTIVE" || status === "UPDATING") return;
    if (clock.monotonicMs() >= endMs) {
      throw new CoxswainError(
        "STORE_UNAVAILABLE",
        `Expected table \`${connection.target.table}\` to be ACTIVE within ${activeTimeoutMs} ms, got ${status ?? "no table"}`,
      );
    }
    await clock.sleep(pollMs);
    table = await describe(connection);
  }
}

async function describe(connection: DynamodbConnection): Promise<TableDescription | undefined> {
  const command = new DescribeTableCommand({ TableName: connection.target.table });
  try {
    const { Table: table } = await connection.read("describeTable", "table", (client, options) =>
      client.send(command, options),
    );
    return table;
  } catch (error) {
    if (isCoxswainError(error, "CLUSTER_NOT_INITIALISED")) return undefined;
    throw error;
  }
}

/** False where another caller made the table first or the answer got lost: describing it tells. */
async function create(connection: DynamodbConnection): Promise<boolean> {
  const command = new CreateTableCommand({
    TableName: connection.target.table,
    BillingMode: "PAY_PER_REQUEST",
    AttributeDefinitions: [
      { AttributeName: "pk", AttributeType: "S" },
      { AttributeName: "sk", AttributeType: "S" },
    ],
    KeySchema: [
      { AttributeName: "pk", KeyType: "HASH" },
      { AttributeName: "sk", KeyType: "RANGE" },
    ],
  });
  const answer = await connection.run("createTable", "table", (client, options) =>
    client.send(command, options),
  );
  if (answer.kind === "answer") return true;
  if (answer.kind === "notWritten" && answer.error.details.reason !== "ResourceInUseException") {
    throw answer.error;
  }
  return false;
}

function checkTable(connection: DynamodbConnection, table: TableDescription): void {
  const types = new Map(
    table.AttributeDefinitions?.map(({ AttributeName, AttributeType }) => [
      AttributeName,
      AttributeType,
    ]),
  );
  const found = (table.KeySchema ?? [])
    .map(({ AttributeName, KeyType }) => `${AttributeName} ${KeyType} ${types.get(AttributeName)}`)
    .join(", ");
  if (found === keyText) return;
  const { table: name, endpoint } = connection.target;
  throw new CoxswainError(
    "CLUSTER_MISMATCH",
    `Expected table \`${name}\` at ${endpoint} to have keys (${keyText}), got (${found})`,
    { details: { expected: keyText, found } },
  );
}
