import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import {
  createServer as createTcpServer,
  type AddressInfo,
  type Server,
  type Socket,
} from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { ManualClock } from "../kernel/manual-clock.ts";
import { createRandom } from "../kernel/random.ts";
import type { DynamodbOptions } from "./dynamodb-client.ts";
import { DynamodbStore } from "./dynamodb-store.ts";
import type { Store } from "./store.ts";

const key = { pk: "test", sk: "item" };
const item = { ...key, attributes: { value: 1 } };
const undo: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const step of undo.splice(0).toReversed()) await step();
});

async function listen(server: Server): Promise<string> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  undo.push(async () => {
    for (const socket of sockets) socket.destroy();
    if (!server.listening) return;
    server.close();
    await once(server, "close");
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function open(endpoint: string, options: Partial<DynamodbOptions> = {}): DynamodbStore {
  const store = new DynamodbStore({
    table: "coxswain",
    endpoint,
    region: "us-east-1",
    credentials: { accessKeyId: "local", secretAccessKey: "local" },
    requestTimeoutMs: 5_000,
    random: createRandom("dynamodb-store"),
    ...options,
  });
  undo.push(() => store.close());
  return store;
}

type Handler = (request: IncomingMessage, response: ServerResponse, body: string) => void;

async function serve(handler: Handler): Promise<string> {
  const server = createServer((request, response) => {
    let body = "";
    request.on("error", () => {});
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => handler(request, response, body));
  });
  return listen(server);
}

const answer =
  (status: number, body: unknown): Handler =>
  (_, response) => {
    response.writeHead(status, { "content-type": "application/x-amz-json-1.0" });
    response.end(typeof body === "string" ? body : JSON.stringify(body));
  };

const failure = (status: number, name: string, message = "told by the server") =>
  answer(status, { __type: `com.amazonaws.dynamodb.v20120810#${name}`, message });

const told = async (call: Promise<unknown>) =>
  call.then(
    (value) => (value as { kind?: string } | undefined)?.kind ?? "ok",
    (error: { code?: string }) => error.code ?? "no code",
  );

/** What became of each operation, as one text: an outcome's kind or an error's code. */
async function outcomesOf(store: Store): Promise<Record<string, string>> {
  return {
    get: await told(store.get(key)),
    getMany: await told(store.getMany([key])),
    query: await told(store.query("test", { limit: 1 })),
    put: await told(store.put(item)),
    update: await told(store.update(key, { set: { value: 1 } })),
    delete: await told(store.delete(key)),
    increment: await told(store.increment(key, "value", 1)),
  };
}

const everywhere = (code: string) => ({
  get: code,
  getMany: code,
  query: code,
  put: code,
  update: code,
  delete: code,
  increment: code,
});

const lost = {
  get: "STORE_UNAVAILABLE",
  getMany: "STORE_UNAVAILABLE",
  query: "STORE_UNAVAILABLE",
  put: "unknown",
  update: "unknown",
  delete: "unknown",
  increment: "STORE_UNKNOWN_OUTCOME",
};

describe("an answer that says the store did not write is the same error on reads and writes", () => {
  test.each([
    [400, "ProvisionedThroughputExceededException", "STORE_THROTTLED"],
    [400, "ThrottlingException", "STORE_THROTTLED"],
    [503, "ThrottlingException", "STORE_THROTTLED"],
    [400, "RequestLimitExceeded", "STORE_THROTTLED"],
    [400, "AccessDeniedException", "STORE_DENIED"],
    [400, "UnrecognizedClientException", "STORE_DENIED"],
    [400, "InvalidSignatureException", "STORE_DENIED"],
    [403, "ExpiredTokenException", "STORE_DENIED"],
    [400, "ResourceNotFoundException", "CLUSTER_NOT_INITIALISED"],
    [400, "ReplicatedWriteConflictException", "STORE_UNAVAILABLE"],
    [404, "SomethingNewException", "STORE_UNAVAILABLE"],
  ])("%i %s is %s", async (status, name, code) => {
    const store = open(await serve(failure(status, name)));
    expect(await outcomesOf(store)).toEqual(everywhere(code));
  });

  test("the message names the table, the endpoint and the server's words", async () => {
    const endpoint = await serve(
      failure(400, "AccessDeniedException", "no right to dynamodb:GetItem"),
    );
    await expect(open(endpoint).get(key)).rejects.toThrow(
      `Access to table \`coxswain\` at ${endpoint} was denied: no right to dynamodb:GetItem`,
    );
  });

  test("a request that the server finds malformed is a defect, named as one", async () => {
    const store = open(await serve(failure(400, "ValidationException")));
    await expect(store.put(item)).rejects.toMatchObject({ code: "INTERNAL" });
  });

  test("a missing table is named with its endpoint", async () => {
    const endpoint = await serve(failure(400, "ResourceNotFoundException"));
    await expect(open(endpoint).get(key)).rejects.toThrow(
      `Expected table \`coxswain\` to exist at ${endpoint}, found none`,
    );
  });

  test("a failed condition is refused", async () => {
    const store = open(await serve(failure(400, "ConditionalCheckFailedException")));
    expect(await store.put(item, [{ kind: "absent" }])).toEqual({ kind: "refused" });
  });
});

describe("a lost or senseless answer fails reads and leaves writes unknown", () => {
  test.each<[string, Handler]>([
    ["status 500", failure(500, "InternalServerError")],
    ["status 503 without a name", answer(503, {})],
    ["a proxy's page with status 502", answer(502, "<html>Bad Gateway</html>")],
    ["status 200 with a body that is no JSON", answer(200, "<html>Hello</html>")],
    ["a reset after the request was read", (request) => request.socket.resetAndDestroy()],
    ["an end after the request was read", (request) => request.socket.end()],
    [
      "a reset in the middle of the answer",
      (request, response) => {
        response.writeHead(200, { "content-length": "1000" });
        response.write("{", () => request.socket.resetAndDestroy());
      },
    ],
  ])("%s", async (_, handler) => {
    expect(await outcomesOf(open(await serve(handler)))).toEqual(lost);
  });
});

describe("each call ends at its deadline", () => {
  const cases: [string, () => Promise<string>][] = [
    [
      "a server that accepts and never reads",
      () => listen(createTcpServer({ pauseOnConnect: true })),
    ],
    ["a server that reads and never answers", () => serve(() => {})],
    [
      "a server that sends its answer a byte at a time",
      () =>
        serve((_, response) => {
          response.writeHead(200, { "content-length": "100000" });
          const timer = setInterval(() => response.write(" "), 10);
          response.on("close", () => clearInterval(timer));
        }),
    ],
  ];

  test.each(cases)("%s", async (_, start) => {
    const store = open(await start(), { requestTimeoutMs: 150, connectTimeoutMs: 100 });
    const startMs = performance.now();
    expect(await outcomesOf(store)).toEqual(lost);
    expect(performance.now() - startMs).toBeLessThan(7 * 150 + 1_500);
  });

  test("on the injected clock, with no timer left behind by calls that ended", async () => {
    const clock = new ManualClock();
    let received = Promise.withResolvers<void>();
    const endpoint = await serve(() => received.resolve());
    const store = open(endpoint, { clock, requestTimeoutMs: 7_000 });
    const outcome = store.put(item);
    await received.promise;
    expect(clock.timerCount).toBe(1);
    await clock.advance(7_000);
    expect(await outcome).toMatchObject({
      kind: "unknown",
      cause: new Error("no answer within 7000 ms"),
    });
    received = Promise.withResolvers<void>();
    const second = store.get(key);
    await received.promise;
    await store.close();
    await expect(second).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    expect(clock.timerCount).toBe(0);
  });
});

const closedPort = async () => {
  const server = createTcpServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
};

describe("a request that never left is STORE_UNAVAILABLE, on writes too", () => {
  test("a closed port", async () => {
    const store = open(`http://127.0.0.1:${await closedPort()}`);
    expect(await outcomesOf(store)).toEqual(everywhere("STORE_UNAVAILABLE"));
  });

  test("a closed port of a name with several addresses", async () => {
    const store = open(`http://localhost:${await closedPort()}`);
    await expect(store.put(item)).rejects.toMatchObject({
      code: "STORE_UNAVAILABLE",
      message: expect.stringContaining("ECONNREFUSED") as string,
    });
  });

  test("a name that does not resolve", async () => {
    // A label of more than 63 characters fails in the resolver library: no query leaves the machine.
    const store = open(`http://${"a".repeat(64)}.invalid:1`);
    await expect(store.put(item)).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
  });

  test("a connection that does not come up in `connectTimeoutMs`", async () => {
    // The one socket is taken, so the second request waits for a connection until it gives up.
    const received = Promise.withResolvers<void>();
    const endpoint = await serve(() => received.resolve());
    const store = open(endpoint, { socketsMax: 1, connectTimeoutMs: 100, requestTimeoutMs: 1_000 });
    const first = store.put(item);
    await received.promise;
    await expect(store.put(item)).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    expect((await first).kind).toBe("unknown");
  });

  test("a store that was closed", async () => {
    const store = open(await serve(answer(200, {})));
    await store.close();
    expect(await outcomesOf(store)).toEqual(everywhere("STORE_UNAVAILABLE"));
  });
});

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

test("an item of a shape this program does not write is STORE_CORRUPT", async () => {
  const wire = { pk: { S: "test" }, sk: { S: "item" }, list: { L: [] } };
  const store = open(await serve(answer(200, { Item: wire })));
  await expect(store.get(key)).rejects.toMatchObject({
    code: "STORE_CORRUPT",
    message: "Expected list of test/item to be text, a number or bytes, got L",
  });
});

test("every request is reported with its outcome, time and capacity, and made once", async () => {
  const reports: [string, string, number][] = [];
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
    onCall: (call, outcome, took, capacityUnits) => {
      reports.push([call, outcome, capacityUnits]);
      seconds.push(took);
    },
  });
  await store.get(key);
  await store.getMany([key]);
  await store.put(item);
  await store.delete(key);
  await store.close();
  await expect(store.get(key)).rejects.toThrow("The store has been closed");
  expect(reports).toEqual([
    ["get", "ok", 1.5],
    ["getMany", "ok", 2],
    ["put", "unknown", 0],
    ["delete", "refused", 0],
    ["get", "STORE_UNAVAILABLE", 0],
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
