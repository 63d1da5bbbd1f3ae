import { expect, test } from "vitest";
import { silentLogger } from "../kernel/log.ts";
import { createMetrics } from "../kernel/metrics.ts";
import { createApiServer } from "./api-server.ts";
import { routes } from "./routes.ts";

const byText = (left: string, right: string) => (left < right ? -1 : 1);

interface Operation {
  readonly summary: string;
  readonly parameters: readonly {
    readonly name: string;
    readonly in: string;
    readonly schema: object;
  }[];
  readonly requestBody?: { readonly content: Record<string, { readonly schema: object }> };
  readonly responses: Record<string, { readonly content?: Record<string, { schema: object }> }>;
}

interface Document {
  readonly openapi: string;
  readonly info: { readonly version: string };
  readonly paths: Record<string, Record<string, Operation>>;
  readonly components: { readonly schemas: Record<string, object> };
}

async function load() {
  const registered: string[] = [];
  const server = createApiServer({
    node: () => undefined,
    selfCheck: () => Promise.reject(new Error("not asked")),
    log: silentLogger,
    metrics: createMetrics(),
    version: "1.2.3",
  });
  await server.ready();
  // The router's own listing: what a caller can reach, and not what the table says.
  const text = server.printRoutes({ commonPrefix: false });
  const stack: string[] = [];
  for (const line of text.split("\n")) {
    const match = /^(.*?[├└]── )(\S*) \(([^)]*)\)/.exec(line) ?? /^(.*?[├└]── )(\S*)/.exec(line);
    if (match === null) continue;
    const depth = (match[1] ?? "").length / 4 - 1;
    stack.length = depth;
    stack.push(match[2] ?? "");
    for (const method of (match[3] ?? "").split(", ").filter((each) => each !== "")) {
      registered.push(`${method} ${stack.join("")}`);
    }
  }
  const document = (await server.inject("/openapi.json")).json<Document>();
  const refused = await Promise.all(
    registered.map(async (route) => {
      const [method = "", url = ""] = route.split(" ");
      const reply = await server.inject({ method: method as "GET", url });
      return reply.statusCode === 405 ? route : undefined;
    }),
  );
  await server.close();
  const served = registered.filter(
    (route) => !refused.includes(route) && !route.startsWith("HEAD "),
  );
  return { document, served };
}

test("every route that is served is described, and nothing else", async () => {
  const { document, served } = await load();
  const described = Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.keys(operations).map(
      (method) => `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ":$1")}`,
    ),
  );
  expect(described.toSorted()).toEqual(served.toSorted());
  expect(served.length).toBe(routes.length + 6);
});

test("every operation names its parameters, its body and what it answers", async () => {
  const { document } = await load();
  expect(document.openapi).toBe("3.1.0");
  expect(document.info.version).toBe("1.2.3");
  for (const [path, operations] of Object.entries(document.paths)) {
    const inPath = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
    for (const [method, operation] of Object.entries(operations)) {
      const at = `${method} ${path}`;
      const named = operation.parameters.filter((parameter) => parameter.in === "path");
      expect([at, named.map(({ name }) => name)]).toEqual([at, inPath]);
      expect([at, operation.summary === ""]).toEqual([at, false]);
      const [status = "", ...others] = Object.keys(operation.responses);
      expect([at, others]).toEqual([at, ["default"]]);
      const isEmpty = operation.responses[status]?.content === undefined;
      expect([at, isEmpty]).toEqual([at, status === "204"]);
    }
  }
});

test("every reference leads to a schema, and every schema is used", async () => {
  const { document } = await load();
  const text = JSON.stringify(document);
  const used = new Set(
    [...text.matchAll(/"#\/components\/schemas\/(\w+)"/g)].map((match) => match[1] ?? ""),
  );
  expect([...used].toSorted(byText)).toEqual(
    Object.keys(document.components.schemas).toSorted(byText),
  );
});
