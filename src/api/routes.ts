/**
 * The API's operations as one table: the server, its validation and /openapi.json come from it.
 *
 * Handlers only translate between HTTP and `Operations`; they decide nothing.
 */
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Operations } from "../node/operations.ts";
import { limits } from "../protocol/limits.ts";
import type { RouteDescription } from "./openapi.ts";
import * as schemas from "./schemas.ts";

export interface Route extends RouteDescription {
  /** Bytes of the body at most, where it is not the common limit. */
  readonly bodyBytesMax?: number;
  readonly handle: (call: Call, operations: Operations) => unknown;
}

const actorCharsMax = 64;

/** One request, as handlers see it. Validated before: the casts state what the schema proved. */
export class Call {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;

  constructor(request: FastifyRequest, reply: FastifyReply) {
    this.request = request;
    this.reply = reply;
  }

  get params(): Record<string, string> {
    return this.request.params as Record<string, string>;
  }

  query<Query>(): Query {
    return this.request.query as Query;
  }

  param(name: string): string {
    return this.params[name] ?? "";
  }

  body<Body>(): Body {
    return this.request.body as Body;
  }

  /** Who does it, for the audit; the API has no authentication, so this is a courtesy. */
  get actor(): string {
    const header = this.request.headers["coxswain-actor"];
    if (typeof header !== "string" || header === "") return "api";
    // Names end up on terminals: no control characters (a header may hold tabs and C1 codes).
    return header.slice(0, actorCharsMax).replaceAll(/\p{Cc}/gu, "?");
  }
}

