import { afterEach, describe, expect, test } from "vitest";
import type { StoreObserver } from "./dynamodb-client.ts";
import { keys, type Item } from "./store.ts";
import { answer, failure, open, serve, undoAll, type Handler } from "./test-server.ts";

afterEach(undoAll);

const itemsOf = (count: number, bytes = 1): Item[] =>
  Array.from({ length: count }, (_, index) => ({
    ...keys.host(1, `h${index}`),
    attributes: { revision: index, record: "x".repeat(bytes) },
  }));

const failed = (Code: string) => ({ Error: { Code, Message: `told: ${Code}` } });
const operationOf = (target: unknown) => String(target).split(".").at(-1) ?? "";

/** A server that answers batches with `batch` and puts with `put`; `asked` are the operations. */
async function serveBoth(batch: Handler, put: Handler = answer(200, {})) {
  const asked: string[] = [];
  const bodies: string[] = [];
  const endpoint = await serve((request, response, body) => {
    const operation = operationOf(request.headers["x-amz-target"]);
    asked.push(operation);
    bodies.push(body);
    (operation === "BatchExecuteStatement" ? batch : put)(request, response, body);
  });
  return { endpoint, asked, bodies };
}

test("a batch is one statement an item, with names in the text and all values as parameters", async () => {
  const { endpoint, bodies } = await serveBoth(answer(200, { Responses: [{}] }));
  await open(endpoint).insertMany(itemsOf(1));
  expect(JSON.parse(bodies[0] ?? "")).toEqual({
    ReturnConsumedCapacity: "TOTAL",
    Statements: [
      {
        Statement: `INSERT INTO "coxswain" VALUE {'revision': ?, 'record': ?, 'pk': ?, 'sk': ?}`,
        Parameters: [{ N: "0" }, { S: "x" }, { S: "part#1" }, { S: "host#h0" }],
      },
    ],
  });
});

describe("the error of a statement", () => {
  test.each([
    ["DuplicateItem", "refused", undefined],
    ["ConditionalCheckFailed", "refused", undefined],
    ["ProvisionedThroughputExceeded", "notWritten", "STORE_THROTTLED"],
    ["ThrottlingError", "notWritten", "STORE_THROTTLED"],
    ["RequestLimitExceeded", "notWritten", "STORE_THROTTLED"],
    ["TransactionConflict", "notWritten", "STORE_UNAVAILABLE"],
    ["ItemCollectionSizeLimitExceeded", "notWritten", "STORE_UNAVAILABLE"],
    ["ValidationError", "notWritten", "INTERNAL"],
    ["ResourceNotFound", "notWritten", "CLUSTER_NOT_INITIALISED"],
    ["InternalServerError", "unknown", undefined],
    ["SomethingOfTheFuture", "unknown", undefined],
    ["constructor", "unknown", undefined],
    [undefined, "unknown", undefined],
  ])("%s is %s of its item alone", async (code, kind, errorCode) => {
    const Responses = [{}, code === undefined ? { Error: {} } : failed(code), {}];
    const { endpoint, asked } = await serveBoth(answer(200, { Responses }));
    const outcomes = await open(endpoint).insertMany(itemsOf(3));
    expect(outcomes.map((outcome) => outcome.kind)).toEqual(["written", kind, "written"]);
    const [, second] = outcomes;
    const error = second?.kind === "notWritten" ? second.error.code : undefined;
    expect(error).toBe(errorCode);
    expect(asked).toEqual(["BatchExecuteStatement"]);
  });

  test("is thrown where all items have one that says they are not written", async () => {
    const Responses = [failed("ThrottlingError"), failed("ThrottlingError")];
    const { endpoint } = await serveBoth(answer(200, { Responses }));
    await expect(open(endpoint).insertMany(itemsOf(2))).rejects.toMatchObject({
      code: "STORE_THROTTLED",
      message: expect.stringContaining("told: ThrottlingError"),
    });
  });
});

describe("a whole batch", () => {
  test("that failed in the store may have been written, each item of it", async () => {
    const { endpoint } = await serveBoth(failure(500, "InternalServerError"));
    const outcomes = await open(endpoint).insertMany(itemsOf(2));
    expect(outcomes.map(({ kind }) => kind)).toEqual(["unknown", "unknown"]);
  });

  test("with fewer answers than statements leaves the rest unknown", async () => {
    const { endpoint } = await serveBoth(answer(200, { Responses: [{}] }));
    const outcomes = await open(endpoint).insertMany(itemsOf(2));
    expect(outcomes.map(({ kind }) => kind)).toEqual(["written", "unknown"]);
  });

  test.each([
    ["ThrottlingException", "STORE_THROTTLED"],
    ["UnrecognizedClientException", "STORE_DENIED"],
  ])(
    "that was refused with %s throws, and the next is tried as a batch again",
    async (name, code) => {
      const { endpoint, asked } = await serveBoth(failure(400, name));
      const store = open(endpoint);
      await expect(store.insertMany(itemsOf(2))).rejects.toMatchObject({ code });
      await expect(store.insertMany(itemsOf(2))).rejects.toMatchObject({ code });
      expect(asked).toEqual(["BatchExecuteStatement", "BatchExecuteStatement"]);
    },
  );

  test("of 2.2 MB goes in three requests, one of which may fail", async () => {
    let requestCount = 0;
    const { endpoint } = await serveBoth((request, response, body) => {
      const { Statements } = JSON.parse(body) as { Statements: unknown[] };
      const isSecond = ++requestCount === 2;
      const handler = isSecond
        ? failure(400, "ThrottlingException")
        : answer(200, { Responses: Statements.map(() => ({})) });
      handler(request, response, body);
    });
    const outcomes = await open(endpoint).insertMany(itemsOf(6, 380 * 1024));
    expect(requestCount).toBe(3);
    expect(outcomes.map(({ kind }) => kind)).toEqual([
      "written",
      "written",
      "notWritten",
      "notWritten",
      "written",
      "written",
    ]);
  });
});

