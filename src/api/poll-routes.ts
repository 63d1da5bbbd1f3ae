/**
 * What hosts ask and say themselves: `GET /coxswain/v1/hosts/{id}/manifest` and `POST /coxswain/v1/report`.
 *
 * The cheapest refusal comes first: whether the node takes anybody at all, before the proof costs three
 * hashes and before a body is read. What is refused for now is told when to come back; nothing else
 * of a request counts before the host has proved who it is.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { CoxswainError } from "../kernel/errors.ts";
import type { Node } from "../node/node.ts";
import type { PollReply, ReportReply } from "../node/poll-calls.ts";
import { authorizationHeader, isBearerOf } from "../protocol/host-key.ts";
import { limits } from "../protocol/limits.ts";
import { manifestPath, pollHeaders, reportPath } from "../protocol/poll.ts";
import { syncHeaders } from "../protocol/sync.ts";

const timeoutDefaultMs = 10_000;
const timeoutMaxMs = 30_000;

/** `ready` throws where the node is not, or where `cluster` is another one. */
export function addPollRoutes(
  server: FastifyInstance,
  ready: (cluster: unknown) => Node,
  secret: Buffer | undefined,
): void {
  const screen = (request: FastifyRequest, reply: FastifyReply, host: string | undefined) => {
    ready(request.headers[syncHeaders.cluster]);
    const authorization = request.headers[authorizationHeader];
    if (secret === undefined) return;
    if (host === undefined || !isBearerOf(secret, host, authorization)) throw unproven(reply);
  };

  server.get<{ Params: { id: string } }>(
    manifestPath(":id"),
    { exposeHeadRoute: false },
    async (request, reply) => {
      const { id } = request.params;
      const { polls } = ready(request.headers[syncHeaders.cluster]).shapes;
      const busy = polls.refusal();
      if (busy !== undefined) throw notNow(reply, busy.retryAfterMs);
      screen(request, reply, id);
      const answer = await polls.poll({
        host: id,
        etag: request.headers["if-none-match"],
        held: textOf(request, pollHeaders.held),
        timeoutMs: timeoutOf(request),
        // Not the request: that ends when it has been read.
        isGone: () => request.raw.socket.destroyed,
      });
      return sendPoll(reply, answer);
    },
  );

  server.post(
    reportPath,
    {
      bodyLimit: limits.syncReplyBytesMax,
      // Before the body is read.
      onRequest: async (request, reply) => {
        screen(request, reply, textOf(request, syncHeaders.host));
      },
    },
    async (request, reply) => {
      const node = ready(request.headers[syncHeaders.cluster]);
      const host = textOf(request, syncHeaders.host) ?? "";
      const status = statusOf(request);
      const body = Buffer.from(JSON.stringify(request.body));
      return sendReport(reply, await node.shapes.polls.report(host, { status, body }));
    },
  );
}

function sendPoll(reply: FastifyReply, answer: PollReply): FastifyReply {
  if (answer.kind === "busy") throw notNow(reply, answer.retryAfterMs);
  reply.header(pollHeaders.nextPoll, seconds(answer.nextPollMs));
  if (answer.kind === "unproven" || answer.kind === "unknownHost")
    throw refused(reply, answer.kind);
  reply.header("etag", answer.etag).header("cache-control", "no-store");
  if (answer.kind === "unchanged") return reply.status(304).send();
  for (const [name, value] of Object.entries(answer.headers)) {
    // What a push says of its reply means nothing in an answer.
    if (name !== "accept-encoding") reply.header(name, value);
  }
  return reply.send(Buffer.from(answer.body, "base64"));
}

function sendReport(reply: FastifyReply, answer: ReportReply): { needsSync: boolean } {
  if (answer.kind === "busy") throw notNow(reply, answer.retryAfterMs);
  if (answer.kind === "unproven" || answer.kind === "unknownHost")
    throw refused(reply, answer.kind);
  return { needsSync: answer.needsSync };
}

function notNow(reply: FastifyReply, retryAfterMs: number): CoxswainError {
  const after = Math.ceil(retryAfterMs / 1_000);
  reply.header("retry-after", after).header(pollHeaders.nextPoll, after);
  return new CoxswainError("NODE_BUSY", `Come back in ${after} s`);
}

function refused(reply: FastifyReply, kind: "unknownHost" | "unproven"): CoxswainError {
  return kind === "unproven"
    ? unproven(reply)
    : new CoxswainError("HOST_NOT_FOUND", "No host of that id may poll or report");
}

function unproven(reply: FastifyReply): CoxswainError {
  reply.header("www-authenticate", "Coxswain");
  return new CoxswainError(
    "HOST_UNPROVEN",
    "Expected `Authorization: Coxswain …` made with the key of this host",
  );
}

function textOf(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name];
  return typeof value === "string" && value !== "" ? value : undefined;
}

function timeoutOf(request: FastifyRequest): number {
  const text = textOf(request, pollHeaders.timeoutMs);
  if (text === undefined) return timeoutDefaultMs;
  if (/^[1-9]\d{0,6}$/.test(text)) return Math.min(Number(text), timeoutMaxMs);
  throw invalidHeader(pollHeaders.timeoutMs, "milliseconds, a whole number", text);
}

function statusOf(request: FastifyRequest): number {
  const text = textOf(request, pollHeaders.status) ?? "none";
  if (/^[2-5]\d\d$/.test(text)) return Number(text);
  throw invalidHeader(pollHeaders.status, "a status from 200 to 599", text);
}

function invalidHeader(name: string, rule: string, text: string): CoxswainError {
  return new CoxswainError(
    "REQUEST_INVALID",
    `Expected header ${name} to be ${rule}, got ${text.slice(0, 80)}`,
    { details: { field: name } },
  );
}

function seconds(ms: number): string {
  return String(Math.ceil(ms) / 1_000);
}
