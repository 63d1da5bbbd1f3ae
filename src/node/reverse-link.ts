/**
 * One connection that a host opened: exchanges over it, one at a time, in order of arrival.
 *
 * A caller that has waited long enough gets its answer (`ambiguous`) while the connection goes on
 * waiting for the host's: a slow apply must not cost a connection. What nobody answers for a ping
 * interval more is dead. Kept small: a node holds thousands, so there are no timers and, while it is
 * idle, no closures of its own here.
 */
import type { HostId } from "../inventory/host.ts";
import {
  failed,
  HttpConnection,
  type HttpConnectionUser,
  type Reuse,
} from "../push/http-exchange.ts";
import type { Linked } from "../push/linked-list.ts";
import type { ExchangeResult } from "../push/transport.ts";
import type { Duplex } from "node:stream";

/** One request on its way over a link. */
export class LinkExchange implements Linked<LinkExchange> {
  previous: LinkExchange | undefined = undefined;
  next: LinkExchange | undefined = undefined;
  list: object | undefined = undefined;
  /** Another one where the host's connection was replaced while this waited. */
  link: ReverseLink;
  readonly head: string;
  readonly body: Buffer | undefined;
  /** Monotonic. */
  readonly deadlineMs: number;
  /** Undefined once its caller has an answer. */
  resolve: ((result: ExchangeResult) => void) | undefined;

  constructor(
    link: ReverseLink,
    head: string,
    body: Buffer | undefined,
    deadlineMs: number,
    resolve: (result: ExchangeResult) => void,
  ) {
    this.link = link;
    this.head = head;
    this.body = body;
    this.deadlineMs = deadlineMs;
    this.resolve = resolve;
  }
}

/** Who holds links; called synchronously. */
export interface LinkHolder {
  /** The link should write what it has to send, together with others. */
  sendSoon(link: ReverseLink): void;
  /** The exchange needs no deadline any more. */
  ended(exchange: LinkExchange): void;
  /** The host has answered something. */
  answered(link: ReverseLink): void;
  closed(link: ReverseLink): void;
}

export type CloseReason =
  | "hostClosed"
  | "silent"
  | "replaced"
  | "moved"
  | "unknownHost"
  | "stopped";

/** Both owners of a moment, a ping, and one that gave up waiting. */
const waitingMax = 4;

export class ReverseLink implements HttpConnectionUser {
  readonly host: HostId;
  readonly partition: number;
  /** Tells this connection from an earlier one of the same host. */
  readonly number: number;
  readonly attachedMs: number;
  /** When it is pinged unless something else is answered before. Monotonic, as are all here. */
  pingMs = 0;
  /** When the host is asked to attach anew; then, when the connection is closed. */
  moveMs = 0;
  isMoving = false;
  /** The owner that knows of it, `slot/incarnation`, and since when; empty: none does. */
  toldTo = "";
  toldMs = 0;
  /** Since when its caller has had no answer to what is under way; -1: there is no such caller. */
  lateSinceMs = -1;
  closeReason: CloseReason | undefined = undefined;
  readonly #http: HttpConnection;
  readonly #holder: LinkHolder;
  #current: LinkExchange | undefined = undefined;
  #waiting: LinkExchange[] | undefined = undefined;

  constructor(
    holder: LinkHolder,
    duplex: Duplex,
    host: { readonly id: HostId; readonly partition: number },
    number: number,
    attachedMs: number,
  ) {
    this.host = host.id;
    this.partition = host.partition;
    this.number = number;
    this.attachedMs = attachedMs;
    this.#holder = holder;
    this.#http = new HttpConnection(duplex, this);
  }

  get isIdle(): boolean {
    return this.#current === undefined;
  }

  get isClosed(): boolean {
    return this.closeReason !== undefined;
  }

  /** Takes an exchange; false where too many wait already. */
  accept(exchange: LinkExchange): boolean {
    if (this.isClosed) return false;
    if (this.#current === undefined) {
      this.#current = exchange;
      this.#holder.sendSoon(this);
      return true;
    }
    this.#waiting ??= [];
    if (this.#waiting.length >= waitingMax) return false;
    this.#waiting.push(exchange);
    return true;
  }

  /** Writes the request whose turn it is. */
  sendNow(): void {
    if (this.#current === undefined || this.isClosed) return;
    this.#http.send(this.#current.head, this.#current.body);
  }

  /** Answers the caller of an exchange whose time is over. */
  expire(exchange: LinkExchange, atMs: number): void {
    if (exchange === this.#current) {
      this.lateSinceMs = atMs;
      this.#settle(exchange, failed("ambiguous", "no reply before the deadline", true));
      return;
    }
    const index = this.#waiting?.indexOf(exchange) ?? -1;
    if (index !== -1) this.#waiting?.splice(index, 1);
    const message = "the host was still busy with another request at the deadline";
    this.#settle(exchange, failed("ambiguous", message, false));
  }

  /** Closes it for `reason`; the exchange under way ends as ambiguous, others as detached. */
  close(reason: CloseReason): void {
    if (this.isClosed) return;
    this.closeReason = reason;
    this.#http.destroy();
    const current = this.#current;
    this.#current = undefined;
    if (current !== undefined) {
      this.#settle(current, failed("ambiguous", `the connection was closed: ${reason}`, true));
    }
    this.refuseWaiting(`the connection was closed: ${reason}`);
    this.#holder.closed(this);
  }

  /** Those that have not been sent are not, for a reason that people read. */
  refuseWaiting(message: string): void {
    for (const exchange of this.takeWaiting()) {
      this.#settle(exchange, failed("detached", message, false));
    }
  }

  /** Those that have not been sent, for another connection of the host. */
  takeWaiting(): LinkExchange[] {
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    return waiting;
  }

  /** For HttpConnection. */
  onResult(result: ExchangeResult, reuse: Reuse | undefined): void {
    const ended = this.#current;
    this.#current = undefined;
    this.lateSinceMs = -1;
    if (ended !== undefined) this.#settle(ended, result);
    if (reuse === undefined) {
      this.close("hostClosed");
      return;
    }
    this.#holder.answered(this);
    const next = this.#waiting?.shift();
    if (this.#waiting?.length === 0) this.#waiting = undefined;
    if (next === undefined || this.isClosed) return;
    this.#current = next;
    this.#holder.sendSoon(this);
  }

  /** For HttpConnection. */
  onClosed(): void {
    this.close("hostClosed");
  }

  #settle(exchange: LinkExchange, result: ExchangeResult): void {
    this.#holder.ended(exchange);
    const { resolve } = exchange;
    exchange.resolve = undefined;
    resolve?.(result);
  }
}
