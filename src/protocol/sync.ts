/**
 * The sync message: what a node says to a host and what the host answers (docs/protocol.md).
 *
 * Both ends parse what they receive with the schemas here, and nothing else is shared between
 * them. Receivers ignore unknown fields, so that a newer end can add some.
 */
import { z } from "zod";
import { configNamePattern, digestPattern, limits } from "./limits.ts";

export const syncPath = "/coxswain/v1/sync";
export const helloPath = "/coxswain/v1/hello";

/** Header names of a sync request, lower case as Node delivers them. */
export const syncHeaders = {
  cluster: "coxswain-cluster",
  node: "coxswain-node",
  view: "coxswain-view",
  host: "coxswain-host",
  fence: "coxswain-fence",
} as const;

const configName = z.string().max(limits.configNameCharsMax).regex(configNamePattern);
const digest = z.string().regex(digestPattern);

const offeredConfig = z.object({
  name: configName,
  digest,
  size: z.int().min(0).max(limits.contentBytesMax),
  /** Absent where the node believes that the host has these bytes. */
  content: z.string().optional(),
  encoding: z.enum(["utf8", "base64"]).optional(),
  signature: z.string().max(1024).optional(),
});

/**
 * Body of a sync. Without `configs` it only states what should be held (the sweep's form); with
 * `configs` it is the whole manifest: a name not listed is to be removed.
 */
export const syncRequestSchema = z.object({
  manifest: digest,
  configs: z.array(offeredConfig).max(limits.configsPerHostMax).optional(),
});

export type OfferedConfig = z.infer<typeof offeredConfig>;
export type SyncRequest = z.infer<typeof syncRequestSchema>;

/** What became of one config at the host. */
export const configResults = [
  "applied",
  "unchanged",
  "rejected",
  "failed",
  "missing",
  "removed",
] as const;
export type ConfigResult = (typeof configResults)[number];

const heldConfig = z.object({
  name: configName,
  /** Digest the host holds and runs; absent where it holds none of that name. */
  digest: digest.optional(),
  result: z.enum(configResults),
  message: z.string().max(limits.resultMessageCharsMax).optional(),
});

const fenceText = z.string().max(64);

/** Body of a reply with status 200; 409 carries the same shape with the host's own fence. */
export const syncReplySchema = z.object({
  host: z.string().max(limits.hostIdCharsMax),
  /** Changes with every start of the agent. */
  boot: z.string().max(64),
  agent: z.string().max(64),
  /** The fence the host now stores. */
  fence: fenceText,
  /** Highest view the host has seen; tells a replaced node that it is one. */
  view: z.string().max(20),
  /** Digest of what the host now holds. */
  manifest: digest,
  configs: z.array(heldConfig).max(2 * limits.configsPerHostMax),
  state: z.record(z.string(), z.unknown()).optional(),
});

export type HeldConfig = z.infer<typeof heldConfig>;
export type SyncReply = z.infer<typeof syncReplySchema>;

/** Body of `POST /coxswain/v1/hello`: a sign of life, sent by an agent to any node. */
export const helloSchema = z.object({
  host: z.string().max(limits.hostIdCharsMax),
  boot: z.string().max(64),
  fence: fenceText,
  manifest: digest,
});

export type Hello = z.infer<typeof helloSchema>;
