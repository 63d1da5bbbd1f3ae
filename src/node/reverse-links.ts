/**
 * The connections that hosts have opened to this node: at most one a host, the newest.
 *
 * Two shared timers look after all of them: one for deadlines while anything is under way, one for
 * pings, age and silence. A connection that is to go (age, a node that leaves) is not cut: the host is
 * asked to attach elsewhere first, and closes this one itself. Nothing about a connection is stored.
 */
import type { Duplex } from "node:stream";
import type { HostId } from "../inventory/host.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Random } from "../kernel/random.ts";
import { detachPath, pingPath, reverseHeaders, type Detach } from "../protocol/reverse.ts";
import { failed, requestHead } from "../push/http-exchange.ts";
import { LinkedList } from "../push/linked-list.ts";
import type { ExchangeRequest, ExchangeResult } from "../push/transport.ts";
import { LinkExchange, ReverseLink, type CloseReason, type LinkHolder } from "./reverse-link.ts";

export interface LinksPorts {
  readonly clock: Clock;
  readonly random: Random;
  /** Called once for each connection, when it is gone. */
  readonly onClosed: (link: ReverseLink, reason: CloseReason) => void;
  /** Goes out with pings. */
  readonly lossSpreadMs: () => number;
}

export interface LinksOptions {
  /** Longest silence on an idle connection; two unanswered pings close it. */
  readonly pingIntervalMs: number;
  /** After about this time a host is asked to attach anew. */
  readonly linkAgeMs: number;
}

export type LinkRequest = Pick<ExchangeRequest, "path" | "headers" | "body" | "deadlineMs">;

/** Not an address: the host has none. */
const hostHeader = "host";
const deadlineTickMs = 50;
const lookTickMaxMs = 1_000;
/** A new connection hears from its node within this time, which also proves that it carries anything. */
const firstPingMs = 2_000;
/** From the wish that a host attaches anew until its connection is closed. */
const moveGraceMs = 15_000;
const moveWithinMs = 500;
const drainTurnMs = 50;

export class ReverseLinks implements LinkHolder {
  readonly #ports: LinksPorts;
  readonly #options: LinksOptions;
  readonly #links = new Map<HostId, ReverseLink>();
  /** Replaced by a newer one while something was under way. */
  readonly #leaving = new Set<ReverseLink>();
  readonly #underWay = new LinkedList<LinkExchange>();
  #toSend: ReverseLink[] = [];
  #cancelDeadlineTick: (() => void) | undefined;
  #cancelLookTick: (() => void) | undefined;
  #nextNumber: number;
  #isStopped = false;

  constructor(ports: LinksPorts, options: LinksOptions) {
    this.#ports = ports;
    this.#options = options;
    // Another life of this node must not give the same numbers again.
    this.#nextNumber = Math.floor(ports.random.next() * 2 ** 40);
  }

  get linkCount(): number {
    return this.#links.size;
  }

  get(host: HostId): ReverseLink | undefined {
    return this.#links.get(host);
  }

  all(): Iterable<ReverseLink> {
    return this.#links.values();
  }

