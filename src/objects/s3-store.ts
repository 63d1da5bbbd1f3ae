/**
 * Objects in S3, or in a store that speaks its protocol and honours If-Match and If-None-Match on
 * PutObject (S3 itself has both since November 2024).
 *
 * One attempt a call and a deadline that covers everything from credentials to the last byte, like
 * the client of the table (dynamodb-client.ts). Foreign errors are translated here. A 403 for an
 * object that is not there means that the right to list the bucket is missing: S3 then does not say
 * what exists.
 */
import {
  GetObjectCommand,
  PutObjectCommand,
  S3Client,
  type GetObjectCommandOutput,
} from "@aws-sdk/client-s3";
import type { Clock } from "../kernel/clock.ts";
import { CoxswainError, messageOf } from "../kernel/errors.ts";
import {
  assertKey,
  type ObjectRead,
  type ObjectStore,
  type PutOutcome,
  type ReadOptions,
  type WriteOptions,
} from "./object-store.ts";

export interface S3Options {
  readonly bucket: string;
  /** Without slashes at the ends; may be empty. */
  readonly prefix: string;
  /** AWS region; without one the SDK looks in its usual places. */
  readonly region?: string | undefined;
  /** URL of a server that speaks S3; AWS without one. */
  readonly endpoint?: string | undefined;
  /** Credentials; without them the SDK looks in its usual places. */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string };
}

const requestTimeoutMs = 5_000;
const connectTimeoutMs = 2_000;
const socketsMax = 64;

/** Waiting for a socket is what `socketsMax` is for; the SDK would warn on the console. */
const quiet = { trace() {}, debug() {}, info() {}, warn() {}, error() {} };

export class S3Store implements ObjectStore {
  readonly #client: S3Client;
  readonly #clock: Clock;
  readonly #bucket: string;
  readonly #prefix: string;

  constructor({ bucket, prefix, region, endpoint, credentials }: S3Options, clock: Clock) {
    this.#clock = clock;
    this.#bucket = bucket;
    this.#prefix = prefix === "" ? "" : `${prefix}/`;
    const agent = { keepAlive: true, maxSockets: socketsMax };
    this.#client = new S3Client({
      maxAttempts: 1,
      // Other servers than S3 seldom know checksums in trailers; contents are checked by digest anyway.
      requestChecksumCalculation: "WHEN_REQUIRED",
      responseChecksumValidation: "WHEN_REQUIRED",
      ...(region !== undefined && { region }),
      ...(endpoint !== undefined && { endpoint, forcePathStyle: true }),
      ...(credentials !== undefined && { credentials }),
      requestHandler: {
        connectionTimeout: connectTimeoutMs,
        httpAgent: agent,
        httpsAgent: agent,
        logger: quiet,
      },
    });
  }

  async get(key: string, { bytesMax, ifNoneMatch, signal }: ReadOptions): Promise<ObjectRead> {
    const command = new GetObjectCommand({
      ...this.#at(key),
      ...(ifNoneMatch !== undefined && ifNoneMatch !== "" && { IfNoneMatch: ifNoneMatch }),
    });
    try {
      return await this.#withDeadline(signal, async (abortSignal) => {
        const answer = await this.#client.send(command, { abortSignal });
        return readBody(answer, bytesMax);
      });
    } catch (error) {
      signal?.throwIfAborted();
      const status = statusOf(error);
      if (status === 304) return { kind: "notModified" };
      if (status === 404 && nameOf(error) !== "NoSuchBucket") return { kind: "missing" };
      throw this.#failure("read", key, error);
    }
  }

  async put(
    key: string,
    bytes: Uint8Array,
    { condition, signal }: WriteOptions = {},
  ): Promise<PutOutcome> {
    const command = new PutObjectCommand({
      ...this.#at(key),
      Body: bytes,
      ContentLength: bytes.length,
      ...(condition?.kind === "ifAbsent" && { IfNoneMatch: "*" }),
      ...(condition?.kind === "ifMatch" && { IfMatch: condition.etag }),
    });
    try {
      await this.#withDeadline(signal, (abortSignal) =>
        this.#client.send(command, { abortSignal }),
      );
      return { kind: "written" };
    } catch (error) {
      signal?.throwIfAborted();
      if (condition !== undefined && isRefused(error)) return { kind: "conditionFailed" };
      throw this.#failure("write", key, error);
    }
  }

  close(): void {
    this.#client.destroy();
  }

  #at(key: string) {
    assertKey(key);
    return { Bucket: this.#bucket, Key: this.#prefix + key };
  }

  async #withDeadline<Value>(
    signal: AbortSignal | undefined,
    work: (signal: AbortSignal) => Promise<Value>,
  ): Promise<Value> {
    const deadline = new AbortController();
    const cancel = this.#clock.after(requestTimeoutMs, () => {
      deadline.abort(new Error(`no answer within ${requestTimeoutMs} ms`));
    });
    const signals = signal === undefined ? [deadline.signal] : [signal, deadline.signal];
    try {
      return await work(AbortSignal.any(signals));
    } catch (error) {
      throw deadline.signal.aborted ? deadline.signal.reason : error;
    } finally {
      cancel();
    }
  }

  #failure(verb: string, key: string, cause: unknown): CoxswainError {
    const status = statusOf(cause);
    const isDenied =
      status === 401 || status === 403 || nameOf(cause) === "CredentialsProviderError";
    return new CoxswainError(
      isDenied ? "OBJECTS_DENIED" : "OBJECTS_UNAVAILABLE",
      `Cannot ${verb} object ${this.#prefix}${key} in bucket ${this.#bucket}: ${messageOf(cause)}`,
      { cause },
    );
  }
}

async function readBody(
  { Body, ETag, ContentLength = 0 }: GetObjectCommandOutput,
  bytesMax: number,
): Promise<ObjectRead> {
  if (Body === undefined) return { kind: "value", bytes: new Uint8Array(), etag: ETag ?? "" };
  const chunks: Uint8Array[] = [];
  let length = 0;
  const stream = Body as AsyncIterable<Uint8Array> & { destroy(): void };
  if (ContentLength <= bytesMax) {
    for await (const chunk of stream) {
      length += chunk.length;
      if (length > bytesMax) break;
      chunks.push(chunk);
    }
  }
  if (Math.max(length, ContentLength) > bytesMax) {
    stream.destroy();
    return { kind: "tooLarge" };
  }
  return { kind: "value", bytes: Buffer.concat(chunks), etag: ETag ?? "" };
}

/** 412, 409 for two writes at once, and 404 for an object that is gone. */
function isRefused(error: unknown): boolean {
  const status = statusOf(error);
  return status === 412 || status === 409 || (status === 404 && nameOf(error) !== "NoSuchBucket");
}

function statusOf(error: unknown): number | undefined {
  const metadata = error instanceof Error && "$metadata" in error ? error.$metadata : undefined;
  const { httpStatusCode } = (metadata ?? {}) as { httpStatusCode?: number };
  return httpStatusCode;
}

const nameOf = (error: unknown) => (error instanceof Error ? error.name : "");
