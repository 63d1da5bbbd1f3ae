import { afterAll, describe, expect, test } from "vitest";
import { createTable } from "../src/store/create-table.ts";
import { openStore, withDefaults } from "../src/store/open-store.ts";
import { describeStoreContract } from "../src/store/store-contract.ts";
import { startDynamodbLocal } from "./dynamodb-local.ts";

const local = await startDynamodbLocal();
if ("unavailable" in local) {
  console.log(
    `DynamoDB Local cannot run here, ${local.unavailable}: its store contract was NOT tested.`,
  );
}

const optionsFor = (table: string) =>
  withDefaults(
    {
      kind: "dynamodb",
      table,
      endpoint: "endpoint" in local ? local.endpoint : "",
      requestTimeoutMs: 20_000,
    } as const,
    {},
  );

describe.skipIf("unavailable" in local)("DynamoDB Local", () => {
  let tableCount = 0;

  afterAll(async () => {
    if ("stop" in local) await local.stop();
  });

  describeStoreContract("DynamodbStore on DynamoDB Local", async () => {
    const options = optionsFor(`table-${++tableCount}`);
    await createTable(options);
    const store = openStore(options);
    return { store, close: () => store.close() };
  });

  test("a table is made once, also by several callers at once", async () => {
    const options = optionsFor("made-at-once");
    const answers = await Promise.all(Array.from({ length: 5 }, () => createTable(options)));
    expect(answers.filter(({ isNew }) => isNew)).toHaveLength(1);
    expect(await createTable(options)).toEqual({ isNew: false });
  });

  test("a table that was never made is CLUSTER_NOT_INITIALISED, on reads and on writes", async () => {
    const store = openStore(optionsFor("never-made"));
    const key = { pk: "a", sk: "b" };
    const expected = { code: "CLUSTER_NOT_INITIALISED" };
    await expect(store.get(key)).rejects.toMatchObject(expected);
    await expect(store.put({ ...key, attributes: {} })).rejects.toMatchObject(expected);
    await store.close();
  });
});
