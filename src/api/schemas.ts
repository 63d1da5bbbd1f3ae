/**
 * JSON schemas of what the API accepts, shared by validation and /openapi.json.
 *
 * They bound shape and size; the rules of a field (patterns, uniqueness) belong to the inventory,
 * whose messages are more precise. Unknown fields are refused.
 */
import { limits } from "../protocol/limits.ts";

const text = (maxLength: number) => ({ type: "string", maxLength }) as const;
const digest = { type: "string", pattern: "^sha256:[0-9a-f]{64}$" } as const;
const labels = {
  type: "object",
  maxProperties: limits.labelsPerHostMax,
  additionalProperties: text(limits.labelValueCharsMax),
} as const;

const object = (
  properties: Record<string, object>,
  required: readonly string[] = Object.keys(properties),
) => ({ type: "object", additionalProperties: false, properties, required }) as const;

export const hostParams = object({ id: text(limits.hostIdCharsMax) });
export const configParams = object({ name: text(limits.configNameCharsMax) });
export const releaseParams = object({ name: text(limits.configNameCharsMax), digest });
export const pinParams = object({
  id: text(limits.hostIdCharsMax),
  name: text(limits.configNameCharsMax),
});
export const rolloutParams = object({ id: text(64) });

export const hostBody = object(
  {
    id: text(limits.hostIdCharsMax),
    address: text(limits.addressCharsMax),
    labels,
    pins: {
      type: "object",
      maxProperties: limits.configsPerHostMax,
      additionalProperties: digest,
    },
  },
  ["address"],
);

export const pinBody = object({ digest });

export const rolloutBody = object(
  {
    config: text(limits.configNameCharsMax),
    digest: { anyOf: [digest, { type: "null" }] },
    selector: text(limits.selectorCharsMax),
  },
  ["config", "digest"],
);

export const importQuery = object(
  {
    onExisting: { type: "string", enum: ["update", "refuse"], default: "update" },
    dryRun: { type: "boolean", default: false },
  },
  [],
);

export const hostsQuery = object(
  {
    selector: text(limits.selectorCharsMax),
    reachability: {
      type: "string",
      enum: ["unknown", "ok", "suspect", "unreachable", "lost"],
    },
    sync: { type: "string", enum: ["applied", "pending", "rejected", "unreachable", "neverSeen"] },
    limit: { type: "integer", minimum: 1, maximum: limits.pageHostsMax, default: 100 },
    cursor: text(limits.hostIdCharsMax),
  },
  [],
);

export const placementQuery = object({ host: text(limits.hostIdCharsMax) }, []);
export const rolloutsQuery = object(
  { limit: { type: "integer", minimum: 1, maximum: 1_000, default: 100 } },
  [],
);

const counts = object({
  total: { type: "integer" },
  applied: { type: "integer" },
  pending: { type: "integer" },
  rejected: { type: "integer" },
  unreachable: { type: "integer" },
  neverSeen: { type: "integer" },
});

/** Shapes of answers, for /openapi.json; answers are not validated against them. */
export const answerSchemas = {
  Error: object({
    error: object({
      code: { type: "string" },
      message: { type: "string" },
      details: { type: "object" },
    }),
  }),
  Counts: counts,
  Host: object({
    id: { type: "string" },
    address: { type: "string" },
    labels,
    pins: { type: "object" },
    partition: { type: "integer" },
    owner: { type: ["string", "null"] },
    fence: { type: "string" },
    desired: { type: "object" },
    held: { type: ["object", "null"] },
    sync: { type: "string" },
    reachability: { type: "string" },
    lastContact: { type: ["string", "null"] },
    lastError: { type: ["object", "null"] },
    nextAttempt: { type: ["string", "null"] },
    state: { type: ["object", "null"] },
  }),
  Release: object({
    name: { type: "string" },
    digest,
    size: { type: "integer" },
    author: { type: "string" },
    at: { type: "string" },
  }),
  Rollout: object({
    id: { type: "string" },
    config: { type: "string" },
    digest: { type: ["string", "null"] },
    selector: { type: "string" },
    state: { type: "string", enum: ["running", "complete", "superseded", "undone"] },
    author: { type: "string" },
    at: { type: "string" },
    counts,
    problems: { type: "array" },
    missing: { type: "array", items: { type: "string" } },
  }),
  Status: object({
    cluster: { type: "object" },
    node: { type: "object" },
    view: { type: "object" },
    hosts: counts,
    missing: { type: "array", items: { type: "string" } },
  }),
} as const;
