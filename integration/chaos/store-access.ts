/** What the suite does to the store itself, past Coxswain: as an operator's accident would. */
import { DeleteTableCommand, DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { createTable } from "../../src/store/create-table.ts";
import { storeAccess } from "./boxes.ts";

const requestTimeoutMs = 5_000;

/** Every item is gone; the table is there, as after a wrong script or a restore of nothing. */
export async function emptyTable(): Promise<void> {
  const { table, endpoint, region, credentials } = storeAccess;
  const client = new DynamoDBClient({ endpoint, region, credentials });
  try {
    await client.send(new DeleteTableCommand({ TableName: table }));
  } finally {
    client.destroy();
  }
  await createTable({ table, endpoint, region, credentials, requestTimeoutMs });
}
