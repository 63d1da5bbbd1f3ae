/**
 * Configs and their releases: immutable contents, named by the sha256 of their bytes.
 *
 * Contents are cut into pieces, each compressed on its own, so that pieces written by two processes
 * with different zlibs still fit together. They are written before the release that names them, and
 * again with every put: that repairs a damaged one and changes nothing else. Releases are ordered by a
 * counter of their config, never by a clock; a put that dies may leave a number unused.
 */
import { deflateRawSync, inflateRawSync } from "node:zlib";
import { CoxswainError, messageOf } from "../kernel/errors.ts";
import { digestOf, type Digest } from "../protocol/digest.ts";
import { configNamePattern, digestPattern, limits } from "../protocol/limits.ts";
import { keys, type Item, type Store } from "../store/store.ts";
import { unknownOutcome, writeTriesMax, writeUntilAnswered } from "./answered-write.ts";
import { forEachBounded } from "./bounded.ts";

/** Piece of content before compression; incompressible bytes grow by less than 1 %. */
const pieceBytesMax = 256 * 1024;
const pageItemsMax = 500;
const pagesMax = 200;
const queryConcurrencyMax = 16;

export interface Release {
  readonly name: string;
  readonly digest: Digest;
  /** Bytes of the content. */
  readonly size: number;
  readonly author: string;
  /** ISO text of the author's clock, for people only. */
  readonly at: string;
  /** Order among the releases of one config. */
  readonly sequence: number;
}

export interface ConfigSummary {
  readonly name: string;
  readonly releaseCount: number;
  /** Undefined where a first put died before its release was written. */
  readonly latest: Release | undefined;
}

/** The releases in one store. */
export class Releases {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /**
   * Publishes `content`; the same content again is the same release. Throws CONFIG_INVALID (name),
   * REQUEST_TOO_LARGE and the store's errors; repeating after any of those is harmless.
   */
  async put(
    name: string,
    content: Uint8Array,
    by: { readonly author: string; readonly atIso: string },
  ): Promise<{ name: string; digest: Digest; size: number; isNew: boolean }> {
    parseConfigName(name);
    const size = content.length;
    if (size > limits.contentBytesMax) {
      throw new CoxswainError(
        "REQUEST_TOO_LARGE",
        `Expected a content of at most ${limits.contentBytesMax} bytes, got ${size}`,
        { details: { size, sizeMax: limits.contentBytesMax } },
      );
    }
    const digest = digestOf(content);
    await this.#writeContent(digest, content);
    if ((await this.get(name, digest)) !== undefined) return { name, digest, size, isNew: false };
    const sequence = await this.#nextSequence(name);
    const isNew = await this.#writeRelease({
      name,
      digest,
      size,
      author: by.author,
      at: by.atIso,
      sequence,
    });
    return { name, digest, size, isNew };
  }

  /** Undefined where the config has no such release. Throws CONFIG_INVALID for a bad name. */
  async get(name: string, digest: string): Promise<Release | undefined> {
    parseConfigName(name);
    const item = await this.#store.get(keys.release(name, digest));
    return item === undefined ? undefined : decodeRelease(name, item);
  }

  /** Like `get`, but throws RELEASE_NOT_FOUND. */
  async require(name: string, digest: string): Promise<Release> {
    const release = await this.get(name, digest);
    if (release !== undefined) return release;
    throw new CoxswainError(
      "RELEASE_NOT_FOUND",
      `Expected a release of config ${name}, got ${digest.slice(0, 80)}`,
      { details: { config: name, digest } },
    );
  }

  /** Newest first. Throws CONFIG_NOT_FOUND where nothing was ever published under the name. */
  async list(name: string): Promise<Release[]> {
    parseConfigName(name);
    if ((await this.#store.get(keys.config(name))) === undefined) {
      throw new CoxswainError("CONFIG_NOT_FOUND", `Expected a known config, got ${name}`, {
        details: { config: name },
      });
    }
    return this.#releasesOf(name);
  }

  /** All configs by name. */
  async listConfigs(): Promise<ConfigSummary[]> {
    const items = await this.#queryAll(keys.config("").pk, "");
    const names = items.map((item) => item.sk);
    const summaries: ConfigSummary[] = [];
    await forEachBounded(names, queryConcurrencyMax, async (name, index) => {
      const releases = await this.#releasesOf(name);
      summaries[index] = { name, releaseCount: releases.length, latest: releases[0] };
    });
    return summaries;
  }

  /** The exact bytes. Throws RELEASE_NOT_FOUND, and RELEASE_DAMAGED where they no longer match. */
  async readContent(digest: string): Promise<Uint8Array> {
    const first = digestPattern.test(digest)
      ? await this.#store.get(keys.content(digest, 0))
      : undefined;
    if (first === undefined) {
      throw new CoxswainError(
        "RELEASE_NOT_FOUND",
        `Expected the digest of a stored content, got ${digest.slice(0, 80)}`,
        { details: { digest } },
      );
    }
    const count = first.attributes["count"];
    if (typeof count !== "number" || !(count >= 1 && count <= pieceCount(limits.contentBytesMax))) {
      throw damaged(digest, `chunk 0 counts ${String(count)} chunks`);
    }
    const others = Array.from({ length: count - 1 }, (_, index) => keys.content(digest, index + 1));
    const rest = others.length === 0 ? [] : await this.#store.getMany(others);
    const content = join(digest, [first, ...rest], count);
    if (digestOf(content) !== digest) throw damaged(digest, "its bytes have another digest");
    return content;
  }

  async #writeContent(digest: Digest, content: Uint8Array): Promise<void> {
    const count = pieceCount(content.length);
    // Chunk 0 last: it is what readers look for first.
    for (let chunk = count - 1; chunk >= 0; chunk--) {
      const piece = content.subarray(chunk * pieceBytesMax, (chunk + 1) * pieceBytesMax);
      const key = keys.content(digest, chunk);
      const attributes = { count, bytes: new Uint8Array(deflateRawSync(piece)) };
      await writeUntilAnswered(`${key.pk}/${key.sk}`, () =>
        this.#store.put({ ...key, attributes }),
      );
    }
  }

  async #nextSequence(name: string): Promise<number> {
    let cause: unknown;
    for (let tries = 0; tries < writeTriesMax; tries++) {
      try {
        return await this.#store.increment(keys.config(name), "sequence", 1);
      } catch (error) {
        // A lost answer costs a number, nothing else.
        if (!(error instanceof CoxswainError) || error.code !== "STORE_UNKNOWN_OUTCOME") {
          throw error;
        }
        cause = error;
      }
    }
    throw unknownOutcome(`the sequence of config ${name}`, cause);
  }

  /** False where another writer published the same content first. */
  async #writeRelease(release: Release): Promise<boolean> {
    const { name, digest, size, author, at, sequence } = release;
    const item = { ...keys.release(name, digest), attributes: { size, author, at, sequence } };
    const outcome = await writeUntilAnswered(`release ${digest} of ${name}`, () =>
      this.#store.put(item, [{ kind: "absent" }]),
    );
    if (outcome === "written") return true;
    // Refused may also mean that an earlier try of this very write landed.
    return (await this.get(name, digest))?.sequence === sequence;
  }

  async #releasesOf(name: string): Promise<Release[]> {
    const items = await this.#queryAll(keys.release(name, "").pk, keys.release(name, "").sk);
    return items
      .map((item) => decodeRelease(name, item))
      .toSorted((left, right) => right.sequence - left.sequence);
  }

  async #queryAll(pk: string, prefix: string): Promise<Item[]> {
    const items: Item[] = [];
    let after: string | undefined;
    for (let pages = 0; pages < pagesMax; pages++) {
      const page = await this.#store.query(pk, {
        prefix,
        limit: pageItemsMax,
        ...(after === undefined ? {} : { after }),
      });
      items.push(...page.items);
      if (page.next === undefined) return items;
      after = page.next;
    }
    throw new CoxswainError(
      "STORE_CORRUPT",
      `Expected at most ${pagesMax * pageItemsMax} items under ${pk}, got more`,
    );
  }
}

