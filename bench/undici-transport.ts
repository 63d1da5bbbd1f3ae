/**
 * The transport over undici, for comparison (docs/decisions/0008-socket-transport.md): one Client per
 * origin, low-level `dispatch`, explicit limits.
 *
 * undici's defaults (300 s timeouts, no reply limit, a client per origin for ever) let 1 % of
 * unresponsive hosts hold every slot. Here one total deadline bounds an exchange; a single timer
 * checks all exchanges under way, so undici's own timers are off. The connector is ours, so that a
 * deadline also ends a connection that is still being made. Sockets are a budget: the least
 * recently used idle one is closed first, and a client whose connection ended is forgotten.
 */
import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls, createSecureContext, type SecureContext } from "node:tls";
import { Client, type buildConnector } from "undici";
import type { Clock } from "../src/kernel/clock.ts";
import { messageOf } from "../src/kernel/errors.ts";
import { limits } from "../src/protocol/limits.ts";
import { LinkedList, type Linked } from "../src/push/linked-list.ts";
import type { ExchangeRequest, ExchangeResult } from "../src/push/transport.ts";
import { failed } from "../src/push/http-exchange.ts";
import type { SocketTransport, SocketTransportOptions } from "../src/push/socket-transport.ts";
import { UndiciExchange, type ExchangeOwner } from "./undici-exchange.ts";

/** How often deadlines are checked while anything is under way; also their precision. */
const deadlineTickMs = 50;

export function createUndiciTransport(
  clock: Clock,
  options: SocketTransportOptions,
): SocketTransport {
  return new PooledTransport(clock, options);
}

class PooledTransport implements SocketTransport {
  readonly options: SocketTransportOptions;
  readonly #clock: Clock;
  readonly #connections = new Map<string, Connection>();
  readonly #idle = new LinkedList<Connection>();
  readonly #underWay = new Set<UndiciExchange>();
  readonly #closing = new Set<Promise<void>>();
  #secureContext: SecureContext | undefined;
  #cancelTick: (() => void) | undefined;
  #isStopped = false;

  constructor(clock: Clock, options: SocketTransportOptions) {
    this.#clock = clock;
    this.options = options;
  }

  get socketCount(): number {
    return this.#connections.size;
  }

  get secureContext(): SecureContext {
    this.#secureContext ??= createSecureContext(this.options.tls);
    return this.#secureContext;
  }

  exchange(request: ExchangeRequest, signal?: AbortSignal): Promise<ExchangeResult> {
    return new Promise((resolve) => {
      if (this.#isStopped) {
        resolve(failed("local", "the transport is stopped", false));
        return;
      }
      if (signal?.aborted) {
        resolve(failed("local", "cancelled", false));
        return;
      }
      const connection = this.#connectionTo(request.origin);
      if ("kind" in connection) {
        resolve(connection);
        return;
      }
      const atMs = this.#clock.monotonicMs();
      const exchange = new UndiciExchange(
        connection,
        request,
        atMs,
        this.options.connectTimeoutMs,
        resolve,
      );
      if (signal !== undefined) exchange.abortWith(signal);
      this.#underWay.add(exchange);
      this.#armTick();
      connection.accept(exchange);
    });
  }

  drop(origin: string): void {
    const connection = this.#connections.get(origin);
    if (connection === undefined) return;
    if (connection.isIdle) this.close(connection);
    else connection.isDropped = true;
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancelTick?.();
    this.#cancelTick = undefined;
    for (const exchange of this.#underWay) {
      exchange.fail(exchange.isSent ? "ambiguous" : "local", "the node is stopping");
    }
    for (const connection of this.#connections.values()) this.close(connection);
    await Promise.all(this.#closing);
  }

  /** The exchange ended well or badly; its connection may serve the next one. */
  ended(exchange: UndiciExchange): void {
    this.#underWay.delete(exchange);
  }

  becameIdle(connection: Connection): void {
    if (connection.isDropped) this.close(connection);
    else this.#idle.append(connection);
  }

  becameBusy(connection: Connection): void {
    this.#idle.remove(connection);
  }

  close(connection: Connection): void {
    this.forget(connection);
    const closing = connection.destroy();
    this.#closing.add(closing);
    void closing.then(() => this.#closing.delete(closing));
  }

  forget(connection: Connection): void {
    this.#idle.remove(connection);
    if (this.#connections.get(connection.origin) === connection) {
      this.#connections.delete(connection.origin);
    }
  }

  #connectionTo(origin: string): Connection | ExchangeResult {
    const known = this.#connections.get(origin);
    if (known !== undefined) {
      known.isDropped = false;
      return known;
    }
    if (this.#connections.size >= this.options.socketsMax) {
      const oldest = this.#idle.first;
      if (oldest === undefined) {
        return failed("local", `all ${this.options.socketsMax} connections are in use`, false);
      }
      this.close(oldest);
    }
    try {
      const connection = new Connection(this, origin);
      this.#connections.set(origin, connection);
      return connection;
    } catch (error) {
      // The Client refuses what is no origin; the inventory, not the network, is at fault.
      return failed("resolve", messageOf(error), false);
    }
  }

  #armTick(): void {
    this.#cancelTick ??= this.#clock.after(deadlineTickMs, () => {
      this.#cancelTick = undefined;
      this.#checkDeadlines(this.#clock.monotonicMs());
      if (this.#underWay.size > 0) this.#armTick();
    });
  }

