/**
 * Requests to the API: one total deadline, several addresses, errors as CoxswainError.
 *
 * Addresses are tried in turn, beginning with the one that answered last. What may have been carried
 * out is not sent to a second address unless a repeat is harmless: "timed out" means unknown.
 */
import { Agent, request } from "undici";
import { CoxswainError, errorRegistry, messageOf, type ErrorCode } from "../kernel/errors.ts";
import { errorBodySchema } from "./api-shapes.ts";

const replyBytesMax = 64 * 1024 * 1024;
const connectTimeoutMs = 2_000;
const addressesMax = 16;

export interface ApiRequest {
  readonly method: "GET" | "PUT" | "POST" | "DELETE";
  /** Path and query, from `/v1/` on. */
  readonly path: string;
  readonly body?: string | Uint8Array;
  readonly contentType?: string;
  /** For POST: true where sending it twice does no harm. Other methods always repeat. */
  readonly isRepeatable?: boolean;
  readonly deadlineMs?: number;
}

export interface ApiReply {
  readonly status: number;
  readonly body: Buffer;
  readonly url: string;
}

export interface ApiTransport {
  /** Any reply below 400; throws what the API says otherwise, API_UNREACHABLE without a reply. */
  send(request: ApiRequest): Promise<ApiReply>;
  /** Opens an endless reply; the body ends with `signal` or the connection. */
  open(path: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
  close(): Promise<void>;
}

export interface ApiTransportOptions {
  readonly addresses: readonly string[];
  readonly actor: string;
  readonly deadlineMs: number;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  readonly signal: AbortSignal;
}

/** Base URLs of a comma-separated list; `http://` where no scheme is given. */
export function parseApiAddresses(text: string): string[] {
  const addresses = text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .map((part) => (part.includes("://") ? part : `http://${part}`))
    .map((part) => (URL.canParse(part) ? new URL(part) : undefined));
  const isValid = addresses.every((url) => url !== undefined && /^https?:$/.test(url.protocol));
  if (!isValid || addresses.length === 0 || addresses.length > addressesMax) {
    throw new CoxswainError(
      "OPTION_INVALID",
      `Expected \`--api\` to be 1 to ${addressesMax} URLs such as http://127.0.0.1:7400, joined by commas, got ${JSON.stringify(text)}`,
    );
  }
  return addresses.map((url) => (url?.href ?? "").replace(/\/+$/, ""));
}

export function createApiTransport(options: ApiTransportOptions): ApiTransport {
  const dispatcher = new Agent({
    connect: { timeout: connectTimeoutMs },
    maxResponseSize: replyBytesMax,
    keepAliveTimeout: 1_000,
  });
  let addresses = options.addresses;

  async function attempt(address: string, call: ApiRequest, deadlineMs: number): Promise<ApiReply> {
    const url = address + call.path;
    const signal = AbortSignal.any([
      options.signal,
      AbortSignal.timeout(Math.max(1, Math.ceil(deadlineMs))),
    ]);
    const reply = await request(url, {
      dispatcher,
      method: call.method,
      signal,
      headersTimeout: 0,
      bodyTimeout: 0,
      headers: headersOf(call, options.actor),
      ...(call.body === undefined ? {} : { body: call.body }),
    });
    const body = Buffer.from(await reply.body.arrayBuffer());
    if (reply.statusCode >= 400) throw decodeError(reply.statusCode, body, url);
    return { status: reply.statusCode, body, url };
  }

  /** Runs `call` against each address until one answers. */
  async function inTurn<Result>(
    isRepeatable: boolean,
    call: (address: string, attemptsLeft: number) => Promise<Result>,
  ): Promise<Result> {
    const failures: string[] = [];
    for (const [index, address] of addresses.entries()) {
      try {
        const result = await call(address, addresses.length - index);
        addresses = [address, ...addresses.filter((other) => other !== address)];
        return result;
      } catch (error) {
        options.signal.throwIfAborted();
        const isLast = index === addresses.length - 1;
        if (error instanceof CoxswainError) {
          if (isLast || !mayAskAnother(error)) throw error;
          failures.push(`${address}: ${error.message}`);
          continue;
        }
        failures.push(`${address}: ${reasonOf(error)}`);
        if (!isRepeatable && !wasNeverSent(error)) throw unanswered(address, error);
      }
    }
    throw new CoxswainError("API_UNREACHABLE", `No node answered at ${failures.join("; ")}`, {
      details: { addresses },
    });
  }

  return {
    send(call) {
      const endAtMs = options.now() + (call.deadlineMs ?? options.deadlineMs);
      return inTurn(call.method !== "POST" || call.isRepeatable === true, (address, attemptsLeft) =>
        attempt(address, call, (endAtMs - options.now()) / attemptsLeft),
      );
    },
    open: (path, signal) =>
      inTurn(true, async (address) => {
        const reply = await request(address + path, {
          dispatcher,
          signal: AbortSignal.any([options.signal, signal]),
          headersTimeout: options.deadlineMs,
          bodyTimeout: 0,
          headers: { accept: "text/event-stream" },
        });
        if (reply.statusCode < 400) return reply.body;
        throw decodeError(
          reply.statusCode,
          Buffer.from(await reply.body.arrayBuffer()),
          address + path,
        );
      }),
    close: () => dispatcher.destroy(),
  };
}

function headersOf(call: ApiRequest, actor: string): Record<string, string> {
  return {
    "coxswain-actor": actor.replaceAll(/[^\x20-\x7e]/g, "?"),
    ...(call.contentType === undefined ? {} : { "content-type": call.contentType }),
  };
}

/** The API's own error; anything else that answers with a failure is not a Coxswain node. */
function decodeError(status: number, body: Buffer, url: string): CoxswainError {
  const parsed = errorBodySchema.safeParse(parseJson(body));
  if (!parsed.success) {
    return new CoxswainError(
      "API_UNREACHABLE",
      `${url} answered ${status}, but not as a node does`,
    );
  }
  const { code, message, details } = parsed.data.error;
  return new CoxswainError(
    isErrorCode(code) ? code : status >= 500 ? "INTERNAL" : "REQUEST_INVALID",
    isErrorCode(code) ? message : `${code}: ${message}`,
    details === undefined ? {} : { details },
  );
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorRegistry, code);
}