/** Throws CONFIG_INVALID. */
export function parseConfigName(name: string): string {
  if (name.length <= limits.configNameCharsMax && configNamePattern.test(name)) return name;
  const rule = `1 to ${limits.configNameCharsMax} letters, digits, ".", "_", "-", in parts joined by "/"`;
  throw new CoxswainError(
    "CONFIG_INVALID",
    `Expected a config name of ${rule}, got ${JSON.stringify(name.slice(0, 140))}`,
    { details: { field: "name", rule, value: name.slice(0, 140) } },
  );
}

function pieceCount(size: number): number {
  return Math.max(1, Math.ceil(size / pieceBytesMax));
}

function join(digest: string, items: readonly Item[], count: number): Uint8Array {
  const bySk = new Map(items.map((item) => [item.sk, item.attributes["bytes"]]));
  const pieces = Array.from({ length: count }, (_, chunk) => {
    const bytes = bySk.get(keys.content(digest, chunk).sk);
    if (!(bytes instanceof Uint8Array)) {
      throw damaged(digest, `chunk ${chunk} of ${count} is missing`);
    }
    try {
      return inflateRawSync(bytes, { maxOutputLength: pieceBytesMax });
    } catch (error) {
      throw damaged(digest, `chunk ${chunk} does not decompress: ${messageOf(error)}`);
    }
  });
  return new Uint8Array(Buffer.concat(pieces));
}

function damaged(digest: string, reason: string): CoxswainError {
  return new CoxswainError(
    "RELEASE_DAMAGED",
    `Expected the content of ${digest} whole: ${reason}`,
    {
      details: { digest, reason },
    },
  );
}

function decodeRelease(name: string, item: Item): Release {
  const { size, author, at, sequence } = item.attributes;
  const digest = item.sk.slice("release#".length);
  const isRelease =
    digestPattern.test(digest) &&
    typeof size === "number" &&
    typeof author === "string" &&
    typeof at === "string" &&
    typeof sequence === "number";
  if (!isRelease) {
    throw new CoxswainError("STORE_CORRUPT", `Expected ${item.pk}/${item.sk} to be a release`, {
      details: { pk: item.pk, sk: item.sk },
    });
  }
  return { name, digest: digest as Digest, size, author, at, sequence };
}
