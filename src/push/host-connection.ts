/**
 * The connection to one origin: it is made when it is needed, carries one exchange at a time, and is
 * kept while the host keeps it.
 *
 * An exchange that fails leaves a connection in an unknown state, which is closed with it. A second
 * exchange waits; that happens only where two hosts share an address for a moment.
 */
import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls, type SecureContext } from "node:tls";
import { failed, HttpConnection, requestHead, type Reuse } from "./http-exchange.ts";
import type { Linked } from "./linked-list.ts";
import { classOfError } from "./transport-errors.ts";
import type { ExchangeRequest, ExchangeResult } from "./transport.ts";

/** One request, its time limits, and who waits for its result. */
export class Exchange implements Linked<Exchange> {
  readonly request: ExchangeRequest;
  readonly connection: HostConnection;
  previous: Exchange | undefined = undefined;
  next: Exchange | undefined = undefined;
  list: object | undefined = undefined;
  isSent = false;
  readonly #resolve: (result: ExchangeResult) => void;
  readonly #connectByMs: number;
  readonly #dueMs: number;
  #unlisten: (() => void) | undefined = undefined;

  constructor(
    request: ExchangeRequest,
    connection: HostConnection,
    startedMs: number,
    connectTimeoutMs: number,
    resolve: (result: ExchangeResult) => void,
  ) {
    this.request = request;
    this.connection = connection;
    this.#resolve = resolve;
    this.#dueMs = startedMs + request.deadlineMs;
    this.#connectByMs = startedMs + Math.min(connectTimeoutMs, request.deadlineMs);
  }

  cancelWith(signal: AbortSignal): void {
    const onAbort = () => this.cancel("cancelled");
    signal.addEventListener("abort", onAbort, { once: true });
    this.#unlisten = () => signal.removeEventListener("abort", onAbort);
  }

  cancel(message: string): void {
    this.connection.abandon(
      this,
      failed(this.isSent ? "ambiguous" : "local", message, this.isSent),
    );
  }

  checkDeadline(atMs: number): void {
    if (atMs >= this.#dueMs && this.isSent) {
      const late = failed("ambiguous", "no complete reply before the deadline", true);
      this.connection.abandon(this, late);
    } else if (atMs >= this.#dueMs) {
      this.connection.abandon(this, failed("timeout", "not sent before the deadline", false));
    } else if (atMs >= this.#connectByMs && !this.isSent) {
      this.connection.abandon(this, failed("timeout", "no connection in time", false));
    }
  }

  settle(result: ExchangeResult): void {
    this.#unlisten?.();
    this.#resolve(result);
  }
}

/** What a connection needs of the pool that it belongs to. */
export interface ConnectionPool {
  secureContext(): SecureContext;
  /** A session to resume with this origin. */
  tlsSession(origin: string): Buffer | undefined;
  keepTlsSession(origin: string, session: Buffer): void;
  /** The exchange has its result. */
  ended(exchange: Exchange): void;
  /** Nothing is under way or waits; the host keeps the connection as `reuse` says. */
  becameIdle(connection: HostConnection, reuse: Reuse): void;
  becameBusy(connection: HostConnection): void;
  /** The connection is of no more use; a new one may be made for its origin. */
  closed(connection: HostConnection): void;
  /** Calls `sendNow` before long, together with those of other connections. */
  sendSoon(connection: HostConnection): void;
  /** The same with `connectNow`. */
  connectSoon(connection: HostConnection): void;
  socketOpened(): void;
  socketClosed(): void;
}

/**
 * What all plain sockets read into. Each piece is parsed before the next socket is read, so one is enough, and
 * no reply needs a buffer of its own on its way through the socket's stream. (Where a read waits inside the
 * system with its buffer, as on Windows, each socket would need one.)
 */
const readBuffer = Buffer.allocUnsafeSlow(64 * 1024);

export class HostConnection implements Linked<HostConnection> {
  readonly origin: string;
  readonly #pool: ConnectionPool;
  readonly #address: HostAddress;
  previous: HostConnection | undefined = undefined;
  next: HostConnection | undefined = undefined;
  list: object | undefined = undefined;
  /** Its origin will not be used again: closed as soon as it is idle. */
  isDropped = false;
  /** While idle: when it is closed. */
  idleUntilMs = 0;
  #http: HttpConnection | undefined = undefined;
  #isConnected = false;
  #current: Exchange | undefined = undefined;
  #waiting: Exchange[] | undefined = undefined;

  constructor(pool: ConnectionPool, origin: string, address: HostAddress) {
    this.#pool = pool;
    this.origin = origin;
    this.#address = address;
  }

  get isIdle(): boolean {
    return this.#current === undefined;
  }

