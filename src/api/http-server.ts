/**
 * What both listeners share: limits, timeouts, and one shape for every error.
 *
 * Slow senders are cut off: a request has `requestTimeoutMs` in all. Nothing that fastify, Node's
 * HTTP parser or a schema refuses reaches a caller in another shape than
 * `{"error":{code,message,details}}`. Schemas refuse: they never drop an unknown field or turn a value
 * of one type into another, because what was meant by it would be a guess.
 */
import { STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import fastify, { type FastifyError, type FastifyInstance, type FastifyReply } from "fastify";
import { CoxswainError, isCoxswainError, messageOf } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";
import { limits } from "../protocol/limits.ts";

const httpDefaults = { requestTimeoutMs: 10_000 };
const connectionsMax = 2_000;
const methods = ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"];

/** A fastify instance with the house limits; the caller adds routes and listens. */
export function createHttpServer(
  log: Logger,
  { requestTimeoutMs }: { readonly requestTimeoutMs: number } = httpDefaults,
): FastifyInstance {
  const server = fastify({
    bodyLimit: limits.apiBodyBytesMax,
    requestTimeout: requestTimeoutMs,
    keepAliveTimeout: 60_000,
    forceCloseConnections: true,
    return503OnClosing: false,
    routerOptions: { maxParamLength: 512 },
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false } },
    http: {
      maxHeaderSize: 16 * 1024,
      headersTimeout: requestTimeoutMs,
      // Node looks for slow senders at this interval; its default is 30 s.
      connectionsCheckingInterval: Math.min(1_000, requestTimeoutMs / 4),
    },
    frameworkErrors: (error, _request, reply) => {
      const known = translate(error);
      void (reply as FastifyReply).status(known.status).send(errorBody(known));
    },
    clientErrorHandler: answerClientError,
  });
  server.server.maxConnections = connectionsMax;
  server.setErrorHandler((error: FastifyError | Error, request, reply) => {
    const known = translate(error);
    if (known.code === "INTERNAL") log.error({ err: error, url: request.url }, "request failed");
    return reply.status(known.status).send(errorBody(known));
  });
  server.setNotFoundHandler((request, reply) => {
    const error = new CoxswainError(
      "NOT_FOUND",
      `No ${request.method} ${request.url.split("?")[0]}`,
    );
    return reply.status(404).send(errorBody(error));
  });
  return server;
}

/**
 * Answers every other method on the paths of `server` with METHOD_NOT_ALLOWED and `Allow`. Call it
 * before the first route is added and the returned function after the last one.
 */
export function watchMethods(server: FastifyInstance): () => void {
  const byUrl = new Map<string, Set<string>>();
  server.addHook("onRoute", ({ method, url }) => {
    const known = byUrl.get(url) ?? new Set<string>();
    byUrl.set(url, known);
    for (const each of [method].flat()) known.add(each);
  });
  return () => {
    for (const [url, known] of byUrl) {
      const allow = [...known].toSorted().join(", ");
      server.route({
        method: methods.filter((method) => !known.has(method)),
        url,
        // Before the body is read: nobody wants it.
        onRequest: async (request, reply) => {
          reply.header("allow", allow);
          throw new CoxswainError(
            "METHOD_NOT_ALLOWED",
            `Expected one of ${allow} on ${request.url.split("?")[0]}, got ${request.method}`,
            { details: { allow: allow.split(", ") } },
          );
        },
        handler: () => undefined,
      });
    }
  };
}

/** What Node's parser refuses has no request: the answer is written by hand and the socket closed. */
function answerClientError(error: Error & { readonly code?: string }, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const known =
    error.code === "HPE_HEADER_OVERFLOW"
      ? new CoxswainError("REQUEST_TOO_LARGE", "The request's headers are too large")
      : error.code === "ERR_HTTP_REQUEST_TIMEOUT"
        ? new CoxswainError("REQUEST_INVALID", "The request took too long to arrive")
        : new CoxswainError("REQUEST_INVALID", `The request is no HTTP: ${error.message}`);
  const body = JSON.stringify(errorBody(known));
  socket.end(
    `HTTP/1.1 ${known.status} ${STATUS_CODES[known.status]}\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  );
}

function errorBody({ code, message, details }: CoxswainError): object {
  return { error: { code, message, details } };
}

function translate(error: FastifyError | Error): CoxswainError {
  if (isCoxswainError(error)) return error;
  if ("validation" in error && error.validation !== undefined) {
    const [first] = error.validation;
    const at = `${error.validationContext ?? "body"}${first?.instancePath.replaceAll("/", ".") ?? ""}`;
    const extra = first?.params["additionalProperty"];
    const rule = `${first?.message ?? "be valid"}${typeof extra === "string" ? `: \`${extra}\`` : ""}`;
    return new CoxswainError("REQUEST_INVALID", `Expected ${at} to satisfy: it ${rule}`, {
      details: { field: at },
    });
  }
  const status = "statusCode" in error ? error.statusCode : undefined;
  if (status === 413) {
    return new CoxswainError(
      "REQUEST_TOO_LARGE",
      `The request body is too large: ${error.message}`,
    );
  }
  if (status !== undefined && status >= 400 && status < 500) {
    return new CoxswainError("REQUEST_INVALID", error.message);
  }
  return new CoxswainError("INTERNAL", messageOf(error), { cause: error });
}
