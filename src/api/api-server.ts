/**
 * The api listener: people and programs.
 *
 * Routes come from the table in routes.ts; this file adds what is not an operation on the cluster:
 * metrics, health, events and the description of the API itself.
 */
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { Node } from "../node/node.ts";
import type { SelfCheck } from "../node/self-check.ts";
import { CoxswainError } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";
import type { Metrics } from "../kernel/metrics.ts";
import { limits } from "../protocol/limits.ts";
import { streamEvents } from "./event-stream.ts";
import { createHttpServer, watchMethods } from "./http-server.ts";
import { openapiDocument, serviceRoutes } from "./openapi.ts";
import { Call, routes, type Route } from "./routes.ts";

export interface ApiServerPorts {
  /** Undefined until the node has been made. */
  readonly node: () => Node | undefined;
  readonly selfCheck: () => Promise<SelfCheck>;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly version: string;
}

/** The api listener of `node`, ready to listen. */
export function createApiServer(ports: ApiServerPorts): FastifyInstance {
  const { log, metrics, version } = ports;
  const ready = (): Node => {
    const node = ports.node();
    if (node === undefined) throw new CoxswainError("NODE_NOT_READY", "The node is starting");
    return node;
  };
  const server = createHttpServer(log);
  const refuseOtherMethods = watchMethods(server);
  addBytesParser(server);
  server.addHook("onResponse", (request, reply, done) => {
    const route = request.routeOptions.url ?? "none";
    metrics.apiSeconds
      .labels({ route, status: String(reply.statusCode) })
      .observe(reply.elapsedTime / 1_000);
    done();
  });
  const add = (scope: FastifyInstance, route: Route) =>
    scope.route({
      method: route.method,
      url: route.url,
      bodyLimit: route.bodyBytesMax ?? limits.apiBodyBytesMax,
      schema: {
        ...(route.params === undefined ? {} : { params: route.params }),
        ...(route.query === undefined ? {} : { querystring: route.query }),
        ...(route.body === undefined ? {} : { body: route.body }),
      },
      preValidation: async (request) => {
        checkMediaType(route, request);
        if (route.query !== undefined) request.query = typedQuery(route.query, request.query);
      },
      handler: (request, reply) => route.handle(new Call(request, reply), ready().operations),
    });
  for (const route of routes) {
    if (route.bodyType === undefined) add(server, route);
  }
  // A content is bytes whatever its sender calls it: a JSON document is published as it was written.
  void server.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    addBytesParser(scope);
    for (const route of routes) {
      if (route.bodyType !== undefined) add(scope, route);
    }
  });
  server.get("/v1/events", (_request, reply) => {
    streamEvents(ready().clusterEvents, reply);
  });
  server.get("/v1/doctor", () => ports.selfCheck());
  server.get("/openapi.json", () => openapiDocument([...routes, ...serviceRoutes], version));
  server.get("/metrics", async (_request, reply) => {
    reply.type(metrics.registry.contentType);
    return metrics.registry.metrics();
  });
  server.get("/healthz", () => ({ status: "ok" }));
  server.get("/readyz", (_request, reply) => {
    const readiness = ready().readiness();
    reply.status(readiness.isReady ? 200 : 503);
    return readiness;
  });
  // Once every route above is known, those of the other scope too.
  void server.register(async () => refuseOtherMethods());
  return server;
}

function addBytesParser(scope: FastifyInstance): void {
  scope.addContentTypeParser(
    ["text/plain", "*"],
    { parseAs: "buffer", bodyLimit: limits.importBodyBytesMax },
    (_request, body, done) => done(null, body),
  );
}

/** What is not called JSON arrives as bytes, which a JSON route refuses. Throws REQUEST_INVALID. */
function checkMediaType({ body, bodyType }: Route, request: FastifyRequest): void {
  if (body === undefined || bodyType !== undefined || !Buffer.isBuffer(request.body)) return;
  throw new CoxswainError(
    "REQUEST_INVALID",
    `Expected the body as application/json, got ${request.headers["content-type"]}`,
  );
}

/** A query is text: numbers and flags are read here where the schema has them, and checked by it. */
function typedQuery(schema: object, query: unknown): Record<string, unknown> {
  const { properties = {} } = schema as { properties?: Record<string, { type?: string }> };
  const typed = Object.entries(query as Record<string, unknown>).map(([name, text]) => {
    const type = Object.hasOwn(properties, name) ? properties[name]?.type : undefined;
    if (type === "integer" && typeof text === "string" && /^-?\d{1,15}$/.test(text)) {
      return [name, Number(text)];
    }
    if (type === "boolean" && (text === "true" || text === "false")) return [name, text === "true"];
    return [name, text];
  });
  return Object.fromEntries(typed) as Record<string, unknown>;
}
