/**
 * What both listeners share: limits, timeouts, and one shape for every error.
 *
 * Slow senders are cut off: a request has `requestTimeoutMs` in all. Nothing that fastify or the
 * parser refuses reaches a caller in another shape than `{"error":{code,message,details}}`.
 */
import fastify, { type FastifyError, type FastifyInstance } from "fastify";
import { CoxswainError, isCoxswainError, messageOf } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";
import { limits } from "../protocol/limits.ts";

const requestTimeoutMs = 10_000;
const connectionsMax = 2_000;

/** A fastify instance with the house limits; the caller adds routes and listens. */
export function createHttpServer(log: Logger): FastifyInstance {
  const server = fastify({
    bodyLimit: limits.apiBodyBytesMax,
    requestTimeout: requestTimeoutMs,
    keepAliveTimeout: 60_000,
    forceCloseConnections: true,
    routerOptions: { maxParamLength: 512 },
    http: { maxHeaderSize: 16 * 1024, headersTimeout: requestTimeoutMs },
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
