/**
 * The API as typed calls: one method an operation, answers checked against their shapes.
 *
 * Knows paths and bodies, nothing about addresses or terminals. A reply that does not have the shape
 * comes from something that is not a Coxswain node of this version, and is said to.
 */
import type { z } from "zod";
import { CoxswainError } from "../kernel/errors.ts";
import {
  configListSchema,
  evictionSchema,
  hostPageSchema,
  hostPlacementSchema,
  hostRecordSchema,
  hostViewSchema,
  importReportSchema,
  membersSchema,
  placementSchema,
  putReleaseSchema,
  releaseListSchema,
  rolloutListSchema,
  rolloutSchema,
  selfCheckSchema,
  statusSchema,
} from "./api-shapes.ts";
import { parseJson, type ApiReply, type ApiRequest, type ApiTransport } from "./api-transport.ts";
import { EventStreamReader, type StreamEvent } from "./event-stream.ts";

/** Imports and contents are large: they get longer than an ordinary request. */
const bulkDeadlineMs = 60_000;
/** A node gives its probes 4 s at most. */
const selfCheckDeadlineMs = 8_000;

export interface HostQuery {
  readonly selector?: string | undefined;
  readonly reachability?: string | undefined;
  readonly sync?: string | undefined;
  readonly limit?: number | undefined;
  readonly cursor?: string | undefined;
}

export type ApiClient = ReturnType<typeof createApiClient>;

export function createApiClient(transport: ApiTransport) {
  async function call<Shape extends z.ZodType>(
    shape: Shape,
    request: ApiRequest,
  ): Promise<z.infer<Shape>> {
    return decode(shape, await transport.send(request));
  }
  const get = <Shape extends z.ZodType>(shape: Shape, path: string) =>
    call(shape, { method: "GET", path });
  const send = <Shape extends z.ZodType>(
    shape: Shape,
    method: "PUT" | "POST" | "DELETE",
    path: string,
    value?: unknown,
  ) => call(shape, { method, path, ...jsonBody(value) });

  return {
    status: () => get(statusSchema, "/v1/status"),
    /** What the node itself says of its deployment; it probes the other members meanwhile. */
    selfCheck: () =>
      call(selfCheckSchema, { method: "GET", path: "/v1/doctor", deadlineMs: selfCheckDeadlineMs }),
    members: () => get(membersSchema, "/v1/members"),
    evictMember: (slot: string) =>
      send(evictionSchema, "POST", `/v1/members/${encodeURIComponent(slot)}/evict`),
    placement: () => get(placementSchema, "/v1/placement"),
    placementOf: (host: string) => get(hostPlacementSchema, `/v1/placement${queryOf({ host })}`),

    hosts: (query: HostQuery) => get(hostPageSchema, `/v1/hosts${queryOf({ ...query })}`),
    host: (id: string) => get(hostViewSchema, hostPath(id)),
    putHost: (id: string, host: { address: string; labels: Record<string, string> }) =>
      send(hostRecordSchema, "PUT", hostPath(id), host),
    async deleteHost(id: string): Promise<void> {
      await transport.send({ method: "DELETE", path: hostPath(id) });
    },
    pinHost: (id: string, config: string, digest: string) =>
      send(hostRecordSchema, "PUT", `${hostPath(id)}/pins/${encodeURIComponent(config)}`, {
        digest,
      }),
    unpinHost: (id: string, config: string) =>
      send(hostRecordSchema, "DELETE", `${hostPath(id)}/pins/${encodeURIComponent(config)}`),
    async syncHost(id: string): Promise<void> {
      await transport.send({ method: "POST", path: `${hostPath(id)}/sync`, isRepeatable: true });
    },
    /** `lines`: NDJSON. Repeating an import that may have been carried out changes nothing more. */
    importHosts: (lines: string, query: { onExisting: string; dryRun: boolean }) =>
      call(importReportSchema, {
        method: "POST",
        path: `/v1/hosts${queryOf({ onExisting: query.onExisting, dryRun: String(query.dryRun) })}`,
        body: lines,
        contentType: "application/x-ndjson",
        isRepeatable: query.onExisting === "update",
        deadlineMs: bulkDeadlineMs,
      }),

    configs: () => get(configListSchema, "/v1/configs"),
    releases: (config: string) => get(releaseListSchema, `${configPath(config)}/releases`),
    putRelease: (config: string, content: Uint8Array) =>
      call(putReleaseSchema, {
        method: "POST",
        path: `${configPath(config)}/releases`,
        body: content,
        contentType: "application/octet-stream",
        isRepeatable: true,
        deadlineMs: bulkDeadlineMs,
      }),
    async content(config: string, digest: string): Promise<Buffer> {
      const path = `${configPath(config)}/releases/${encodeURIComponent(digest)}`;
      return (await transport.send({ method: "GET", path, deadlineMs: bulkDeadlineMs })).body;
    },

    rollouts: () => get(rolloutListSchema, "/v1/rollouts"),
    rollout: (id: string) => get(rolloutSchema, rolloutPath(id)),
    startRollout: (rollout: { config: string; digest: string | null; selector: string }) =>
      send(rolloutSchema, "POST", "/v1/rollouts", rollout),
    undoRollout: (id: string) => send(rolloutSchema, "POST", `${rolloutPath(id)}/undo`),

    /** Events until the connection or `signal` ends. */
    async *events(signal: AbortSignal): AsyncGenerator<StreamEvent> {
      const reader = new EventStreamReader();
      for await (const chunk of await transport.open("/v1/events", signal))
        yield* reader.push(chunk);
    },
    /** The node's own metrics, in the Prometheus text format. */
    async metrics(): Promise<string> {
      return (await transport.send({ method: "GET", path: "/metrics" })).body.toString("utf8");
    },
    close: () => transport.close(),
  };
}

const hostPath = (id: string) => `/v1/hosts/${encodeURIComponent(id)}`;
const configPath = (name: string) => `/v1/configs/${encodeURIComponent(name)}`;
const rolloutPath = (id: string) => `/v1/rollouts/${encodeURIComponent(id)}`;

function queryOf(parameters: Readonly<Record<string, string | number | undefined>>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined) query.set(name, String(value));
  }
  return query.size === 0 ? "" : `?${query.toString()}`;
}

function jsonBody(value: unknown): { body?: string; contentType?: string } {
  return value === undefined
    ? {}
    : { body: JSON.stringify(value), contentType: "application/json" };
}

/** The answer itself, unknown fields included, once it is known to have the shape. */
function decode<Shape extends z.ZodType>(shape: Shape, reply: ApiReply): z.infer<Shape> {
  const value = parseJson(reply.body);
  const parsed = shape.safeParse(value);
  if (parsed.success) return value as z.infer<Shape>;
  const [issue] = parsed.error.issues;
  throw new CoxswainError(
    "API_UNREACHABLE",
    `${reply.url} did not answer as a node of this version does: ${issue?.path.join(".") ?? ""} ${issue?.message ?? ""}`,
  );
}