describe("without the operation, or without the right to it", () => {
  const refused = failure(400, "ConditionalCheckFailedException");

  test.each([
    ["UnknownOperationException", failure(400, "UnknownOperationException")],
    ["AccessDeniedException", failure(400, "AccessDeniedException")],
    [
      "AccessDenied of all",
      answer(200, { Responses: [1, 2, 3].map(() => failed("AccessDenied")) }),
    ],
  ])("(%s) each item is put under its condition, from then on at once", async (_, batch) => {
    const { endpoint, asked, bodies } = await serveBoth(batch, (request, response, body) =>
      (body.includes("host#h0") ? refused : answer(200, {}))(request, response, body),
    );
    const store = open(endpoint);
    for (const expectedFirst of ["BatchExecuteStatement", "PutItem"]) {
      asked.length = 0;
      const outcomes = await store.insertMany(itemsOf(3));
      expect(outcomes.map(({ kind }) => kind)).toEqual(["refused", "written", "written"]);
      expect(asked[0]).toBe(expectedFirst);
      expect(asked.filter((operation) => operation === "PutItem")).toHaveLength(3);
    }
    const put = JSON.parse(bodies.at(-1) ?? "") as { ConditionExpression: string };
    expect(put.ConditionExpression).toBe("attribute_not_exists(#n0)");
  });

  test("(AccessDenied of one) that one is put, and the others keep their outcome", async () => {
    const Responses = [{}, failed("AccessDenied"), failed("DuplicateItem")];
    const { endpoint, asked } = await serveBoth(answer(200, { Responses }));
    const outcomes = await open(endpoint).insertMany(itemsOf(3));
    expect(outcomes.map(({ kind }) => kind)).toEqual(["written", "written", "refused"]);
    expect(asked).toEqual(["BatchExecuteStatement", "PutItem"]);
  });

  test("at most 4 puts are under way, and after a failure no more are made", async () => {
    let underWay = 0;
    let most = 0;
    const { endpoint, asked } = await serveBoth(
      failure(400, "UnknownOperationException"),
      (request, response, body) => {
        most = Math.max(most, ++underWay);
        setImmediate(() => {
          underWay--;
          const isDown = body.includes("host#h5");
          (isDown ? failure(400, "ThrottlingException") : answer(200, {}))(request, response, body);
        });
      },
    );
    const outcomes = await open(endpoint).insertMany(itemsOf(12));
    expect(outcomes.map(({ kind }) => kind)).toEqual([
      ...Array(5).fill("written"),
      "notWritten",
      "written",
      "written",
      ...Array(4).fill("notWritten"),
    ]);
    expect(asked.filter((operation) => operation === "PutItem")).toHaveLength(8);
    expect(most).toBe(4);
  });

  test("throws what the puts throw where none is written", async () => {
    const denied = failure(400, "AccessDeniedException");
    const { endpoint } = await serveBoth(denied, denied);
    await expect(open(endpoint).insertMany(itemsOf(2))).rejects.toMatchObject({
      code: "STORE_DENIED",
    });
  });
});

test("a batch is reported with its capacity, and with the worst that became of a statement", async () => {
  const reports: unknown[] = [];
  const onCall: StoreObserver = (call, outcome, _seconds, capacityUnits, kind) => {
    reports.push([call, outcome, capacityUnits, kind]);
  };
  const ConsumedCapacity = [
    { TableName: "coxswain", CapacityUnits: 2 },
    { TableName: "coxswain", CapacityUnits: 1 },
  ];
  for (const Responses of [
    [{}, {}],
    [failed("DuplicateItem"), {}],
    [failed("DuplicateItem"), failed("ThrottlingError")],
    [{}],
  ]) {
    const { endpoint } = await serveBoth(answer(200, { Responses, ConsumedCapacity }));
    await open(endpoint, { onCall }).insertMany(itemsOf(2));
  }
  expect(reports).toEqual([
    ["insertMany", "ok", 3, "host"],
    ["insertMany", "refused", 3, "host"],
    ["insertMany", "STORE_THROTTLED", 3, "host"],
    ["insertMany", "unknown", 3, "host"],
  ]);
});