export const routes: readonly Route[] = [
  {
    method: "PUT",
    url: "/v1/hosts/:id",
    summary: "Register a host, or change its address, labels and pins",
    params: schemas.hostParams,
    body: schemas.hostBody,
    status: 200,
    answer: "HostRecord",
    async handle(call, operations) {
      const result = await operations.putHost(call.param("id"), call.body(), call.actor);
      call.reply.status(result.outcome === "created" ? 201 : 200);
      return result;
    },
  },
  {
    method: "POST",
    url: "/v1/hosts",
    summary: "Register many hosts: one JSON object a line",
    query: schemas.importQuery,
    bodyType: "application/x-ndjson",
    bodyBytesMax: limits.importBodyBytesMax,
    status: 200,
    answer: "ImportReport",
    async handle(call, operations) {
      const result = await operations.importHosts(call.body<Buffer>(), call.query(), call.actor);
      call.reply.status(result.failed === 0 ? 200 : 207);
      return result;
    },
  },
  {
    method: "GET",
    url: "/v1/hosts",
    summary: "List hosts by selector, reachability and sync state, in pages ordered by id",
    query: schemas.hostsQuery,
    status: 200,
    answer: "HostPage",
    handle: (call, operations) => operations.listHosts(call.query()),
  },
  {
    method: "GET",
    url: "/v1/hosts/:id",
    summary: "Everything known of one host",
    params: schemas.hostParams,
    status: 200,
    answer: "Host",
    handle: (call, operations) => operations.getHost(call.param("id")),
  },
  {
    method: "DELETE",
    url: "/v1/hosts/:id",
    summary: "Remove a host from the inventory; it keeps what it runs",
    params: schemas.hostParams,
    status: 204,
    async handle(call, operations) {
      await operations.deleteHost(call.param("id"), call.actor);
      call.reply.status(204);
    },
  },
  {
    method: "POST",
    url: "/v1/hosts/:id/sync",
    summary: "Ask the owner to sync the host now",
    params: schemas.hostParams,
    status: 202,
    answer: "Nothing",
    async handle(call, operations) {
      await operations.syncHost(call.param("id"));
      call.reply.status(202);
      return {};
    },
  },
  {
    method: "PUT",
    url: "/v1/hosts/:id/pins/:name",
    summary: "Pin a config of one host to a release, whatever the rules say",
    params: schemas.pinParams,
    body: schemas.pinBody,
    status: 200,
    answer: "HostRecord",
    handle: (call, operations) =>
      operations.pinHost(
        call.param("id"),
        call.param("name"),
        call.body<{ digest: string }>().digest,
        call.actor,
      ),
  },
  {
    method: "DELETE",
    url: "/v1/hosts/:id/pins/:name",
    summary: "Take a pin away",
    params: schemas.pinParams,
    status: 200,
    answer: "HostRecord",
    handle: (call, operations) =>
      operations.pinHost(call.param("id"), call.param("name"), undefined, call.actor),
  },
  {
    method: "GET",
    url: "/v1/configs",
    summary: "List configs",
    status: 200,
    answer: "ConfigList",
    handle: (_call, operations) => operations.listConfigs(),
  },
  {
    method: "POST",
    url: "/v1/configs/:name/releases",
    summary: "Publish a release: the body is its content",
    params: schemas.configParams,
    bodyType: "application/octet-stream",
    bodyBytesMax: limits.contentBytesMax,
    status: 201,
    answer: "Published",
    async handle(call, operations) {
      const body = call.body<Buffer | undefined>() ?? Buffer.alloc(0);
      const release = await operations.putRelease(call.param("name"), body, call.actor);
      call.reply.status(release.isNew ? 201 : 200);
      return release;
    },
  },
  {
    method: "GET",
    url: "/v1/configs/:name/releases",
    summary: "List the releases of a config, newest first",
    params: schemas.configParams,
    status: 200,
    answer: "ReleaseList",
    handle: (call, operations) => operations.listReleases(call.param("name")),
  },
  {
    method: "GET",
    url: "/v1/configs/:name/releases/:digest",
    summary: "The content of one release",
    params: schemas.releaseParams,
    status: 200,
    answerType: "application/octet-stream",
    async handle(call, operations) {
      const content = await operations.readRelease(call.param("name"), call.param("digest"));
      call.reply.type("application/octet-stream");
      return Buffer.from(content);
    },
  },
  {
    method: "POST",
    url: "/v1/rollouts",
    summary: "Put a release on the hosts that a selector matches",
    body: schemas.rolloutBody,
    status: 201,
    answer: "Rollout",
    async handle(call, operations) {
      call.reply.status(201);
      return operations.startRollout(call.body(), call.actor);
    },
  },
  {
    method: "GET",
    url: "/v1/rollouts",
    summary: "List rollouts, newest first",
    query: schemas.rolloutsQuery,
    status: 200,
    answer: "RolloutList",
    handle: (call, operations) => operations.listRollouts(call.query<{ limit: number }>().limit),
  },
  {
    method: "GET",
    url: "/v1/rollouts/:id",
    summary: "One rollout with its counts over the inventory and what went wrong",
    params: schemas.rolloutParams,
    status: 200,
    answer: "Rollout",
    handle: (call, operations) => operations.getRollout(call.param("id")),
  },
  {
    method: "POST",
    url: "/v1/rollouts/:id/undo",
    summary: "A new rollout that restores what this one replaced",
    params: schemas.rolloutParams,
    status: 201,
    answer: "Rollout",
    async handle(call, operations) {
      call.reply.status(201);
      return operations.undoRollout(call.param("id"), call.actor);
    },
  },
  {
    method: "GET",
    url: "/v1/status",
    summary: "The cluster at a glance",
    status: 200,
    answer: "Status",
    handle: (_call, operations) => operations.status(),
  },
  {
    method: "GET",
    url: "/v1/members",
    summary: "The members of the view and what each reports",
    status: 200,
    answer: "Members",
    handle: (_call, operations) => operations.members(),
  },
  {
    method: "POST",
    url: "/v1/members/:slot/evict",
    summary: "Take a member out of the view; one that lives comes back after its probation",
    params: schemas.memberParams,
    status: 200,
    answer: "Eviction",
    handle: (call, operations) => operations.evictMember(call.param("slot"), call.actor),
  },
  {
    method: "GET",
    url: "/v1/placement",
    summary: "Who owns a host, or how the partitions are spread",
    query: schemas.placementQuery,
    status: 200,
    answer: "Placement",
    handle: (call, operations) => operations.placement(call.query<{ host?: string }>().host),
  },
];