/** JSON of `body`; undefined where it is none. */
export function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch {
    return undefined; // The caller's schema refuses undefined and names the URL.
  }
}

/** The node refused before doing anything, for a reason of its own. */
function mayAskAnother(error: CoxswainError): boolean {
  return ["NODE_NOT_READY", "NODE_STOPPED", "MEMBER_REPLACED", "API_UNREACHABLE"].includes(
    error.code,
  );
}

function unanswered(address: string, error: unknown): CoxswainError {
  return new CoxswainError(
    "API_UNREACHABLE",
    `${address} did not answer (${reasonOf(error)}); the request may have been carried out`,
    { cause: error },
  );
}

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection reset",
  ENOTFOUND: "unknown host name",
  EAI_AGAIN: "host name lookup failed",
  EHOSTUNREACH: "no route to host",
  ENETUNREACH: "network unreachable",
  UND_ERR_CONNECT_TIMEOUT: "connect timed out",
  UND_ERR_SOCKET: "connection closed",
  UND_ERR_HEADERS_TIMEOUT: "no answer in time",
  UND_ERR_RES_EXCEEDED_MAX_SIZE: "answer too large",
};

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string"
    ? error.code
    : "";
}

function reasonOf(error: unknown): string {
  if (error instanceof Error && error.name === "TimeoutError") return "no answer in time";
  const message = messageOf(error);
  return reasons[codeOf(error)] ?? (message === "" ? "connection failed" : message);
}

const neverSentCodes: ReadonlySet<string> = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "UND_ERR_CONNECT_TIMEOUT",
] satisfies (keyof typeof reasons)[]);

function wasNeverSent(error: unknown): boolean {
  return neverSentCodes.has(codeOf(error));
}
