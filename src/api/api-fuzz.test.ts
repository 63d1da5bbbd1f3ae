/**
 * Fuzz of both listeners' routes: the api's from the description it publishes, the fleet's by name.
 *
 * Whatever parameters and bodies come, a request is carried out or refused in the documented shape, never
 * INTERNAL; what is refused has written nothing; the node serves afterwards, and everything in the store can
 * still be read. `FUZZ_RUNS` and `FUZZ_SEED` (kernel/hostile-json.ts) ask for more.
 */
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { errorRegistry } from "../kernel/errors.ts";
import { fuzzRuns, mutatedJson, oddValue, textOf } from "../kernel/hostile-json.ts";
import { memberPath, peerPath } from "../node/peers.ts";
import { helloPath } from "../protocol/sync.ts";
import { apiCalls, errorOf, expectAnswer, unknownDigest, type Sent } from "./api-calls.ts";
import { cluster, startTestNode, type TestNode } from "./api-fixture.ts";
import { openapiDocument, serviceRoutes } from "./openapi.ts";
import { routes } from "./routes.ts";

let running: TestNode;
let digest = unknownDigest;

beforeAll(async () => {
  running = await startTestNode();
  const published = await publish("app.conf", "content");
  digest = String(published.json?.["digest"]);
  await put("h1", { address: "http://127.0.98.1:1", labels: { role: "edge" } });
});

afterAll(() => running.stop());

const { send, put, publish } = apiCalls(() => running);

interface Operation {
  readonly method: NonNullable<Sent["method"]>;
  readonly path: string;
  readonly query: readonly string[];
  /** Media type of its body, where it has one. */
  readonly type: string | undefined;
}

/** The operations of the published document, the endless event stream aside. */
function operations(): Operation[] {
  const { paths } = openapiDocument([...routes, ...serviceRoutes], "0") as {
    paths: Record<string, Record<string, DescribedOperation>>;
  };
  return Object.entries(paths).flatMap(([path, byMethod]) =>
    Object.entries(byMethod).map(([method, { parameters = [], requestBody }]) => ({
      method: method.toUpperCase() as Operation["method"],
      path,
      query: parameters.filter((each) => each.in === "query").map(({ name }) => name),
      type: Object.keys(requestBody?.content ?? {})[0],
    })),
  );
}

interface DescribedOperation {
  readonly parameters?: readonly { readonly name: string; readonly in: string }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, object>> };
}

const oddTexts = [
  "",
  ".",
  "..",
  "__proto__",
  "constructor",
  "\0",
  "é",
  "a b",
  "*",
  "x".repeat(600),
];
const rightTexts = ["h1", "app.conf", "node-1", "edge", "role=edge", "10", "true", "ok"];
const anyText = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...rightTexts) },
  { weight: 2, arbitrary: fc.constantFrom(...oddTexts) },
  { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 20 }) },
);
/** Encoded, well or badly. */
const pathPart = fc.oneof(
  { weight: 8, arbitrary: anyText.map((text) => encodeURIComponent(text)) },
  {
    weight: 1,
    arbitrary: fc.constantFrom("%zz", "%ED%A0%80", "%00", "%2e%2e%2f", "..", "%", "a%2Fb"),
  },
  { weight: 2, arbitrary: fc.constant("§digest") },
);

/** A body that the operation at `path` takes, as far as there is one. */
const rightBodies: readonly object[] = [
  { address: "http://127.0.98.2:1", labels: { role: "edge", zone: "a" } },
  { id: "h1", address: "http://127.0.98.3:1", mode: "dial", pins: { "app.conf": unknownDigest } },
  { config: "app.conf", digest: null, selector: "role in (edge,core),!old" },
  { config: "app.conf", digest: "§digest", selector: "role=edge" },
  { digest: "§digest" },
];
const jsonBody = fc.constantFrom(...rightBodies).chain((body) => mutatedJson(body));
const body = fc.oneof(
  { weight: 6, arbitrary: jsonBody },
  { weight: 2, arbitrary: fc.array(jsonBody, { maxLength: 4 }).map((lines) => lines.join("\n")) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 80 }).map((bytes) => Buffer.from(bytes)) },
  { weight: 1, arbitrary: oddValue.map((value) => textOf(value)) },
);
const mediaType = fc.constantFrom("right", "right", "right", "application/json", "text/plain", "x");

interface Call {
  readonly operation: Operation;
  readonly parts: readonly string[];
  readonly query: readonly (readonly [string, string])[];
  readonly body: string | Buffer;
  readonly mediaType: string;
  readonly actor: string;
}

const call: fc.Arbitrary<Call> = fc
  .constantFrom(...operations().filter(({ path }) => path !== "/v1/events"))
  .chain((operation) =>
    fc.record({
      operation: fc.constant(operation),
      parts: fc.array(pathPart, { minLength: 3, maxLength: 3 }),
      query: fc.array(
        fc.tuple(fc.constantFrom("__proto__", "limit", ...operation.query), anyText),
        { maxLength: 2 },
      ),
      body,
      mediaType,
      actor: fc.constantFrom("", "fuzz", "\x1b[31m", "é".repeat(300)),
    }),
  );

const filled = (text: string) => text.replaceAll("§digest", digest);

