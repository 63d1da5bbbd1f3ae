/**
 * JSON schemas of what the API accepts, shared by validation and /openapi.json.
 *
 * They bound shape and size; the rules of a field (patterns, uniqueness) belong to the inventory,
 * whose messages are more precise. Unknown fields are refused.
 */
import { hostModes } from "../protocol/host-mode.ts";
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

const list = (items: object) => ({ type: "array", items }) as const;
const hostMode = { type: "string", enum: [...hostModes] } as const;

export const hostParams = object({ id: text(limits.hostIdCharsMax) });
export const configParams = object({ name: text(limits.configNameCharsMax) });
export const releaseParams = object({ name: text(limits.configNameCharsMax), digest });
export const pinParams = object({
  id: text(limits.hostIdCharsMax),
  name: text(limits.configNameCharsMax),
});
export const memberParams = object({ slot: text(limits.hostIdCharsMax) });
export const rolloutParams = object({ id: text(64) });

export const hostBody = object(
  {
    id: text(limits.hostIdCharsMax),
    // Hosts that nobody dials have none; which modes need one is the parser's rule.
    address: { type: "string", maxLength: limits.addressCharsMax },
    mode: { anyOf: [hostMode, { ...list(hostMode), minItems: 1 }] },
    labels,
    pins: {
      type: "object",
      maxProperties: limits.configsPerHostMax,
      additionalProperties: digest,
    },
  },
  [],
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

const texts = { type: "array", items: { type: "string" } } as const;
const nullable = (schema: object) => ({ anyOf: [schema, { type: "null" }] });
const anyText = { type: "string" } as const;
const integer = { type: "integer" } as const;
const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` });

const counts = object({
  total: integer,
  applied: integer,
  pending: integer,
  rejected: integer,
  unreachable: integer,
  neverSeen: integer,
  damaged: integer,
});

const viewNumber = { generation: integer, version: integer };
const heldConfig = object({ name: anyText, digest, result: anyText, message: anyText }, [
  "name",
  "result",
]);
const memberCore = {
  slot: anyText,
  incarnation: integer,
  state: { type: "string", enum: ["active", "leaving"] },
  url: anyText,
  partitions: integer,
  hosts: integer,
};

/** Shapes of answers, for /openapi.json; a test checks real answers against them. */
export const answerSchemas = {
  Error: object({
    error: object({ code: anyText, message: anyText, details: { type: "object" } }),
  }),
  Counts: counts,
  Problem: object({ class: anyText, message: anyText, count: integer, hosts: texts }),
  /** Lists leave `state` and the `configs` out. */
  Host: object(
    {
      id: anyText,
      address: anyText,
      modes: list(hostMode),
      labels,
      pins: { type: "object", additionalProperties: digest },
      partition: integer,
      owner: nullable(anyText),
      fence: anyText,
      desired: object({ manifest: digest, configs: list(object({ name: anyText, digest })) }, [
        "manifest",
      ]),
      held: nullable(object({ manifest: digest, configs: list(heldConfig) }, ["manifest"])),
      sync: hostsQuery.properties["sync"] ?? anyText,
      reachability: hostsQuery.properties["reachability"] ?? anyText,
      lastContact: nullable(anyText),
      via: nullable(hostMode),
      lastError: nullable(object({ class: anyText, message: anyText, at: anyText })),
      nextAttempt: nullable(anyText),
      state: nullable({ type: "object" }),
    },
    [
      "id",
      "address",
      "modes",
      "labels",
      "pins",
      "partition",
      "owner",
      "fence",
      "desired",
      "held",
      "sync",
      "reachability",
      "lastContact",
      "via",
      "lastError",
      "nextAttempt",
    ],
  ),
  HostPage: object({ hosts: list(ref("Host")), next: nullable(anyText), missing: texts }),
  HostRecord: object(
    {
      id: anyText,
      revision: integer,
      address: anyText,
      modes: list(hostMode),
      labels,
      pins: { type: "object", additionalProperties: digest },
      partition: integer,
      outcome: { type: "string", enum: ["created", "updated", "unchanged"] },
    },
    ["id", "revision", "address", "modes", "labels", "pins"],
  ),
  ImportReport: object({
    created: integer,
    updated: integer,
    unchanged: integer,
    failed: integer,
    errors: list(
      object({ line: integer, id: anyText, code: anyText, message: anyText }, [
        "line",
        "code",
        "message",
      ]),
    ),
  }),
  Nothing: object({}),
  ConfigList: object({
    configs: list(
      object({
        name: anyText,
        releases: integer,
        latest: nullable(object({ digest, size: integer, at: anyText, author: anyText })),
      }),
    ),
  }),
  Published: object({ name: anyText, digest, size: integer, isNew: { type: "boolean" } }),
  ReleaseList: object({
    releases: list(object({ name: anyText, digest, size: integer, author: anyText, at: anyText })),
  }),
  /** Lists leave `counts`, `problems` and `missing` out, and so say `active` for `running` and `complete`. */
  Rollout: object(
    {
      id: anyText,
      config: anyText,
      digest: nullable(digest),
      selector: anyText,
      state: { type: "string", enum: ["active", "running", "complete", "superseded", "undone"] },
      author: anyText,
      at: anyText,
      undoes: anyText,
      counts: ref("Counts"),
      problems: list(ref("Problem")),
      missing: texts,
    },
    ["id", "config", "digest", "selector", "state", "author", "at"],
  ),
  RolloutList: object({ rollouts: list(ref("Rollout")) }),
  Status: object({
    cluster: object({ id: anyText, partitions: integer, version: anyText }),
    node: object({ slot: anyText }),
    view: object({ ...viewNumber, members: list(object(memberCore)) }),
    hosts: ref("Counts"),
    problems: list(ref("Problem")),
    missing: texts,
  }),
  Members: object({
    view: object(viewNumber),
    members: list(
      object({
        ...memberCore,
        fleetUrl: anyText,
        weight: integer,
        zone: anyText,
        beat: nullable(integer),
        viewSeen: nullable(object(viewNumber)),
        placementHash: nullable(anyText),
      }),
    ),
  }),
  Eviction: object({ slot: anyText, view: object(viewNumber) }),
  Placement: object(
    {
      view: object(viewNumber),
      placementHash: anyText,
      host: anyText,
      partition: integer,
      owner: nullable(anyText),
      partitions: integer,
      slots: list(object({ slot: anyText, partitions: integer })),
    },
    ["view", "placementHash"],
  ),
  SelfCheck: object({
    slot: anyText,
    version: anyText,
    at: anyText,
    openFilesMax: nullable(integer),
    socketsMax: integer,
    linksMax: integer,
    apiHost: anyText,
    fleetHost: anyText,
    peers: list(
      object({
        slot: anyText,
        fleetUrl: anyText,
        outcome: { type: "string", enum: ["answered", "refused", "unknown"] },
      }),
    ),
  }),
  Health: object({ status: anyText }),
  Readiness: object({
    isReady: { type: "boolean" },
    member: anyText,
    view: object(viewNumber),
    isStoreReachable: { type: "boolean" },
  }),
} as const;
