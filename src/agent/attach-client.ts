/**
 * Opens one connection for a node to drive: `GET /coxswain/v1/attach` with `Upgrade`, over TCP or TLS.
 *
 * Whatever comes instead of `101` ends the connection. The time for all of it is bounded; afterwards the
 * socket is the caller's alone.
 */
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Duplex } from "node:stream";
import { Socket } from "node:net";
import type { Clock } from "../kernel/clock.ts";
import { messageOf } from "../kernel/errors.ts";
import { authorizationHeader, bearerOf } from "../protocol/host-key.ts";
import {
  attachPath,
  lossSpreadMsOf,
  reverseHeaders,
  reverseProtocol,
} from "../protocol/reverse.ts";
import { syncHeaders } from "../protocol/sync.ts";
import type { TlsMaterial } from "./agent-server.ts";

export type AttachOutcome =
  | {
      readonly kind: "attached";
      readonly socket: Duplex;
      /** Longest time between two requests of the node, as it promises. */
      readonly pingMs: number;
      /** Over how long to come again when the connection is lost; undefined: the node does not say. */
      readonly lossSpreadMs: number | undefined;
    }
  | { readonly kind: "busy"; readonly retryAfterMs: number }
  | { readonly kind: "moved"; readonly location: string }
  | { readonly kind: "refused"; readonly status: number }
  | { readonly kind: "unreachable"; readonly message: string };

export interface AttachOptions {
  readonly clock: Clock;
  readonly cluster: string;
  readonly host: string;
  readonly key: Uint8Array | undefined;
  readonly tls: TlsMaterial | undefined;
}

export type Attach = (
  nodeUrl: string,
  ask: { readonly boot: string; readonly isDirect: boolean },
  signal: AbortSignal,
) => Promise<AttachOutcome>;

/** From connecting to the answer; a herd's TLS handshakes take seconds. */
const attachTimeoutMs = 5_000;
const retryAfterMaxMs = 5 * 60_000;
const pingDefaultMs = 30_000;
const pingMinMs = 10;
const pingMaxMs = 10 * 60_000;
const keepAliveDelayMs = 30_000;

/** `nodeUrl` is a node's base URL, or the address to which a node has pointed. */
export function createAttachClient(options: AttachOptions): Attach {
  const { clock, cluster, host, key, tls } = options;
  return (nodeUrl, { boot, isDirect }, signal) => {
    const headers = {
      connection: "Upgrade",
      upgrade: reverseProtocol,
      [syncHeaders.cluster]: cluster,
      [syncHeaders.host]: host,
      [reverseHeaders.boot]: boot,
      ...(isDirect ? { [reverseHeaders.direct]: "1" } : {}),
      ...(key === undefined ? {} : { [authorizationHeader]: bearerOf(key) }),
    };
    return ask(new URL(attachPath, nodeUrl), { headers, tls, clock }, signal);
  };
}

function ask(
  url: URL,
  options: {
    readonly headers: Readonly<Record<string, string>>;
    readonly tls: TlsMaterial | undefined;
    readonly clock: Clock;
  },
  signal: AbortSignal,
): Promise<AttachOutcome> {
  const { headers, tls, clock } = options;
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(asError(signal.reason));
      return;
    }
    const send = url.protocol === "https:" ? httpsRequest : httpRequest;
    const request = send(url, { ...tls, headers, agent: false });
    const end = (outcome: AttachOutcome | Error) => {
      cancel();
      signal.removeEventListener("abort", onAbort);
      if (outcome instanceof Error) reject(outcome);
      else resolve(outcome);
    };
    const onAbort = () => {
      end(asError(signal.reason));
      request.destroy();
    };
    const cancel = clock.after(attachTimeoutMs, () => {
      end({ kind: "unreachable", message: `no answer within ${attachTimeoutMs} ms` });
      request.destroy();
    });
    signal.addEventListener("abort", onAbort, { once: true });
    request.on("error", (error) => end({ kind: "unreachable", message: messageOf(error) }));
    request.on("response", (response) => {
      response.on("error", () => {});
      response.destroy();
      end(outcomeOf(response));
    });
    request.on("upgrade", (response, socket, head) => {
      // Too late, or another protocol than was asked for.
      if (signal.aborted || response.headers.upgrade?.toLowerCase() !== reverseProtocol) {
        socket.destroy();
        end({ kind: "unreachable", message: "the connection was upgraded to something else" });
        return;
      }
      const lossSpreadMs = lossSpreadMsOf(response.headers);
      const pingMs = pingMsOf(response);
      end({ kind: "attached", socket: made(socket, head), pingMs, lossSpreadMs });
    });
    request.end();
  });
}

function made(socket: Duplex, head: Buffer): Duplex {
  if (socket instanceof Socket) {
    socket.setTimeout(0);
    socket.setNoDelay(true);
    socket.setKeepAlive(true, keepAliveDelayMs);
  }
  if (head.length > 0) socket.unshift(head);
  return socket;
}

function pingMsOf({ headers }: IncomingMessage): number {
  const said = Number(headers[reverseHeaders.pingMs]);
  return Number.isFinite(said) ? Math.min(pingMaxMs, Math.max(pingMinMs, said)) : pingDefaultMs;
}

function outcomeOf({ statusCode = 0, headers }: IncomingMessage): AttachOutcome {
  if (statusCode === 307 && headers.location !== undefined) {
    return { kind: "moved", location: headers.location };
  }
  const seconds = Number(headers["retry-after"]);
  if ((statusCode === 503 || statusCode === 429) && Number.isFinite(seconds) && seconds >= 0) {
    return { kind: "busy", retryAfterMs: Math.min(seconds * 1_000, retryAfterMaxMs) };
  }
  return { kind: "refused", status: statusCode };
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
