/**
 * One call of an agent to a node: its headers and its proof, one deadline for everything up to the last
 * byte of the answer, a bound for that answer. The connection is not kept, so that idle hosts cost the
 * nodes no sockets.
 */
import { request as httpRequest, type IncomingMessage, type RequestOptions } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Clock } from "../kernel/clock.ts";
import { messageOf } from "../kernel/errors.ts";
import { authorizationHeader, bearerOf } from "../protocol/host-key.ts";
import { syncHeaders } from "../protocol/sync.ts";
import type { TlsMaterial } from "./agent-server.ts";
import { readJsonBody } from "./request-body.ts";
import type { Headers } from "./sync-request.ts";

export interface NodeCall {
  readonly url: URL;
  readonly method: "GET" | "POST";
  readonly headers: Readonly<Record<string, string>>;
  /** JSON. */
  readonly body?: Buffer;
  readonly timeoutMs: number;
}

export type NodeAnswer =
  | {
      readonly kind: "answered";
      readonly status: number;
      readonly headers: Headers;
      /** Undefined where there was none that can be read as JSON. */
      readonly json: unknown;
      /** Bounded; undefined where the node named none. */
      readonly retryAfterMs: number | undefined;
    }
  | { readonly kind: "unreachable"; readonly message: string };

/** Rejects only with the abort's reason. */
export type CallNode = (call: NodeCall, signal: AbortSignal) => Promise<NodeAnswer>;

/** A node cannot silence a host for longer than this. */
const retryAfterMaxMs = 5 * 60_000;
/** A machine that is gone answers nothing at all: the next node is asked before the call's whole time is over. */
const connectTimeoutMs = 3_000;

export interface NodeCallerOptions {
  readonly clock: Clock;
  readonly cluster: string;
  /** Undefined: the host calls without a proof. */
  readonly key: Buffer | undefined;
  readonly tls: TlsMaterial | undefined;
}

export function createNodeCaller({ clock, cluster, key, tls }: NodeCallerOptions): CallNode {
  const proof = key === undefined ? {} : { [authorizationHeader]: bearerOf(key) };
  return async (call, signal) => {
    const total = new AbortController();
    const giveUpAfter = (ms: number, what: string) =>
      clock.after(ms, () => total.abort(new Error(`No ${what} within ${ms} ms`)));
    const cancel = giveUpAfter(call.timeoutMs, "answer");
    const connected = giveUpAfter(connectTimeoutMs, "connection");
    const both = AbortSignal.any([signal, total.signal]);
    try {
      const options = {
        headers: { ...call.headers, [syncHeaders.cluster]: cluster, ...proof },
        signal: both,
        agent: false,
        ...tls,
      };
      const response = await send(call, options, connected);
      const read = await readJsonBody(response);
      return {
        kind: "answered",
        status: response.statusCode ?? 0,
        headers: response.headers,
        json: read.kind === "read" ? read.json : undefined,
        retryAfterMs: retryAfterOf(response),
      };
    } catch (error) {
      signal.throwIfAborted();
      return { kind: "unreachable", message: messageOf(total.signal.reason ?? error) };
    } finally {
      cancel();
      connected();
    }
  };
}

function send(
  call: NodeCall,
  options: RequestOptions,
  onConnect: () => void,
): Promise<IncomingMessage> {
  const { url, method, body } = call;
  const start = url.protocol === "https:" ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const request = start(url, { ...options, method }, resolve);
    // Stays for good: what breaks later breaks the reading of the answer, too.
    request.on("error", reject);
    request.once("socket", (socket) => socket.once("connect", onConnect));
    if (body !== undefined) {
      request.setHeader("content-type", "application/json");
      request.setHeader("content-length", body.length);
    }
    request.end(body);
  });
}

function retryAfterOf({ headers }: IncomingMessage): number | undefined {
  const text = headers["retry-after"];
  if (text === undefined || !/^\d{1,9}$/.test(text)) return undefined;
  return Math.min(Number(text) * 1_000, retryAfterMaxMs);
}
