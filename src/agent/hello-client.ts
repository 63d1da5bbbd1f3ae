/**
 * Says hello to a node: `POST /coxswain/v1/hello`, one short request on a connection of its own.
 *
 * The answer only tells whether somebody heard it; what the host should hold comes as a sync. A
 * connection is not kept, so that a fleet of idle agents costs the nodes no sockets.
 */
import { request as httpRequest, type IncomingMessage, type RequestOptions } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Clock } from "../kernel/clock.ts";
import { messageOf } from "../kernel/errors.ts";
import { helloPath, syncHeaders, type Hello } from "../protocol/sync.ts";
import type { TlsMaterial } from "./agent-server.ts";

export type HelloOutcome =
  | { readonly kind: "heard" }
  | { readonly kind: "busy"; readonly retryAfterMs: number }
  | { readonly kind: "refused"; readonly status: number }
  | { readonly kind: "unreachable"; readonly message: string }
  /** Sent in a way that is never answered: only a sync shows that it was heard. */
  | { readonly kind: "unanswered" };

export type SayHello = (
  nodeUrl: string,
  hello: Hello,
  signal: AbortSignal,
) => Promise<HelloOutcome>;

/** From connecting to the end of the answer's headers. */
const helloTimeoutMs = 5_000;
/** A node cannot silence a host for longer than this. */
const retryAfterMaxMs = 5 * 60_000;

export function createHelloClient(options: {
  clock: Clock;
  cluster: string;
  tls?: TlsMaterial | undefined;
}): SayHello {
  return async (nodeUrl, hello, signal) => {
    const total = new AbortController();
    const cancel = options.clock.after(helloTimeoutMs, () => {
      total.abort(new Error(`No answer within ${helloTimeoutMs} ms`));
    });
    try {
      const response = await post(new URL(helloPath, nodeUrl), hello, {
        headers: { "content-type": "application/json", [syncHeaders.cluster]: options.cluster },
        signal: AbortSignal.any([signal, total.signal]),
        agent: false,
        ...options.tls,
      });
      return outcomeOf(response);
    } catch (error) {
      signal.throwIfAborted();
      return { kind: "unreachable", message: messageOf(error) };
    } finally {
      cancel();
    }
  };
}

function post(url: URL, hello: Hello, options: RequestOptions): Promise<IncomingMessage> {
  const body = Buffer.from(JSON.stringify(hello));
  const send = url.protocol === "https:" ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const request = send(url, { ...options, method: "POST" }, (response) => {
      // The answer's body carries nothing that is needed: close instead of reading it.
      response.on("error", () => {});
      response.destroy();
      resolve(response);
    });
    request.once("error", reject);
    request.setHeader("content-length", body.length);
    request.end(body);
  });
}

function outcomeOf(response: IncomingMessage): HelloOutcome {
  const status = response.statusCode ?? 0;
  if (status >= 200 && status < 300) return { kind: "heard" };
  const seconds = Number(response.headers["retry-after"]);
  if ((status === 429 || status === 503) && Number.isFinite(seconds) && seconds >= 0) {
    return { kind: "busy", retryAfterMs: Math.min(seconds * 1000, retryAfterMaxMs) };
  }
  return { kind: "refused", status };
}
