import { createServer, type IncomingMessage } from "node:http";
import { afterEach, describe, expect, test } from "vitest";
import { ManualClock } from "../kernel/manual-clock.ts";
import { keys } from "./store.ts";
import { answer, failure, listen, open, serve, undoAll } from "./test-server.ts";

const key = { pk: "test", sk: "item" };
const item = { ...key, attributes: { value: 1 } };

afterEach(undoAll);

const keysOf = (body: string) =>
  (JSON.parse(body) as { RequestItems: { coxswain: { Keys: unknown[] } } }).RequestItems.coxswain
    .Keys;

describe("getMany", () => {
  const three = ["a", "b", "c"].map((sk) => ({ pk: "test", sk }));

  test("asks again for unprocessed keys, one at least of which is read each time", async () => {
    const asked: number[] = [];
    const endpoint = await serve((request, response, body) => {
      const [first, ...rest] = keysOf(body);
      asked.push(rest.length + 1);
      answer(200, {
        Responses: { coxswain: [first] },
        UnprocessedKeys: rest.length === 0 ? {} : { coxswain: { Keys: rest } },
      })(request, response, body);
    });
    const found = await open(endpoint).getMany(three);
    expect(found.map(({ sk }) => sk)).toEqual(["a", "b", "c"]);
    expect(asked).toEqual([3, 2, 1]);
  });

  test("gives up with STORE_THROTTLED after six requests in a row that read nothing", async () => {
    let requestCount = 0;
    const endpoint = await serve((request, response, body) => {
      requestCount++;
      answer(200, { Responses: {}, UnprocessedKeys: { coxswain: { Keys: keysOf(body) } } })(
        request,
        response,
        body,
      );
    });
    await expect(open(endpoint).getMany(three)).rejects.toMatchObject({
      code: "STORE_THROTTLED",
      message: "Table `coxswain` left 3 of 3 keys unread in 6 requests",
    });
    expect(requestCount).toBe(6);
  });

  test("of no keys makes no request", async () => {
    const endpoint = await serve(failure(500, "InternalServerError"));
    expect(await open(endpoint).getMany([])).toEqual([]);
  });
});

describe("a read whose connection ends before the answer", () => {
  test("goes once more, and a write does not", async () => {
    let requestCount = 0;
    const endpoint = await serve((...exchange) => {
      if (++requestCount % 2 === 1) exchange[0].socket.resetAndDestroy();
      else answer(200, {})(...exchange);
    });
    const store = open(endpoint);
    expect(await store.get(key)).toBeUndefined();
    expect(await store.getMany([key])).toEqual([]);
    expect(await store.query("test", { limit: 1 })).toMatchObject({ items: [] });
    expect(requestCount).toBe(6);
    expect(await store.put(item)).toMatchObject({ kind: "unknown" });
    expect(requestCount).toBe(7);
  });

  test("has the time of one call for both", async () => {
    const clock = new ManualClock();
    let received = Promise.withResolvers<IncomingMessage>();
    const endpoint = await serve((request) => received.resolve(request));
    const read = open(endpoint, { clock, requestTimeoutMs: 7_000 }).get(key);
    const ended = read.catch((error: unknown) => error);
    const first = await received.promise;
    received = Promise.withResolvers();
    await clock.advance(6_000);
    first.socket.resetAndDestroy();
    await received.promise;
    await clock.advance(1_000);
    expect(await ended).toMatchObject({ code: "STORE_UNAVAILABLE" });
    expect(clock.timerCount).toBe(0);
  });
});

test("an item of a shape this program does not write is STORE_CORRUPT", async () => {
  const wire = { pk: { S: "test" }, sk: { S: "item" }, list: { L: [] } };
  const store = open(await serve(answer(200, { Item: wire })));
  await expect(store.get(key)).rejects.toMatchObject({
    code: "STORE_CORRUPT",
    message: "Expected list of test/item to be text, a number or bytes, got L",
  });
});

test("every request is reported with its outcome, time, capacity and kind, and made once", async () => {
  const reports: [string, string, number, string][] = [];
  const seconds: number[] = [];
  const endpoint = await serve((request, response, body) => {
    const target = String(request.headers["x-amz-target"]);
    if (target.endsWith("PutItem")) failure(500, "InternalServerError")(request, response, body);
    else if (target.endsWith("DeleteItem")) {
      failure(400, "ConditionalCheckFailedException")(request, response, body);
    } else if (target.endsWith("BatchGetItem")) {
      const ConsumedCapacity = [{ CapacityUnits: 2 }];
      answer(200, { Responses: {}, ConsumedCapacity })(request, response, body);
    } else answer(200, { ConsumedCapacity: { CapacityUnits: 1.5 } })(request, response, body);
  });
  const store = open(endpoint, {
    onCall: (call, outcome, took, capacityUnits, kind) => {
      reports.push([call, outcome, capacityUnits, kind]);
      seconds.push(took);
    },
  });
  await store.get(keys.view);
  await store.getMany([keys.head(1)]);
  await store.query(keys.head(1).pk, { prefix: "host#", limit: 1 });
  await store.put(item);
  await store.delete(keys.member("a"));
  await store.close();
  await expect(store.get(key)).rejects.toThrow("The store has been closed");
  expect(reports).toEqual([
    ["get", "ok", 1.5, "view"],
    ["getMany", "ok", 2, "head"],
    ["query", "ok", 1.5, "host"],
    ["put", "unknown", 0, "other"],
    ["delete", "refused", 1, "member"],
    ["get", "STORE_UNAVAILABLE", 0, "other"],
  ]);
  expect(seconds.every((took) => took >= 0 && took < 5)).toBe(true);
});

test("at most `socketsMax` connections are open, and calls beyond wait for one", async () => {
  const waiting: (() => void)[] = [];
  let connectionCount = 0;
  const server = createServer((request, response) => {
    request.resume();
    request.on("end", () => waiting.push(() => answer(200, {})(request, response, "")));
  });
  server.on("connection", () => connectionCount++);
  const store = open(await listen(server), { socketsMax: 2 });
  const reads = Array.from({ length: 6 }, () => store.get(key));
  for (let count = 0; count < 6; count++) {
    await expect.poll(() => waiting.length).toBeGreaterThan(0);
    waiting.shift()?.();
  }
  expect(await Promise.all(reads)).toHaveLength(6);
  expect(connectionCount).toBe(2);
});

test.each([
  [{ table: "a" }, "Expected `table` to be 3 to 255"],
  [{ table: "a b c" }, "Expected `table` to be 3 to 255"],
  [
    { requestTimeoutMs: 100, connectTimeoutMs: 100 },
    "Expected `connectTimeoutMs` to be below `requestTimeoutMs` (100), got 100",
  ],
])("options %j are refused", (options, message) => {
  expect(() => open("http://127.0.0.1:1", options)).toThrow(message);
});
