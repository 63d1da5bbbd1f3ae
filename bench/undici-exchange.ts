/**
 * One exchange over undici: the handler whose `on…` methods undici calls, and its deadlines.
 *
 * It settles exactly once, whatever comes first: the reply, an error, a deadline or an abort. Reply
 * bodies are bounded on the wire by the Client and here once more after decompression.
 */
import { gunzipSync } from "node:zlib";
import type { Dispatcher } from "undici";
import { messageOf } from "../src/kernel/errors.ts";
import { limits } from "../src/protocol/limits.ts";
import { failed } from "../src/push/http-exchange.ts";
import { classOfError } from "../src/push/transport-errors.ts";
import type { ExchangeRequest, ExchangeResult, FailureClass } from "../src/push/transport.ts";

/** Told when an exchange has its result. `isReusable` false: the connection's state is unknown. */
export interface ExchangeOwner {
  release(exchange: UndiciExchange, isReusable: boolean): void;
}

/** One request and its reply; undici calls its `on…` methods. */
export class UndiciExchange implements Dispatcher.DispatchHandler {
  readonly dispatchOptions: Dispatcher.DispatchOptions;
  isSent = false;
  readonly #owner: ExchangeOwner;
  readonly #resolve: (result: ExchangeResult) => void;
  readonly #connectByMs: number;
  readonly #dueMs: number;
  #isSettled = false;
  #status = 0;
  #retryAfterMs: number | undefined = undefined;
  #encoding: string | undefined = undefined;
  #body: Buffer | undefined = undefined;
  #more: Buffer[] | undefined = undefined;
  #unlisten: (() => void) | undefined = undefined;

  constructor(
    owner: ExchangeOwner,
    request: ExchangeRequest,
    atMs: number,
    connectTimeoutMs: number,
    resolve: (result: ExchangeResult) => void,
  ) {
    this.#owner = owner;
    this.#resolve = resolve;
    this.#dueMs = atMs + request.deadlineMs;
    this.#connectByMs = atMs + Math.min(connectTimeoutMs, request.deadlineMs);
    this.dispatchOptions = {
      path: request.path,
      method: "POST",
      // Nothing is ever sent behind this request on its connection.
      blocking: false,
      headers: request.headers,
      body: request.body ?? null,
    };
  }

  abortWith(signal: AbortSignal): void {
    const onAbort = () => this.fail(this.isSent ? "ambiguous" : "local", "cancelled");
    signal.addEventListener("abort", onAbort, { once: true });
    this.#unlisten = () => signal.removeEventListener("abort", onAbort);
  }

  checkDeadline(atMs: number): void {
    if (atMs >= this.#dueMs) {
      if (this.isSent) this.fail("ambiguous", "no complete reply before the deadline");
      else this.fail("timeout", "not sent before the deadline");
    } else if (!this.isSent && atMs >= this.#connectByMs) {
      this.fail("timeout", "no connection in time");
    }
  }

  onRequestStart(): void {
    this.isSent = true;
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    if (status < 200) return;
    this.#status = status;
    this.#retryAfterMs = parseRetryAfter(headers["retry-after"]);
    this.#encoding = headers["content-encoding"]?.toString().toLowerCase();
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#body === undefined) this.#body = chunk;
    else (this.#more ??= [this.#body]).push(chunk);
  }

  onResponseEnd(): void {
    const body = this.#more === undefined ? this.#body : Buffer.concat(this.#more);
    this.#settle(decode(this.#status, this.#retryAfterMs, this.#encoding, body), true);
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    const failure = classOfError(error, this.isSent);
    this.#settle(failed(failure, messageOf(error), this.isSent), false);
  }

  fail(failure: FailureClass, message: string): void {
    this.#settle(failed(failure, message, this.isSent), false);
  }

  #settle(result: ExchangeResult, isReusable: boolean): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.#unlisten?.();
    this.#resolve(result);
    this.#owner.release(this, isReusable);
  }
}

function parseRetryAfter(value: string | string[] | undefined): number | undefined {
  // The date form would need two machines' wall clocks to agree.
  if (typeof value !== "string" || !/^\d{1,6}$/.test(value)) return undefined;
  return Number(value) * 1_000;
}

const noBytes = Buffer.alloc(0);

function decode(
  status: number,
  retryAfterMs: number | undefined,
  encoding: string | undefined,
  body: Buffer = noBytes,
): ExchangeResult {
  if (encoding === undefined || encoding === "identity") {
    return { kind: "reply", status, retryAfterMs, body };
  }
  if (encoding !== "gzip") return failed("protocol", `reply encoding ${encoding}`, true);
  try {
    const plain = gunzipSync(body, { maxOutputLength: limits.syncReplyBytesMax });
    return { kind: "reply", status, retryAfterMs, body: plain };
  } catch (error) {
    // Damaged, or larger than the limit once decompressed.
    return failed("protocol", `reply cannot be decompressed: ${messageOf(error)}`, true);
  }
}
