/**
 * The transport port: one request and one reply with one host, however the connection is obtained.
 *
 * An exchange never rejects: what went wrong is a value with a class, and `sent` says whether the
 * host may have seen the request. A deadline after the request was sent is `ambiguous`, never
 * "failed": a paused host executes pushes whose sender gave up long ago.
 */

import type { Fence } from "../protocol/fence.ts";
import type { HostMode } from "../protocol/host-mode.ts";
import type { Manifest } from "../protocol/manifest.ts";

/** What kept an exchange from ending with a reply. */
export type FailureClass =
  /** This machine: no descriptors, ports, memory or route. Never the host's fault. */
  | "local"
  /** The address is no address, or its name does not resolve. */
  | "resolve"
  /** The machine answers and nothing listens. */
  | "refused"
  /** No connection in time, or no route to the host. */
  | "timeout"
  /** The handshake or a certificate was refused. */
  | "tls"
  /** Reset, closed or out of time after the request was sent: it may have been executed. */
  | "ambiguous"
  /** The answer is no HTTP, too large or damaged. */
  | "protocol"
  /** The host opens its connections itself and has none open. */
  | "detached"
  /** What the host should hold could not be laid ready for it. Never the host's fault. */
  | "offers";

export interface ExchangeRequest {
  /** `http://127.0.0.5:9000`; no path. */
  readonly origin: string;
  readonly path: string;
  /** Lower-case names; content-length and host are the transport's. */
  readonly headers: Readonly<Record<string, string>>;
  /** Sent with POST. */
  readonly body: Buffer | undefined;
  /** Total time for connect, handshake, request and reply. */
  readonly deadlineMs: number;
  /** Whom it is for and how that host is reached, best first; left out: its origin is dialled. */
  readonly route?: HostRoute | undefined;
}

export interface HostRoute {
  readonly host: string;
  readonly modes: readonly HostMode[];
  /** What the request says, for hosts that fetch it. */
  readonly fence: Fence;
  readonly manifest: Manifest;
  /** The mode that carries the exchange, noted by the transport. */
  via?: HostMode | undefined;
}

export type ExchangeResult =
  | {
      readonly kind: "reply";
      readonly status: number;
      /** The Retry-After header where it is a number of seconds. */
      readonly retryAfterMs: number | undefined;
      /** Decompressed, at most `limits.syncReplyBytesMax`. */
      readonly body: Buffer;
    }
  | {
      /** Nothing can be sent: the host fetches what it should hold, and it lies ready. */
      readonly kind: "offered";
    }
  | {
      readonly kind: "failed";
      readonly failure: FailureClass;
      readonly message: string;
      /** True where the host may have received the request. */
      readonly sent: boolean;
    };

export interface Transport {
  /** One POST. Never rejects; ends within `deadlineMs` and a little, or when `signal` aborts. */
  exchange(request: ExchangeRequest, signal?: AbortSignal): Promise<ExchangeResult>;
  /** Closes what is kept open for an origin that will not be used again; exchanges under way end first. */
  drop(origin: string): void;
  /** Connections held, used or idle. */
  readonly socketCount: number;
}