async function make({ operation, parts, query, body: sent, mediaType: wanted, actor }: Call) {
  const { method, path, type } = operation;
  const rest = [...parts];
  const url = path.replaceAll(/\{\w+\}/g, () => filled(rest.shift() ?? ""));
  const search = new URLSearchParams(
    query.map(([name, value]): [string, string] => [name, value]),
  ).toString();
  const payload = typeof sent === "string" ? filled(sent) : sent;
  return send(search === "" ? url : `${url}?${search}`, {
    method,
    headers: { "coxswain-actor": actor },
    ...(type === undefined ? {} : { body: payload, type: wanted === "right" ? type : wanted }),
  });
}

/** What people stated, without what the node writes by itself. */
function stated(): string {
  const own = running.store.dump().filter(({ pk, sk }) => {
    if (pk.startsWith("part#")) return sk.startsWith("host#");
    return pk === "rollout" || pk.startsWith("config") || sk === "fleet";
  });
  return JSON.stringify(own);
}

describe("the api", () => {
  test("carries out or refuses whatever comes, and a refusal has written nothing", async () => {
    const seen = new Set<number>();
    await fc.assert(
      fc.asyncProperty(call, async (each) => {
        const before = stated();
        const reply = await make(each);
        const { path } = each.operation;
        const got = `${each.operation.method} ${path}: ${reply.status} ${reply.text.slice(0, 300)}`;
        seen.add(reply.status);
        if (reply.status < 400) return;
        if (reply.status >= 500) throw new Error(got);
        expectAnswer(reply.json, "Error");
        expect(Object.keys(errorRegistry)).toContain(errorOf(reply.json).code);
        expect(errorOf(reply.json).message.length).toBeLessThan(2_000);
        if (stated() !== before) throw new Error(`it was refused and has written: ${got}`);
      }),
      fuzzRuns(400),
    );
    expect([...seen]).toEqual(expect.arrayContaining([200, 201, 400, 404]));
    await expectServing();
  });

  test("takes 100,000 brackets within each other for what they are", async () => {
    const deep = textOf("§deepList");
    for (const [url, type] of [
      ["/v1/hosts/h1", "application/json"],
      ["/v1/rollouts", "application/json"],
    ] as const) {
      const reply = await send(url, {
        method: url.endsWith("h1") ? "PUT" : "POST",
        body: deep,
        type,
      });
      expect([400, 413]).toContain(reply.status);
    }
    const lines = `${deep}\n{"id":"deep","address":${deep}}\n{"id":"h9","address":"http://127.0.98.9:1"}`;
    const imported = await send("/v1/hosts", {
      method: "POST",
      body: lines,
      type: "application/x-ndjson",
    });
    expect(imported).toMatchObject({ status: 207, json: { created: 1, failed: 2 } });
    expect(imported.json?.["errors"]).toMatchObject([{ line: 1 }, { line: 2 }]);
    await expectServing();
  });
});

/** Everything can be read, and a right call is taken. */
async function expectServing(): Promise<void> {
  for (const url of [
    "/v1/hosts?limit=1000",
    "/v1/configs",
    "/v1/rollouts",
    "/v1/status",
    "/readyz",
  ]) {
    expect([url, (await send(url)).status]).toEqual([url, 200]);
  }
  const address = `http://127.0.97.${1 + (addressCount++ % 200)}:1`;
  expect((await put("afterwards", { address })).status).toBeLessThan(300);
}
let addressCount = 0;

const partitions = [0, 1, 63];
const asks: Readonly<Record<string, object>> = {
  [peerPath("hint")]: { view: true, fleet: "change", partitions },
  [peerPath("hello")]: { host: "h1" },
  [peerPath("hosts")]: {
    partitions,
    ids: ["h1"],
    selector: "role=edge",
    limit: 10,
    isDetailed: true,
  },
  [peerPath("counts")]: { partitions, rollout: { config: "app.conf", selector: "*" } },
  [peerPath("addresses")]: { hosts: [{ id: "h2", address: "http://127.0.98.1:1" }] },
  [peerPath("events")]: { after: 0 },
  [helloPath]: { host: "h1", boot: "b", fence: "1.1.1", manifest: unknownDigest },
};

describe("the fleet listener", () => {
  test("answers or refuses whatever comes, writes nothing, and wakes at most", async () => {
    const ask = fc.constantFrom(...Object.entries(asks)).chain(([url, right]) =>
      fc.record({
        url: fc.constant(url),
        payload: fc.oneof(
          { weight: 6, arbitrary: mutatedJson(right) },
          { weight: 1, arbitrary: body },
        ),
        from: fc.constantFrom(cluster, cluster, cluster, cluster, "other", ""),
        type: fc.constantFrom("application/json", "application/json", "text/plain"),
      }),
    );
    const seen = new Set<number>();
    await fc.assert(
      fc.asyncProperty(ask, async ({ url, payload, from, type }) => {
        const before = stated();
        const reply = await running.fleet.inject({
          method: "POST",
          url,
          headers: { "content-type": type, "coxswain-cluster": from },
          payload,
        });
        seen.add(reply.statusCode);
        if (reply.statusCode >= 500) throw new Error(`${url} ${reply.body.slice(0, 300)}`);
        if (reply.statusCode >= 400 && !reply.body.includes('"outcome"')) {
          expectAnswer(reply.json(), "Error");
        }
        expect(stated()).toBe(before);
      }),
      fuzzRuns(300),
    );
    expect([...seen]).toEqual(expect.arrayContaining([200, 400, 409]));
    expect((await running.fleet.inject(memberPath)).statusCode).toBe(204);
    await expectServing();
  });
});
