/**
 * HTTP/1.1 exchanges over one Duplex, one after the other: what a push needs and nothing more.
 *
 * A request is written whole, its response read by the strict parser. The connection may carry the
 * next exchange only if nothing is left over on either side: no unsent request bytes, no bytes
 * behind the response, no wish of the host to close. Bytes or an end on an idle connection close
 * it. Whose Duplex it is (a socket of ours, TLS, one that a host opened) does not matter here.
 */
import assert from "node:assert/strict";
import type { Duplex } from "node:stream";
import { gunzipSync } from "node:zlib";
import { messageOf } from "../kernel/errors.ts";
import { limits } from "../protocol/limits.ts";
import { ResponseParser, type HttpResponse, type ParseVerdict } from "./response-parser.ts";
import { classOfError } from "./transport-errors.ts";
import type { ExchangeRequest, ExchangeResult, FailureClass } from "./transport.ts";

/** Who uses a connection; called synchronously, after which the connection may be used again. */
export interface HttpConnectionUser {
  /** The exchange under way has its result. `reuse` undefined: the connection is closed. */
  onResult(result: ExchangeResult, reuse: Reuse | undefined): void;
  /** The connection ended with no exchange under way. */
  onClosed(error: Error | undefined): void;
}

export interface Reuse {
  /** How long the host keeps the connection, where it says so. */
  readonly keepAliveMs: number | undefined;
}

/**
 * Up to this many bytes a body is written as one text with its head: measured, a write of two pieces costs
 * more. Node takes a text of up to 16 KiB from its stack.
 */
const oneWriteBytesMax = 8 * 1024;

export class HttpConnection {
  readonly #duplex: Duplex;
  readonly #user: HttpConnectionUser;
  /** Of the exchange under way. */
  #parser: ResponseParser | undefined = undefined;
  #isClosed = false;

  /**
   * From now on `duplex` is read and, on any trouble, destroyed. Where it is `fed`, whoever made it reads, and
   * calls `feed`; ends and errors are still events.
   */
  constructor(duplex: Duplex, user: HttpConnectionUser, how: "read" | "fed" = "read") {
    this.#duplex = duplex;
    this.#user = user;
    if (how === "read") duplex.on("data", (bytes: Buffer) => this.feed(bytes));
    duplex.on("end", () => this.#onEnd());
    duplex.on("error", (error: Error) => this.#onBroken(error));
    duplex.on("close", () => this.#onBroken(undefined));
  }

  /** Writes one request; `head` as `requestHead` made it. The connection must be idle. */
  send(head: string, body: Buffer | undefined): void {
    assert(this.#parser === undefined && !this.#isClosed, "Expected an idle connection");
    this.#parser = new ResponseParser(limits.syncReplyBytesMax);
    if (body === undefined || body.length <= oneWriteBytesMax) {
      this.#duplex.write(body === undefined ? head : head + textOf(body), "latin1");
      return;
    }
    this.#duplex.cork();
    this.#duplex.write(head, "latin1");
    this.#duplex.write(body);
    this.#duplex.uncork();
  }

  /** Closes the connection at once; nobody is told. */
  destroy(): void {
    this.#isClosed = true;
    this.#duplex.destroy();
  }

  /** Takes the next bytes, whose memory may be used anew afterwards. */
  feed(bytes: Buffer): void {
    if (this.#isClosed) return;
    if (this.#parser === undefined) this.#onBroken(undefined);
    else this.#onVerdict(this.#parser.feed(bytes));
  }

  #onEnd(): void {
    if (this.#isClosed) return;
    if (this.#parser !== undefined) this.#onVerdict(this.#parser.end());
    // Whatever was complete is reported; what is still under way ends here.
    this.#onBroken(undefined);
  }

  #onVerdict(verdict: ParseVerdict): void {
    if (verdict.kind === "more") return;
    if (verdict.kind === "invalid") {
      this.#finish(failed("protocol", verdict.reason, true), undefined);
      return;
    }
    const { response, restBytes } = verdict;
    const isReusable = response.isKeepAlive && restBytes === 0 && this.#duplex.writableLength === 0;
    this.#finish(resultOf(response), isReusable ? response : undefined);
  }

  #onBroken(error: Error | undefined): void {
    if (this.#isClosed) return;
    if (this.#parser === undefined) {
      this.destroy();
      this.#user.onClosed(error);
      return;
    }
    const failure = error === undefined ? "ambiguous" : classOfError(error, true);
    const message = error === undefined ? "closed before the reply was complete" : error.message;
    this.#finish(failed(failure, message, true), undefined);
  }

  #finish(result: ExchangeResult, reuse: Reuse | undefined): void {
    this.#parser = undefined;
    if (reuse === undefined) this.destroy();
    this.#user.onResult(result, reuse);
  }
}

export function failed(failure: FailureClass, message: string, sent: boolean): ExchangeResult {
  return { kind: "failed", failure, message, sent };
}

const headerNamePattern = /^[\w!#$%&'*+.^`|~-]+$/;
const headerValuePattern = /^[\t\x20-\x7e\x80-\xff]*$/;
const pathPattern = /^\/[\x21-\x7e]*$/;
/** Of each header the value that was found well-formed last: most are the same with the next request. */
const lastValues = new Map<string, string>();
const lastValuesMax = 32;

/** The head of a POST, or why it cannot be one: nothing that is sent may begin a new line. */
export function requestHead(
  request: Pick<ExchangeRequest, "path" | "headers" | "body">,
  host: string,
): { readonly head: string } | { readonly reason: string } {
  const { path, headers, body } = request;
  if (!pathPattern.test(path)) return { reason: "the path is malformed" };
  let head = `POST ${path} HTTP/1.1\r\nhost: ${host}\r\n`;
  for (const name in headers) {
    const value = headers[name] ?? "";
    if (lastValues.get(name) !== value) {
      if (!headerNamePattern.test(name)) return { reason: "a header's name is malformed" };
      if (!headerValuePattern.test(value)) return { reason: `the value of ${name} is malformed` };
      if (lastValues.size < lastValuesMax || lastValues.has(name)) lastValues.set(name, value);
    }
    head += `${name}: ${value}\r\n`;
  }
  return { head: `${head}content-length: ${body?.length ?? 0}\r\n\r\n` };
}

let lastBody: Buffer | undefined;
let lastText = "";

/** Hosts of a rollout mostly get one body, one after the other. Bodies do not change. */
function textOf(body: Buffer): string {
  if (body !== lastBody) {
    lastText = body.toString("latin1");
    lastBody = body;
  }
  return lastText;
}

function resultOf(response: HttpResponse): ExchangeResult {
  const { status, contentEncoding, body } = response;
  const retryAfterMs = parseRetryAfter(response.retryAfter);
  if (contentEncoding === undefined || contentEncoding.toLowerCase() === "identity") {
    return { kind: "reply", status, retryAfterMs, body };
  }
  if (contentEncoding.toLowerCase() !== "gzip") {
    return failed("protocol", `reply encoding ${contentEncoding}`, true);
  }
  try {
    const plain = gunzipSync(body, { maxOutputLength: limits.syncReplyBytesMax });
    return { kind: "reply", status, retryAfterMs, body: plain };
  } catch (error) {
    // Damaged, or larger than the limit once decompressed.
    return failed("protocol", `reply cannot be decompressed: ${messageOf(error)}`, true);
  }
}

function parseRetryAfter(value: string | undefined): number | undefined {
  // The date form would need two machines' wall clocks to agree.
  if (value === undefined || !/^\d{1,6}$/.test(value)) return undefined;
  return Number(value) * 1_000;
}
