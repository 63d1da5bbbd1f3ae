/**
 * Request bodies, rendered and compressed once per content and not per host.
 *
 * The short form names the manifest. The full form lists its configs, with the contents of those
 * that the host is believed to lack; what is not sent is asked for by a `missing` answer, so a wrong
 * belief costs a round trip and never a wrong result. Contents that do not fit into one request
 * travel in several. Bodies and contents are cached by bytes; equal needs give the same Buffer.
 */
import { constants, gzipSync } from "node:zlib";
import type { Digest } from "../protocol/digest.ts";
import { limits } from "../protocol/limits.ts";
import type { Manifest } from "../protocol/manifest.ts";
import { ByteLru } from "./byte-lru.ts";
import type { HeldState } from "./held-state.ts";
import { isParkedFor, type HostStatus } from "./host-status.ts";
import type { PushForm } from "./outcome.ts";

export interface SyncBody {
  readonly form: PushForm;
  readonly bytes: Buffer;
  readonly isGzip: boolean;
}

/** Which contents a full form carries. */
export type Include =
  /** First contact: all of them where they are small, none where the host should ask. */
  | { readonly kind: "smallOrNone" }
  /** These names, as far as they fit. */
  | { readonly kind: "names"; readonly names: readonly string[] };

export type BodyPlan =
  | { readonly form: "short" }
  | { readonly form: "full"; readonly include: Include };

const shortPlan: BodyPlan = { form: "short" };
const firstContactPlan: BodyPlan = { form: "full", include: { kind: "smallOrNone" } };

/** What to send to a host that should hold `manifest`. */
function planBody(status: HostStatus, manifest: Manifest): BodyPlan {
  if (status.isQuarantined || isParkedFor(status, manifest.digest)) return shortPlan;
  // Its check may take longer than a push may: sent again it would begin again, and never be heard.
  if (status.unanswered === manifest.digest) return shortPlan;
  const { asked, held } = status;
  if (held === undefined) return firstContactPlan;
  if (held.manifest === manifest.digest) return shortPlan;
  if (asked !== undefined) return { form: "full", include: { kind: "names", names: asked } };
  if (held.configs === undefined) return firstContactPlan;
  const digests = new Map(held.configs.map(({ name, digest }) => [name, digest]));
  const names = manifest.configs
    .filter(({ name, digest }) => digests.get(name) !== digest)
    .map(({ name }) => name);
  return { form: "full", include: { kind: "names", names } };
}

export interface SyncBodyOptions {
  /** Bytes of rendered bodies and of contents kept in memory, each. */
  readonly cacheBytesMax: number;
  /** Contents up to this many bytes are sent to a host of which nothing is known. */
  readonly firstContactBytesMax: number;
}

/**
 * Compression is synchronous, because work on other threads ends in an order that no simulator can
 * repeat; what it takes is bounded instead. One MiB takes 27 to 51 ms at the usual level and 8 to 15 ms
 * at the fastest, for a fifth more bytes.
 */
const gzipFromBytes = 1024;
const gzipFastFromBytes = 64 * 1024;
const gzipUpToBytes = 4 * 1024 * 1024;
/** Room for the list of configs itself. */
const contentBytesMax = limits.syncRequestBytesMax - 256 * 1024;

export class SyncBodies {
  readonly #contents: (digest: Digest) => Promise<Uint8Array>;
  readonly #options: SyncBodyOptions;
  readonly #bodies: ByteLru<SyncBody>;
  readonly #loaded: ByteLru<Uint8Array>;
  readonly #rendering = new Map<string, Promise<SyncBody>>();
  /** The last host's needs and their answer: hosts of one rollout mostly have the same. */
  #lastHeld: HeldState["configs"] | "other";
  #lastManifest: Manifest | undefined;
  #lastBody: SyncBody | undefined;

  constructor(contents: (digest: Digest) => Promise<Uint8Array>, options: SyncBodyOptions) {
    this.#contents = contents;
    this.#options = options;
    this.#bodies = new ByteLru(options.cacheBytesMax);
    this.#loaded = new ByteLru(options.cacheBytesMax);
  }

