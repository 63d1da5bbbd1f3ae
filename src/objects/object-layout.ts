/**
 * Where what lies in an object store, and what it looks like (docs/protocol.md, Object mode).
 *
 * `<cluster>/v1/` holds immutable `contents/<hex>` and `manifests/<hex>`, named by their digests, and for
 * each host one small mutable pointer `hosts/<id>`, and `status/<id>` where the host leaves its reports.
 * Whoever reads checks digests, names and fences, so that a damaged, truncated or foreign object is
 * found out and changes nothing.
 */
import { constants, gunzipSync, gzipSync } from "node:zlib";
import { z } from "zod";
import { digestOf, manifestDigestOf, type Digest } from "../protocol/digest.ts";
import { formatFence, parseFence, type Fence } from "../protocol/fence.ts";
import { isStateShallow } from "../protocol/host-state.ts";
import { digestPattern, limits } from "../protocol/limits.ts";
import { syncRequestSchema, type OfferedConfig } from "../protocol/sync.ts";

/** What one host should hold, and when it should look again. */
export interface HostPointer {
  readonly cluster: string;
  readonly host: string;
  readonly fence: Fence;
  readonly view: number;
  /** Slot of the node that wrote it. */
  readonly node: string;
  readonly manifest: Digest;
  readonly nextPollMs: number;
}

/** A host that looks more often than this, or less often, has misread something. */
const nextPollMinMs = 1_000;
export const nextPollMaxMs = 60 * 60_000;

const folderOf = (cluster: string) => `${cluster}/v1`;
const hexOf = (digest: Digest) => digest.slice("sha256:".length);

export const pointerKey = (cluster: string, host: string) => `${folderOf(cluster)}/hosts/${host}`;
export const manifestKey = (cluster: string, digest: Digest) =>
  `${folderOf(cluster)}/manifests/${hexOf(digest)}`;
export const contentKey = (cluster: string, digest: Digest) =>
  `${folderOf(cluster)}/contents/${hexOf(digest)}`;
export const statusKey = (cluster: string, host: string) => `${folderOf(cluster)}/status/${host}`;
/** Written in vain, to find out whether the store honours conditions. */
export const conditionCheckKey = (cluster: string) => `${folderOf(cluster)}/condition-check`;

const pointerSchema = z.object({
  cluster: z.string(),
  host: z.string().max(limits.hostIdCharsMax),
  fence: z.string().max(64),
  view: z.string().regex(/^(?:0|[1-9]\d{0,15})$/),
  node: z.string().max(limits.hostIdCharsMax),
  manifest: z.string().regex(digestPattern),
  nextPollMs: z.int().min(0),
});

export function encodePointer(pointer: HostPointer): Uint8Array {
  const { cluster, host, fence, view, node, manifest, nextPollMs } = pointer;
  const texts = { fence: formatFence(fence), view: String(view) };
  return Buffer.from(JSON.stringify({ cluster, host, ...texts, node, manifest, nextPollMs }));
}

/** The pointer of `host`, or why the bytes are none. */
export function decodePointer(
  bytes: Uint8Array,
  expected: { readonly cluster: string; readonly host: string },
): HostPointer | string {
  const parsed = pointerSchema.safeParse(parseJson(bytes));
  if (!parsed.success) return "it is damaged";
  const { cluster, host, view, node, manifest, nextPollMs } = parsed.data;
  const fence = parseFence(parsed.data.fence);
  if (fence === undefined) return "its fence is damaged";
  if (cluster !== expected.cluster) return "it is of another cluster";
  if (host !== expected.host) return "it is of another host";
  return {
    cluster,
    host,
    fence,
    view: Number(view),
    node,
    manifest: manifest as Digest,
    nextPollMs: Math.min(Math.max(nextPollMs, nextPollMinMs), nextPollMaxMs),
  };
}