  /** From now on `duplex` is the connection of `id`; an older one of the same host goes. */
  attach(id: HostId, partition: number, duplex: Duplex): ReverseLink | undefined {
    if (this.#isStopped) {
      duplex.destroy();
      return undefined;
    }
    const { pingIntervalMs, linkAgeMs } = this.#options;
    const { clock, random } = this.#ports;
    const atMs = clock.monotonicMs();
    const link = new ReverseLink(this, duplex, { id, partition }, this.#nextNumber++, atMs);
    link.pingMs = atMs + random.next() * Math.min(firstPingMs, pingIntervalMs);
    link.moveMs = atMs + linkAgeMs * (0.75 + 0.5 * random.next());
    const before = this.#links.get(id);
    this.#links.set(id, link);
    if (before !== undefined) this.#replace(before, link);
    this.#armLookTick();
    return link;
  }

  /** The host has a newer connection at another node: nothing more is sent over this one. */
  giveUp(link: ReverseLink): void {
    if (!this.#mayEnd(link)) return;
    this.#links.delete(link.host);
    link.refuseWaiting("the host has attached elsewhere");
  }

  /** Undefined where the host has no connection here. */
  exchange(host: HostId, request: LinkRequest): Promise<ExchangeResult> | undefined {
    const link = this.#links.get(host);
    return link === undefined ? undefined : this.#exchangeOver(link, request);
  }

  /** Asks every host to attach elsewhere, `perSecond` at a time, and waits until all have gone, `withinMs` at most. */
  async drain(withinMs: number, perSecond: number): Promise<void> {
    const { clock } = this.#ports;
    const startMs = clock.monotonicMs();
    // The last ones still need time to go.
    const rate = Math.max(perSecond, this.#links.size / ((0.6 * withinMs) / 1_000));
    let asked = 0;
    while (this.#links.size + this.#leaving.size > 0 && !this.#isStopped) {
      const passedMs = clock.monotonicMs() - startMs;
      if (passedMs >= withinMs) return;
      const due = Math.floor(((passedMs + drainTurnMs) / 1_000) * rate) - asked;
      asked += this.#askSome(due, "drain");
      await clock.sleep(drainTurnMs);
    }
  }

  /** Asks up to `count` hosts to attach elsewhere, those first that came first. */
  moveSome(count: number, reason: string): number {
    return this.#askSome(count, reason);
  }

  /** Closes everything. Idempotent. */
  stop(): void {
    this.#isStopped = true;
    for (const link of [...this.#links.values(), ...this.#leaving]) link.close("stopped");
    this.#cancelDeadlineTick?.();
    this.#cancelDeadlineTick = undefined;
    this.#cancelLookTick?.();
    this.#cancelLookTick = undefined;
  }

  // --- LinkHolder

  /** All requests of one turn are written in a row, as in src/push/socket-transport.ts. */
  sendSoon(link: ReverseLink): void {
    this.#toSend.push(link);
    if (this.#toSend.length > 1) return;
    setImmediate(() => {
      const links = this.#toSend;
      this.#toSend = [];
      for (const each of links) each.sendNow();
    });
  }

  ended(exchange: LinkExchange): void {
    this.#underWay.remove(exchange);
  }

  answered(link: ReverseLink): void {
    const { pingIntervalMs } = this.#options;
    const { clock, random } = this.#ports;
    link.pingMs = clock.monotonicMs() + pingIntervalMs * (0.7 + 0.25 * random.next());
    if (this.#leaving.has(link)) link.close("replaced");
  }

  closed(link: ReverseLink): void {
    this.#leaving.delete(link);
    if (this.#links.get(link.host) === link) this.#links.delete(link.host);
    this.#ports.onClosed(link, link.closeReason ?? "hostClosed");
  }

  // ---

  #replace(before: ReverseLink, link: ReverseLink): void {
    if (!this.#mayEnd(before)) return;
    for (const exchange of before.takeWaiting()) {
      exchange.link = link;
      link.accept(exchange);
    }
  }

  /** A host that was asked to move has made the new one first: what is under way may end. Others are closed. */
  #mayEnd(before: ReverseLink): boolean {
    if (!before.isMoving || before.isIdle) {
      before.close(before.isMoving ? "moved" : "replaced");
      return false;
    }
    this.#leaving.add(before);
    return true;
  }

  #exchangeOver(link: ReverseLink, request: LinkRequest): Promise<ExchangeResult> {
    const rendered = requestHead(request, hostHeader);
    if ("reason" in rendered) return Promise.resolve(failed("local", rendered.reason, false));
    return this.#send(link, rendered.head, request.body, request.deadlineMs);
  }

  #send(
    link: ReverseLink,
    head: string,
    body: Buffer | undefined,
    deadlineMs: number,
  ): Promise<ExchangeResult> {
    const untilMs = this.#ports.clock.monotonicMs() + deadlineMs;
    return new Promise((resolve) => {
      const exchange = new LinkExchange(link, head, body, untilMs, resolve);
      if (!link.accept(exchange)) {
        resolve(failed("local", "too many requests wait for this host's connection", false));
        return;
      }
      this.#underWay.append(exchange);
      this.#armDeadlineTick();
    });
  }

  /** Asks up to `count` hosts that were not asked yet; returns how many. */
  #askSome(count: number, reason: string): number {
    if (count <= 0) return 0;
    let asked = 0;
    for (const link of this.#links.values()) {
      if (asked >= count) break;
      if (link.isMoving) continue;
      this.#askToMove(link, reason);
      asked++;
    }
    return asked;
  }

  #askToMove(link: ReverseLink, reason: string): void {
    link.isMoving = true;
    link.moveMs = this.#ports.clock.monotonicMs() + moveGraceMs;
    const detach: Detach = { withinMs: moveWithinMs, reason };
    const body = Buffer.from(JSON.stringify(detach));
    const headers = { "content-type": "application/json" };
    const request = { path: detachPath, headers, body, deadlineMs: moveGraceMs };
    // Whether it hears it or not, it is closed when the grace is over.
    void this.#exchangeOver(link, request);
  }

  #ping(link: ReverseLink): void {
    const headers = { [reverseHeaders.lossSpreadMs]: String(this.#ports.lossSpreadMs()) };
    const deadlineMs = this.#options.pingIntervalMs;
    void this.#exchangeOver(link, { path: pingPath, headers, body: undefined, deadlineMs });
  }

  #look(atMs: number): void {
    for (const link of this.#leaving) this.#closeWhereSilent(link, atMs);
    for (const link of this.#links.values()) {
      if (this.#closeWhereSilent(link, atMs)) continue;
      if (atMs >= link.moveMs) {
        if (link.isMoving) link.close("moved");
        else this.#askToMove(link, "age");
      } else if (link.isIdle && atMs >= link.pingMs) this.#ping(link);
    }
  }

  #closeWhereSilent(link: ReverseLink, atMs: number): boolean {
    if (link.lateSinceMs === -1) return false;
    if (atMs - link.lateSinceMs < this.#options.pingIntervalMs) return false;
    link.close("silent");
    return true;
  }

  #armDeadlineTick(): void {
    this.#cancelDeadlineTick ??= this.#ports.clock.after(deadlineTickMs, () => {
      this.#cancelDeadlineTick = undefined;
      const atMs = this.#ports.clock.monotonicMs();
      for (const exchange of this.#underWay) {
        if (atMs >= exchange.deadlineMs) exchange.link.expire(exchange, atMs);
      }
      if (this.#underWay.length > 0) this.#armDeadlineTick();
    });
  }

  #armLookTick(): void {
    if (this.#cancelLookTick !== undefined || this.#isStopped) return;
    const { clock } = this.#ports;
    const tickMs = Math.min(lookTickMaxMs, this.#options.pingIntervalMs / 4);
    this.#cancelLookTick = clock.after(tickMs, () => {
      this.#cancelLookTick = undefined;
      this.#look(clock.monotonicMs());
      if (this.#links.size + this.#leaving.size > 0) this.#armLookTick();
    });
  }
}
