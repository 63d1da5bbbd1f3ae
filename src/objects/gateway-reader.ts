/**
 * Objects behind a plain web server: `GET` with If-None-Match, nothing else. For agents that should
 * have neither credentials nor an SDK: a bucket published read-only, a CDN, a static file server.
 *
 * Redirects are not followed and answers not decompressed: what the digests cover is what was stored.
 */
import { Agent, request } from "undici";
import type { Clock } from "../kernel/clock.ts";
import { CoxswainError, messageOf } from "../kernel/errors.ts";
import { assertKey, type ObjectRead, type ObjectReader, type ReadOptions } from "./object-store.ts";

const requestTimeoutMs = 5_000;
/** The polls are far apart: a connection is kept for the few requests of one of them. */
const keepAliveMs = 4_000;

export class GatewayReader implements ObjectReader {
  readonly #baseUrl: string;
  readonly #clock: Clock;
  readonly #dispatcher = new Agent({ connections: 2, keepAliveTimeout: keepAliveMs });

  /** `baseUrl` is what comes before the cluster's name, without a slash at its end. */
  constructor(baseUrl: string, clock: Clock) {
    this.#baseUrl = baseUrl;
    this.#clock = clock;
  }

  async get(key: string, { bytesMax, ifNoneMatch, signal }: ReadOptions): Promise<ObjectRead> {
    assertKey(key);
    const url = `${this.#baseUrl}/${key}`;
    const deadline = new AbortController();
    const cancel = this.#clock.after(requestTimeoutMs, () => {
      deadline.abort(new Error(`no answer within ${requestTimeoutMs} ms`));
    });
    const signals = signal === undefined ? [deadline.signal] : [signal, deadline.signal];
    try {
      return await this.#request(url, bytesMax, ifNoneMatch, AbortSignal.any(signals));
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof CoxswainError) throw error;
      throw unavailable(url, deadline.signal.aborted ? deadline.signal.reason : error);
    } finally {
      cancel();
    }
  }

  close(): void {
    // Nothing is under way that its caller has not aborted.
    void this.#dispatcher.destroy();
  }

  async #request(
    url: string,
    bytesMax: number,
    ifNoneMatch: string | undefined,
    signal: AbortSignal,
  ): Promise<ObjectRead> {
    const { statusCode, headers, body } = await request(url, {
      signal,
      dispatcher: this.#dispatcher,
      headers: {
        "accept-encoding": "identity",
        ...(ifNoneMatch !== undefined && ifNoneMatch !== "" && { "if-none-match": ifNoneMatch }),
      },
    });
    if (statusCode !== 200) {
      await body.dump({ limit: 64 * 1024 });
      return unlessRefused(url, statusCode);
    }
    const chunks: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of body as AsyncIterable<Uint8Array>) {
      length += chunk.length;
      if (length > bytesMax) return { kind: "tooLarge" };
      chunks.push(chunk);
    }
    const { etag } = headers;
    const bytes = Buffer.concat(chunks);
    return { kind: "value", bytes, etag: typeof etag === "string" ? etag : "" };
  }
}

function unlessRefused(url: string, status: number): ObjectRead {
  if (status === 304) return { kind: "notModified" };
  if (status === 404 || status === 410) return { kind: "missing" };
  if (status !== 401 && status !== 403) throw unavailable(url, new Error(`status ${status}`));
  throw new CoxswainError("OBJECTS_DENIED", `Cannot read object ${url}: status ${status}`);
}

function unavailable(url: string, cause: unknown): CoxswainError {
  const message = `Cannot read object ${url}: ${messageOf(cause)}`;
  return new CoxswainError("OBJECTS_UNAVAILABLE", message, { cause });
}