/** What a host says of itself where no node hears it: its answer to one pointer. */
export interface LeftReport {
  readonly cluster: string;
  readonly host: string;
  /** The agent process that wrote it. */
  readonly boot: string;
  /** Grows with each report that this process leaves. */
  readonly serial: number;
  /** Of the pointer that it answers. */
  readonly fence: Fence;
  readonly manifest: Digest;
  /** As a node would have got it: status and body. */
  readonly status: number;
  readonly reply: object;
}

const leftReportSchema = z.object({
  cluster: z.string(),
  host: z.string().max(limits.hostIdCharsMax),
  boot: z.string().max(64),
  serial: z.string().regex(/^[1-9]\d{0,14}$/),
  fence: z.string().max(64),
  manifest: z.string().regex(digestPattern),
  status: z.int().min(200).max(599),
  reply: z.record(z.string(), z.unknown()),
});

export function encodeStatus(report: LeftReport): Uint8Array {
  const { cluster, host, boot, serial, fence, manifest, status, reply } = report;
  const texts = { serial: String(serial), fence: formatFence(fence) };
  return Buffer.from(JSON.stringify({ cluster, host, boot, ...texts, manifest, status, reply }));
}

/** What `host` left, or why the bytes are no report of it; the reply itself is not looked into. */
export function decodeStatus(
  bytes: Uint8Array,
  expected: { readonly cluster: string; readonly host: string },
): LeftReport | string {
  const parsed = leftReportSchema.safeParse(parseJson(bytes));
  if (!parsed.success) return "it is damaged";
  const { cluster, host, boot, serial, manifest, status, reply } = parsed.data;
  const fence = parseFence(parsed.data.fence);
  if (fence === undefined) return "its fence is damaged";
  if (cluster !== expected.cluster) return "it is of another cluster";
  if (host !== expected.host) return "it is of another host";
  const parts = Object.values(reply).filter((part) => typeof part === "object" && part !== null);
  // Whoever renders it again would run out of stack.
  if (!parts.every((part) => isStateShallow(part))) return "it is too deep";
  const whose = { cluster, host, boot, serial: Number(serial), fence };
  return { ...whose, manifest: manifest as Digest, status, reply };
}

export type ManifestEntry = Pick<OfferedConfig, "name" | "size" | "signature"> & {
  readonly digest: Digest;
};

/** The full form of a sync, without contents. */
export function encodeManifest(manifest: Digest, configs: readonly ManifestEntry[]): Uint8Array {
  return Buffer.from(JSON.stringify({ manifest, configs }));
}

/** The configs of a manifest object; undefined where its bytes are not those of `expected`. */
export function decodeManifest(
  bytes: Uint8Array,
  expected: Digest,
): readonly ManifestEntry[] | undefined {
  const parsed = syncRequestSchema.safeParse(parseJson(bytes));
  const configs = parsed.data?.configs;
  if (configs === undefined || manifestDigestOf(configs) !== expected) return undefined;
  return configs.map(({ name, digest, size, signature }) => ({
    name,
    digest: digest as Digest,
    size,
    ...(signature === undefined ? {} : { signature }),
  }));
}

const gzipFromBytes = 1024;

/** As stored: gzip where that is smaller. */
export function encodeContent(content: Uint8Array): Uint8Array {
  if (content.length < gzipFromBytes) return content;
  // On the event loop, once a content: 8 to 15 ms for one MiB at this level.
  const packed = gzipSync(content, { level: constants.Z_BEST_SPEED });
  return packed.length < content.length ? packed : content;
}

/** The bytes with this digest, stored plain or as gzip: the digest decides. Undefined: damaged. */
export function decodeContent(bytes: Uint8Array, expected: Digest): Uint8Array | undefined {
  if (bytes.length <= limits.contentBytesMax && digestOf(bytes) === expected) return bytes;
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return undefined;
  try {
    const content = gunzipSync(bytes, { maxOutputLength: limits.contentBytesMax });
    return digestOf(content) === expected ? content : undefined;
  } catch {
    // Cut off or grown beyond any content: damaged like every other wrong byte.
    return undefined;
  }
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch {
    // Not JSON is one of many ways of being damaged.
    return undefined;
  }
}
