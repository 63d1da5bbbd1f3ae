/**
 * Reading a sync request: everything that can be refused before the host's state matters.
 *
 * `screen` looks at headers alone, so that a server can refuse a stranger before it reads a body.
 * `readBody` checks the shape, and that the list is the manifest it claims to be. Both are pure.
 */
import { manifestDigestOf, type Digest } from "../protocol/digest.ts";
import { parseFence, type Fence } from "../protocol/fence.ts";
import type { HostMode } from "../protocol/host-mode.ts";
import { idPattern, limits } from "../protocol/limits.ts";
import { syncHeaders, syncRequestSchema, type OfferedConfig } from "../protocol/sync.ts";

/** Header values by lower-case name. */
export type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** One sync, however it came. */
export interface SyncCall {
  readonly headers: Headers;
  readonly body: unknown;
  /** Default: dialled. */
  readonly via?: HostMode;
}

/** A status, a JSON body, and seconds for a Retry-After header where the caller may come back. */
export interface Answer {
  readonly status: number;
  readonly body: object;
  readonly retryAfterSeconds?: number;
}

/** Codes in the `error` object of a refusal (docs/protocol.md lists them). */
export type RefusalCode =
  | "BAD_REQUEST"
  | "WRONG_CLUSTER"
  | "WRONG_HOST"
  | "NOT_FOUND"
  | "METHOD_NOT_ALLOWED"
  | "TOO_LARGE"
  | "UNSUPPORTED_ENCODING"
  | "MANIFEST_MISMATCH"
  | "FENCE_GOES_BACK"
  | "FENCE_REUSED"
  | "BUSY"
  | "STOPPING"
  | "INTERNAL";

export interface SyncContext {
  readonly node: string;
  readonly view: number;
  readonly fence: Fence;
}

interface Refused {
  readonly kind: "refused";
  readonly answer: Answer;
}

export type Screened = { readonly kind: "passed"; readonly context: SyncContext } | Refused;

export interface FullOrShort {
  readonly manifest: Digest;
  /** Sorted by name; undefined in the short form. */
  readonly configs: readonly (OfferedConfig & { readonly digest: Digest })[] | undefined;
}

export type ReadBody = { readonly kind: "read"; readonly request: FullOrShort } | Refused;

const viewPattern = /^(0|[1-9]\d{0,15})$/;

export function refusal(status: number, code: RefusalCode, message: string): Answer {
  return { status, body: { error: { code, message } } };
}

function refused(status: number, code: RefusalCode, message: string): Refused {
  return { kind: "refused", answer: refusal(status, code, message) };
}

/** Checks the five headers of a sync against who this host is. */
export function screen(
  headers: Headers,
  identity: { readonly cluster: string; readonly host: string },
): Screened {
  const { cluster, host, node, view, fence: fenceText } = headerTexts(headers);
  const missing = Object.entries({ cluster, host, node, view, fence: fenceText }).find(
    ([, value]) => value === undefined,
  );
  if (missing !== undefined) {
    const name = syncHeaders[missing[0] as keyof typeof syncHeaders];
    return refused(400, "BAD_REQUEST", `Expected header \`${name}\` once, got none`);
  }
  if (cluster !== identity.cluster) {
    return refused(
      403,
      "WRONG_CLUSTER",
      `Expected cluster \`${identity.cluster}\`, got ${shown(cluster)}`,
    );
  }
  if (host !== identity.host) {
    return refused(421, "WRONG_HOST", `Expected host \`${identity.host}\`, got ${shown(host)}`);
  }
  if (node === undefined || !idPattern.test(node) || node.length > limits.hostIdCharsMax) {
    return refused(400, "BAD_REQUEST", `Expected \`${syncHeaders.node}\` to be a slot name`);
  }
  const fence = parseFence(fenceText ?? "");
  if (fence === undefined) {
    return refused(
      400,
      "BAD_REQUEST",
      `Expected \`${syncHeaders.fence}\` to be three counters like 1.402.9, got ${shown(fenceText)}`,
    );
  }
  if (!viewPattern.test(view ?? "") || !Number.isSafeInteger(Number(view))) {
    return refused(
      400,
      "BAD_REQUEST",
      `Expected \`${syncHeaders.view}\` to be a decimal number, got ${shown(view)}`,
    );
  }
  return { kind: "passed", context: { node, view: Number(view), fence } };
}

/** Checks a parsed JSON body; a full form's list must have the digest it claims. */
export function readBody(body: unknown): ReadBody {
  const parsed = syncRequestSchema.safeParse(body);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const where = issue === undefined || issue.path.length === 0 ? "body" : issue.path.join(".");
    return refused(400, "BAD_REQUEST", `Bad \`${where}\`: ${issue?.message ?? "not a sync"}`);
  }
  const { manifest, configs } = parsed.data;
  if (configs === undefined) {
    return { kind: "read", request: { manifest: manifest as Digest, configs } };
  }
  const sorted = configs.toSorted((left, right) => (left.name < right.name ? -1 : 1));
  const twice = sorted.find((config, index) => sorted[index + 1]?.name === config.name);
  if (twice !== undefined) {
    return refused(400, "BAD_REQUEST", `Expected each name once, got \`${twice.name}\` twice`);
  }
  const actual = manifestDigestOf(sorted);
  if (actual !== manifest) {
    return refused(
      422,
      "MANIFEST_MISMATCH",
      `Expected the listed configs to have the manifest digest ${manifest}, got ${actual}`,
    );
  }
  return {
    kind: "read",
    request: {
      manifest: actual,
      configs: sorted.map((config) => ({ ...config, digest: config.digest as Digest })),
    },
  };
}

function headerTexts(headers: Headers): Record<keyof typeof syncHeaders, string | undefined> {
  const text = (name: string) => {
    const value = headers[name];
    return typeof value === "string" && value !== "" ? value : undefined;
  };
  return {
    cluster: text(syncHeaders.cluster),
    host: text(syncHeaders.host),
    node: text(syncHeaders.node),
    view: text(syncHeaders.view),
    fence: text(syncHeaders.fence),
  };
}

/** A stranger's value, bounded and quoted, for a message. */
function shown(value: string | undefined): string {
  return JSON.stringify((value ?? "").slice(0, 80));
}
