/**
 * The transport over sockets of this process: one connection per origin, explicit limits.
 *
 * One total deadline bounds an exchange, a part of it the connecting; a single timer checks all
 * exchanges under way. Sockets are a budget: the least recently used idle connection is closed
 * first. An idle connection is given up before the host does, because a push that meets a closing
 * connection ends as `ambiguous`. docs/decisions/0008-socket-transport.md says why this is not a
 * general HTTP client.
 */
import { createSecureContext, type SecureContext } from "node:tls";
import type { Clock } from "../kernel/clock.ts";
import { ByteLru } from "./byte-lru.ts";
import { Exchange, HostConnection, parseOrigin, type ConnectionPool } from "./host-connection.ts";
import { failed, type Reuse } from "./http-exchange.ts";
import { LinkedList } from "./linked-list.ts";
import type { ExchangeRequest, ExchangeResult, Transport } from "./transport.ts";

export interface SocketTransportOptions {
  /** Connections held at most, used or idle. Lower: more reconnects; higher: more descriptors and memory. */
  readonly socketsMax: number;
  /** How long an idle connection is kept; a host that asks for less gets less. */
  readonly keepAliveMs: number;
  /** Part of the deadline that connecting may use, DNS and handshake included. */
  readonly connectTimeoutMs: number;
  /** For https origins: trusted roots and this node's certificate, as PEM. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
}

export interface SocketTransport extends Transport {
  /** Closes every connection; exchanges under way end as `local` or `ambiguous`. Idempotent. */
  stop(): Promise<void>;
}

/** How often deadlines are checked while anything is under way; also their precision. */
const deadlineTickMs = 50;
/** How often idle connections are looked through. */
const idleTickMs = 1_000;
/** Given up so long before the host would: a request takes time to get there. */
const keepAliveMarginMs = 2_000;
/** About 2 KB a session. */
const tlsSessionsBytesMax = 8 * 1024 * 1024;

export function createSocketTransport(
  clock: Clock,
  options: SocketTransportOptions,
): SocketTransport {
  return new PooledTransport(clock, options);
}

class PooledTransport implements SocketTransport, ConnectionPool {
  readonly #clock: Clock;
  readonly #options: SocketTransportOptions;
  readonly #connections = new Map<string, HostConnection>();
  /** Longest idle first. */
  readonly #idle = new LinkedList<HostConnection>();
  readonly #underWay = new LinkedList<Exchange>();
  /** Gone on with at the end of this turn of the event loop. */
  #toSend: HostConnection[] = [];
  #toConnect: HostConnection[] = [];
  readonly #tlsSessions = new ByteLru<Buffer>(tlsSessionsBytesMax);
  readonly #secureContext: SecureContext;
  #cancelTick: (() => void) | undefined;
  #cancelIdleTick: (() => void) | undefined;
  #openSockets = 0;
  #onAllClosed: (() => void)[] = [];
  #isStopped = false;

  constructor(clock: Clock, options: SocketTransportOptions) {
    this.#clock = clock;
    this.#options = options;
    // Bad certificates are found here and not with the first push, whose deadline would also pay for
    // reading the trusted roots.
    this.#secureContext = createSecureContext(options.tls);
  }

  get socketCount(): number {
    return this.#connections.size;
  }

