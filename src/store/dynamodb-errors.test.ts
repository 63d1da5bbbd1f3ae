import { once } from "node:events";
import { connect, createServer as createTcpServer, type AddressInfo } from "node:net";
import { afterEach, describe, expect, test, vi } from "vitest";
import { ManualClock } from "../kernel/manual-clock.ts";
import { classifyFailure } from "./dynamodb-errors.ts";
import {
  answer,
  failure,
  listen,
  open,
  serve,
  undo,
  undoAll,
  type Handler,
} from "./test-server.ts";
import type { Store } from "./store.ts";

const key = { pk: "test", sk: "item" };
const item = { ...key, attributes: { value: 1 } };

afterEach(undoAll);

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

  test("and gives its connection up, so that the next call can have it", async () => {
    let requestCount = 0;
    const endpoint = await serve((...exchange) => {
      if (++requestCount > 1) answer(200, {})(...exchange);
    });
    const store = open(endpoint, { socketsMax: 1, requestTimeoutMs: 300, connectTimeoutMs: 250 });
    await expect(store.get(key)).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    expect(await store.get(key)).toBeUndefined();
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

  test("a failure of each of several addresses, and not of some of them", async () => {
    const port = await closedPort();
    const socket = connect({
      port,
      host: "several.invalid",
      autoSelectFamily: true,
      lookup: (_host, _options, found) =>
        found(null, [
          { address: "127.0.0.1", family: 4 },
          { address: "127.0.0.2", family: 4 },
        ]),
    });
    const [error] = (await once(socket, "error")) as [AggregateError];
    expect(error.errors).toHaveLength(2);
    const target = { table: "coxswain", endpoint: "several.invalid" };
    expect(classifyFailure(error, target)).toMatchObject({
      kind: "notWritten",
      error: { code: "STORE_UNAVAILABLE" },
    });
    const mixed = new AggregateError([...(error.errors as Error[]), new Error("other")]);
    expect(classifyFailure(mixed, target).kind).toBe("unknown");
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

test("without a region anywhere a call says which option to set", async () => {
  for (const name of ["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"])
    vi.stubEnv(name, undefined);
  for (const name of ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"]) vi.stubEnv(name, "/none");
  undo.push(async () => void vi.unstubAllEnvs());
  const store = open("http://127.0.0.1:1", { region: undefined });
  await expect(store.put(item)).rejects.toMatchObject({
    code: "OPTION_INVALID",
    message: "Expected `region` (or AWS_REGION) to be set for DynamoDB, got none",
  });
});