  /**
   * What to send to a host that should hold `manifest`: at once where it is known, else when it is
   * rendered. Rejects as `contents` does.
   */
  bodyFor(status: HostStatus, manifest: Manifest): SyncBody | Promise<SyncBody> {
    const held = status.asked === undefined ? (status.held?.configs ?? "other") : "other";
    const isRepeated = held === this.#lastHeld && manifest === this.#lastManifest;
    const isHeld = status.held?.manifest === manifest.digest;
    const isOpen = status.isQuarantined || status.parked || status.unanswered;
    const isPlain = held !== "other" && !isHeld && !isOpen;
    if (isPlain && isRepeated && this.#lastBody !== undefined) return this.#lastBody;
    const body = this.#body(manifest, planBody(status, manifest));
    if (isPlain && !(body instanceof Promise)) {
      this.#lastHeld = held;
      this.#lastManifest = manifest;
      this.#lastBody = body;
    }
    return body;
  }

  #body(manifest: Manifest, plan: BodyPlan): SyncBody | Promise<SyncBody> {
    const key = keyOf(manifest, plan);
    const known = this.#bodies.get(key);
    if (known !== undefined) return known;
    if (plan.form === "short") {
      const bytes = Buffer.from(JSON.stringify({ manifest: manifest.digest }));
      return this.#keep(key, { form: "short", bytes, isGzip: false });
    }
    const started = this.#rendering.get(key);
    if (started !== undefined) return started;
    const rendering = this.#renderFull(key, manifest, plan.include).finally(() =>
      this.#rendering.delete(key),
    );
    this.#rendering.set(key, rendering);
    return rendering;
  }

  #keep(key: string, body: SyncBody): SyncBody {
    this.#bodies.set(key, body, body.bytes.length + key.length);
    return body;
  }

  async #renderFull(key: string, manifest: Manifest, include: Include): Promise<SyncBody> {
    const contents = new Map<string, Uint8Array>();
    for (const { name, digest } of manifest.configs) contents.set(name, await this.#load(digest));
    const names = this.#namesToSend(contents, include);
    let contentBytes = 0;
    const configs = manifest.configs.map(({ name, digest }) => {
      const bytes = contents.get(name) ?? new Uint8Array();
      const offered = { name, digest, size: bytes.length };
      if (!names.has(name)) return offered;
      const encoded = encode(bytes);
      contentBytes += encoded.jsonBytes;
      // What does not fit is asked for by the host, and fits into the next request.
      if (contentBytes > contentBytesMax) return offered;
      return { ...offered, content: encoded.content, encoding: encoded.encoding };
    });
    const plain = Buffer.from(JSON.stringify({ manifest: manifest.digest, configs }));
    return this.#keep(key, compress(plain));
  }

  #namesToSend(contents: ReadonlyMap<string, Uint8Array>, include: Include): ReadonlySet<string> {
    if (include.kind === "names") return new Set(include.names);
    let bytes = 0;
    for (const content of contents.values()) bytes += content.length;
    return bytes <= this.#options.firstContactBytesMax ? new Set(contents.keys()) : new Set();
  }

  async #load(digest: Digest): Promise<Uint8Array> {
    const known = this.#loaded.get(digest);
    if (known !== undefined) return known;
    const content = await this.#contents(digest);
    this.#loaded.set(digest, content, content.length + digest.length);
    return content;
  }
}

function keyOf(manifest: Manifest, plan: BodyPlan): string {
  if (plan.form === "short") return `s ${manifest.digest}`;
  if (plan.include.kind === "smallOrNone") return `f ${manifest.digest}`;
  return `n ${manifest.digest} ${plan.include.names.join(" ")}`;
}

interface Encoded {
  readonly content: string;
  readonly encoding: "utf8" | "base64";
  readonly jsonBytes: number;
}

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Text as text, unless it is no UTF-8 or escaping makes it longer than base64. */
function encode(bytes: Uint8Array): Encoded {
  const base64Bytes = Math.ceil(bytes.length / 3) * 4 + 2;
  const text = decodeUtf8(bytes);
  if (text !== undefined) {
    const jsonBytes = Buffer.byteLength(JSON.stringify(text));
    if (jsonBytes <= Math.max(base64Bytes, 64))
      return { content: text, encoding: "utf8", jsonBytes };
  }
  const content = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64");
  return { content, encoding: "base64", jsonBytes: base64Bytes };
}

function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return strictUtf8.decode(bytes);
  } catch {
    // Not text: it travels as base64.
    return undefined;
  }
}

function compress(plain: Buffer): SyncBody {
  if (plain.length > gzipFromBytes && plain.length <= gzipUpToBytes) {
    const isLarge = plain.length > gzipFastFromBytes;
    const packed = isLarge ? gzipSync(plain, { level: constants.Z_BEST_SPEED }) : gzipSync(plain);
    if (packed.length < plain.length && packed.length <= limits.syncCompressedBytesMax) {
      return { form: "full", bytes: packed, isGzip: true };
    }
  }
  return { form: "full", bytes: plain, isGzip: false };
}