  #checkDeadlines(atMs: number): void {
    for (const exchange of this.#underWay) exchange.checkDeadline(atMs);
  }
}

/** One origin: its Client, its socket, and the exchange that uses it. */
class Connection implements Linked<Connection>, ExchangeOwner {
  readonly origin: string;
  readonly transport: PooledTransport;
  previous: Connection | undefined = undefined;
  next: Connection | undefined = undefined;
  list: object | undefined = undefined;
  isDropped = false;
  readonly #client: Client;
  #socket: Socket | undefined = undefined;
  #current: UndiciExchange | undefined = undefined;
  /** Exchanges behind the current one; only where two hosts share an address for a moment. */
  #waiting: UndiciExchange[] | undefined = undefined;

  constructor(transport: PooledTransport, origin: string) {
    this.transport = transport;
    this.origin = origin;
    this.#client = new Client(origin, {
      pipelining: 1,
      allowH2: false,
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: transport.options.keepAliveMs,
      keepAliveMaxTimeout: transport.options.keepAliveMs,
      maxResponseSize: limits.syncReplyBytesMax,
      maxHeaderSize: 16 * 1024,
      connect: (target, callback) => this.#connect(target, callback),
    });
    this.#client.on("disconnect", () => this.#onDisconnect());
  }

  get isIdle(): boolean {
    return this.#current === undefined;
  }

  accept(exchange: UndiciExchange): void {
    if (this.#current !== undefined) {
      this.#waiting ??= [];
      this.#waiting.push(exchange);
      return;
    }
    this.transport.becameBusy(this);
    this.#current = exchange;
    this.#client.dispatch(exchange.dispatchOptions, exchange);
  }

  /** The exchange has a result. `isReusable` false: the connection is in an unknown state. */
  release(exchange: UndiciExchange, isReusable: boolean): void {
    this.transport.ended(exchange);
    if (this.#current !== exchange) {
      this.#waiting = this.#waiting?.filter((waiting) => waiting !== exchange);
      return;
    }
    this.#current = undefined;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (!isReusable) this.transport.close(this);
    else if (waiting === undefined || waiting.length === 0) this.transport.becameIdle(this);
    for (const next of waiting ?? []) {
      if (isReusable) this.accept(next);
      else next.fail("local", "the connection it waited for was closed");
    }
  }

  destroy(): Promise<void> {
    this.#socket?.destroy();
    return this.#client.destroy();
  }

  #onDisconnect(): void {
    this.#socket = undefined;
    if (this.#current === undefined) this.transport.close(this);
  }

  #connect(target: buildConnector.Options, callback: buildConnector.Callback): void {
    const isSecure = target.protocol === "https:";
    const host = target.hostname;
    const port = target.port === "" ? (isSecure ? 443 : 80) : Number(target.port);
    const socket = isSecure
      ? connectTls({
          host,
          port,
          secureContext: this.transport.secureContext,
          servername: isIP(host) === 0 ? host : "",
          ALPNProtocols: ["http/1.1"],
        }).setNoDelay(true)
      : connectTcp({ host, port, noDelay: true });
    this.#socket = socket;
    let isSettled = false;
    socket.once(isSecure ? "secureConnect" : "connect", () => {
      isSettled = true;
      callback(null, socket);
    });
    socket.on("error", (error) => {
      if (isSettled) return;
      isSettled = true;
      callback(error, null);
    });
  }
}