  exchange(request: ExchangeRequest, signal?: AbortSignal): Promise<ExchangeResult> {
    if (this.#isStopped) return Promise.resolve(failed("local", "the transport is stopped", false));
    if (signal?.aborted) return Promise.resolve(failed("local", "cancelled", false));
    const atMs = this.#clock.monotonicMs();
    const connection = this.#connectionTo(request.origin, atMs);
    if ("kind" in connection) return Promise.resolve(connection);
    return new Promise((resolve) => {
      const { connectTimeoutMs } = this.#options;
      const exchange = new Exchange(request, connection, atMs, connectTimeoutMs, resolve);
      if (signal !== undefined) exchange.cancelWith(signal);
      this.#underWay.append(exchange);
      this.#armTick();
      connection.accept(exchange);
    });
  }

  drop(origin: string): void {
    const connection = this.#connections.get(origin);
    if (connection === undefined) return;
    if (connection.isIdle) connection.close();
    else connection.isDropped = true;
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancelTick?.();
    this.#cancelTick = undefined;
    this.#cancelIdleTick?.();
    this.#cancelIdleTick = undefined;
    for (let exchange = this.#underWay.first; exchange !== undefined;) {
      exchange.cancel("the node is stopping");
      exchange = this.#underWay.first;
    }
    for (const connection of this.#connections.values()) connection.close();
    if (this.#openSockets === 0) return;
    await new Promise<void>((resolve) => {
      this.#onAllClosed.push(resolve);
    });
  }

  // --- ConnectionPool

  secureContext(): SecureContext {
    return this.#secureContext;
  }

  tlsSession(origin: string): Buffer | undefined {
    return this.#tlsSessions.get(origin);
  }

  keepTlsSession(origin: string, session: Buffer): void {
    this.#tlsSessions.set(origin, session, session.length + origin.length);
  }

  ended(exchange: Exchange): void {
    this.#underWay.remove(exchange);
  }

  becameIdle(connection: HostConnection, { keepAliveMs }: Reuse): void {
    const hintMs = keepAliveMs === undefined ? Infinity : keepAliveMs - keepAliveMarginMs;
    const keptMs = Math.min(this.#options.keepAliveMs, hintMs);
    if (connection.isDropped || keptMs <= 0) {
      connection.close();
      return;
    }
    connection.idleUntilMs = this.#clock.monotonicMs() + keptMs;
    this.#idle.append(connection);
    this.#armIdleTick();
  }

  becameBusy(connection: HostConnection): void {
    this.#idle.remove(connection);
  }

  closed(connection: HostConnection): void {
    this.#idle.remove(connection);
    if (this.#connections.get(connection.origin) === connection) {
      this.#connections.delete(connection.origin);
    }
  }

  sendSoon(connection: HostConnection): void {
    this.#endTurn();
    this.#toSend.push(connection);
  }

  connectSoon(connection: HostConnection): void {
    this.#endTurn();
    this.#toConnect.push(connection);
  }

  socketOpened(): void {
    this.#openSockets++;
  }

  socketClosed(): void {
    this.#openSockets--;
    if (this.#openSockets > 0) return;
    for (const resolve of this.#onAllClosed.splice(0)) resolve();
  }

  // ---

  /**
   * All requests of one turn are written in a row, and after them all connections are opened. Each alone,
   * while replies are read, wakes the network stack and the receiver anew: measured, that doubles the
   * system time of a push, and costs a first contact a fifth more.
   */
  #endTurn(): void {
    if (this.#toSend.length + this.#toConnect.length > 0) return;
    setImmediate(() => {
      const [toSend, toConnect] = [this.#toSend, this.#toConnect];
      this.#toSend = [];
      this.#toConnect = [];
      for (const each of toSend) each.sendNow();
      for (const each of toConnect) each.connectNow();
    });
  }

  #connectionTo(origin: string, atMs: number): HostConnection | ExchangeResult {
    const known = this.#connections.get(origin);
    if (known !== undefined && !(known.isIdle && atMs >= known.idleUntilMs)) {
      known.isDropped = false;
      return known;
    }
    known?.close();
    const address = parseOrigin(origin);
    if (address === undefined) return failed("resolve", `${origin} is no origin`, false);
    if (this.#connections.size >= this.#options.socketsMax) {
      const oldest = this.#idle.first;
      if (oldest === undefined) {
        return failed("local", `all ${this.#options.socketsMax} connections are in use`, false);
      }
      oldest.close();
    }
    const connection = new HostConnection(this, origin, address);
    this.#connections.set(origin, connection);
    return connection;
  }

  #armTick(): void {
    this.#cancelTick ??= this.#clock.after(deadlineTickMs, () => {
      this.#cancelTick = undefined;
      const atMs = this.#clock.monotonicMs();
      for (const exchange of this.#underWay) exchange.checkDeadline(atMs);
      if (this.#underWay.length > 0) this.#armTick();
    });
  }

  #armIdleTick(): void {
    this.#cancelIdleTick ??= this.#clock.after(idleTickMs, () => {
      this.#cancelIdleTick = undefined;
      const atMs = this.#clock.monotonicMs();
      for (const connection of this.#idle) {
        if (atMs >= connection.idleUntilMs) connection.close();
      }
      if (this.#idle.length > 0) this.#armIdleTick();
    });
  }
}
