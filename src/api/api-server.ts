/**
 * The api listener: people and programs.
 *
 * Routes come from the table in routes.ts; this file adds what is not an operation on the cluster:
 * metrics, health, events and the description of the API itself.
 */
import type { FastifyInstance } from "fastify";
import type { Node } from "../node/node.ts";
import { CoxswainError } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";
import type { Metrics } from "../kernel/metrics.ts";
import { limits } from "../protocol/limits.ts";
import { streamEvents } from "./event-stream.ts";
import { createHttpServer } from "./http-server.ts";
import { openapiDocument } from "./openapi.ts";
import { Call, routes } from "./routes.ts";

export interface ApiServerPorts {
  /** Undefined until the node has been made. */
  readonly node: () => Node | undefined;
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
  // Contents and imports are bytes until the operation looks at them.
  server.addContentTypeParser(
    ["application/octet-stream", "application/x-ndjson", "text/plain", "*"],
    { parseAs: "buffer", bodyLimit: limits.importBodyBytesMax },
    (_request, body, done) => done(null, body),
  );
  server.addHook("onResponse", (request, reply, done) => {
    const route = request.routeOptions.url ?? "none";
    metrics.apiSeconds
      .labels({ route, status: String(reply.statusCode) })
      .observe(reply.elapsedTime / 1_000);
    done();
  });
  for (const route of routes) {
    server.route({
      method: route.method,
      url: route.url,
      bodyLimit: route.bodyBytesMax ?? limits.apiBodyBytesMax,
      schema: {
        ...(route.params === undefined ? {} : { params: route.params }),
        ...(route.query === undefined ? {} : { querystring: route.query }),
        ...(route.body === undefined ? {} : { body: route.body }),
      },
      async handler(request, reply) {
        if (route.bodyType !== undefined && !Buffer.isBuffer(request.body)) {
          if (request.body !== undefined && request.body !== null) {
            throw new CoxswainError(
              "REQUEST_INVALID",
              `Expected the body as ${route.bodyType}, got ${request.headers["content-type"]}`,
            );
          }
        }
        return route.handle(new Call(request, reply), ready().operations);
      },
    });
  }
  server.get("/v1/events", (request, reply) => {
    streamEvents(ready().events, request, reply);
  });
  server.get("/openapi.json", () => openapiDocument(routes, version));
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
  return server;
}
