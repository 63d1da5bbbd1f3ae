import { CreateTableCommand, DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createTable } from "./create-table.ts";
import { startEmbeddedStore, type EmbeddedStore } from "./embedded-store.ts";
import { openStore, withDefaults } from "./open-store.ts";

let embedded: EmbeddedStore;

beforeAll(async () => {
  embedded = await startEmbeddedStore();
});

afterAll(() => embedded.stop());

const optionsFor = (table: string) =>
  withDefaults(
    { kind: "dynamodb", table, endpoint: embedded.endpoint, requestTimeoutMs: 5_000 } as const,
    {},
  );

test("a table is made once, and taken as it is from then on", async () => {
  const options = optionsFor("made-once");
  expect(await createTable(options)).toEqual({ isNew: true });
  const store = openStore(options);
  await store.put({ pk: "a", sk: "b", attributes: { value: 1 } });
  expect(await createTable(options)).toEqual({ isNew: false });
  expect(await store.get({ pk: "a", sk: "b" })).toBeDefined();
  await store.close();
});

test("of several callers at once one makes the table and all find it ready", async () => {
  const options = optionsFor("made-at-once");
  const answers = await Promise.all(Array.from({ length: 5 }, () => createTable(options)));
  expect(answers.filter(({ isNew }) => isNew)).toHaveLength(1);
});

test.each([
  ["other names", "id", "S", "range", "S", "id HASH S, range RANGE S"],
  ["other types", "pk", "S", "sk", "N", "pk HASH S, sk RANGE N"],
] as const)("a table with %s of keys is a mismatch that shows both", async (...row) => {
  const [what, hash, hashType, range, rangeType, found] = row;
  const options = optionsFor(what.replace(" ", "-"));
  const client = new DynamoDBClient({
    endpoint: embedded.endpoint,
    region: "us-east-1",
    credentials: { accessKeyId: "local", secretAccessKey: "local" },
  });
  await client.send(
    new CreateTableCommand({
      TableName: options.table,
      BillingMode: "PAY_PER_REQUEST",
      AttributeDefinitions: [
        { AttributeName: hash, AttributeType: hashType },
        { AttributeName: range, AttributeType: rangeType },
      ],
      KeySchema: [
        { AttributeName: hash, KeyType: "HASH" },
        { AttributeName: range, KeyType: "RANGE" },
      ],
    }),
  );
  client.destroy();
  await expect(createTable(options)).rejects.toMatchObject({
    code: "CLUSTER_MISMATCH",
    message: `Expected table \`${options.table}\` at ${embedded.endpoint} to have keys (pk HASH S, sk RANGE S), got (${found})`,
  });
});

test("a store that is not there is STORE_UNAVAILABLE", async () => {
  const gone = await startEmbeddedStore();
  await gone.stop();
  const options = { ...optionsFor("nowhere"), endpoint: gone.endpoint };
  await expect(createTable(options)).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
});

test("reading a table that was never made says so", async () => {
  const store = openStore(optionsFor("never-made"));
  await expect(store.get({ pk: "a", sk: "b" })).rejects.toMatchObject({
    code: "CLUSTER_NOT_INITIALISED",
    message: `Expected table \`never-made\` to exist at ${embedded.endpoint}, found none`,
  });
  await store.close();
});