  accept(exchange: Exchange): void {
    if (this.#current !== undefined) {
      (this.#waiting ??= []).push(exchange);
      return;
    }
    this.#pool.becameBusy(this);
    this.#current = exchange;
    this.#start();
  }

  /** Sends what is under way, unless it was abandoned meanwhile. */
  sendNow(): void {
    const exchange = this.#current;
    if (exchange === undefined) return;
    const made = requestHead(exchange.request, this.#address.hostHeader);
    if ("reason" in made) {
      this.#fail(failed("resolve", made.reason, false));
      return;
    }
    exchange.isSent = true;
    this.#http?.send(made.head, exchange.request.body);
  }

  /** Connects for what is under way, unless it was abandoned meanwhile. */
  connectNow(): void {
    if (this.#current === undefined) return;
    const { isSecure } = this.#address;
    const socket = isSecure ? this.#openTls() : this.#openTcp();
    this.#pool.socketOpened();
    socket.once("close", () => this.#pool.socketClosed());
    socket.once(isSecure ? "secureConnect" : "connect", () => {
      this.#isConnected = true;
      this.#pool.sendSoon(this);
    });
  }

  /** Ends `exchange` with `result` before the host answered. */
  abandon(exchange: Exchange, result: ExchangeResult): void {
    if (this.#current === exchange) this.#fail(result);
    else if (this.#waiting?.includes(exchange) === true) {
      this.#waiting = this.#waiting.filter((waiting) => waiting !== exchange);
      this.#settle(exchange, result);
    }
  }

  /** Closes an idle connection. */
  close(): void {
    this.#http?.destroy();
    this.#http = undefined;
    this.#pool.closed(this);
  }

  /** For HttpConnection. */
  onResult(result: ExchangeResult, reuse: Reuse | undefined): void {
    if (result.kind === "failed" && reuse === undefined) this.#fail(result);
    else this.#goOn(result, reuse);
  }

  /** For HttpConnection. */
  onClosed(error: Error | undefined): void {
    if (this.#current === undefined) this.close();
    else if (error === undefined) this.#fail(failed("refused", "closed while connecting", false));
    else this.#fail(failed(classOfError(error, false), error.message, false));
  }

  /** The host answered: its connection, or a new one, serves whoever waits. */
  #goOn(result: ExchangeResult, reuse: Reuse | undefined): void {
    const ended = this.#current;
    const next = this.#waiting?.shift();
    this.#current = next;
    if (reuse === undefined) this.#forgetSocket();
    if (next === undefined) {
      if (reuse === undefined) this.#pool.closed(this);
      else this.#pool.becameIdle(this, reuse);
    } else this.#start();
    if (ended !== undefined) this.#settle(ended, result);
  }

  /** The connection is in an unknown state: it ends, and with it whoever waits for it. */
  #fail(result: ExchangeResult): void {
    const ended = this.#current;
    const waiting = this.#waiting ?? [];
    this.#current = undefined;
    this.#waiting = undefined;
    this.#forgetSocket();
    this.#pool.closed(this);
    if (ended !== undefined) this.#settle(ended, result);
    for (const exchange of waiting) {
      this.#settle(exchange, failed("local", "the connection it waited for was closed", false));
    }
  }

  #settle(exchange: Exchange, result: ExchangeResult): void {
    this.#pool.ended(exchange);
    exchange.settle(result);
  }

  #forgetSocket(): void {
    this.#http?.destroy();
    this.#http = undefined;
    this.#isConnected = false;
  }

  #start(): void {
    if (this.#http === undefined) this.#pool.connectSoon(this);
    else if (this.#isConnected) this.#pool.sendSoon(this);
  }

  #openTcp(): Socket {
    const { host, port } = this.#address;
    const callback = (length: number) => {
      http.feed(readBuffer.subarray(0, length));
      return true;
    };
    const onread = { buffer: readBuffer, callback };
    const socket = connectTcp({ host, port, noDelay: true, onread });
    const http = new HttpConnection(socket, this, "fed");
    this.#http = http;
    return socket;
  }

  #openTls(): Socket {
    const { host, port } = this.#address;
    const session = this.#pool.tlsSession(this.origin);
    const socket = connectTls({
      host,
      port,
      secureContext: this.#pool.secureContext(),
      servername: isIP(host) === 0 ? host : "",
      ALPNProtocols: ["http/1.1"],
      ...(session === undefined ? undefined : { session }),
    });
    socket.setNoDelay(true);
    socket.on("session", (fresh: Buffer) => this.#pool.keepTlsSession(this.origin, fresh));
    this.#http = new HttpConnection(socket, this);
    return socket;
  }
}

/** Where an origin is. */
export interface HostAddress {
  readonly isSecure: boolean;
  readonly host: string;
  readonly port: number;
  readonly hostHeader: string;
}

/** Undefined where `origin` is no origin of http or https. */
export function parseOrigin(origin: string): HostAddress | undefined {
  const url = URL.parse(origin);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) return undefined;
  const isBare = url.pathname === "/" && url.search === "" && url.hash === "";
  if (!isBare || url.username !== "" || url.password !== "") return undefined;
  const isSecure = url.protocol === "https:";
  // An IPv6 address stands in brackets in a URL and without them in a socket's options.
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const port = url.port === "" ? (isSecure ? 443 : 80) : Number(url.port);
  return { isSecure, host, port, hostHeader: url.host };
}
