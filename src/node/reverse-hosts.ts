/**
 * Hosts that open their connections themselves, as one part of the node: who may attach here, and how an
 * exchange reaches a host wherever it landed.
 *
 * The owner decides what is sent and when, as with every mode; a node that holds the connection for
 * another owner passes requests on and understands nothing of them. An owner's memory of holders is told
 * to it and may be wrong: then a push fails, and the next one is as good as the news by then.
 */
import type { Duplex } from "node:stream";
import { parseHostId, type HostId } from "../inventory/host.ts";
import type { Clock } from "../kernel/clock.ts";
import { CoxswainError, isCoxswainError } from "../kernel/errors.ts";
import type { Metrics } from "../kernel/metrics.ts";
import type { Random } from "../kernel/random.ts";
import { attachPath } from "../protocol/reverse.ts";
import { syncPath } from "../protocol/sync.ts";
import { failed } from "../push/http-exchange.ts";
import type { HostLinks } from "../push/host-transport.ts";
import type { Pusher } from "../push/pusher.ts";
import type { ExchangeRequest, ExchangeResult, HostRoute } from "../push/transport.ts";
import type { View, ViewMember } from "../ring/view.ts";
import { AttachAdmission } from "./attach-admission.ts";
import {
  areLinksProven,
  isRelayProven,
  provenRelay,
  relayAnswerOf,
  resultOfRelay,
  type LinkCalls,
} from "./link-calls.ts";
import { LinkHolders, type Holder } from "./link-holders.ts";
import { LinkNews } from "./link-news.ts";
import { LossSpread } from "./loss-spread.ts";
import type { Peers } from "./peers.ts";
import type { ReverseLink } from "./reverse-link.ts";
import { ReverseLinks } from "./reverse-links.ts";
import type { Slice } from "./slice.ts";

export interface ReversePorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: Metrics;
  readonly peers: Peers;
  readonly slot: string;
  readonly hostSecret: Uint8Array | undefined;
  readonly lagMs: (() => number) | undefined;
  readonly isStoreReachable: () => boolean;
  readonly partitionOf: (id: HostId) => number;
  readonly slice: () => Slice;
  readonly pusher: () => Pusher;
}

export interface ReverseOptions {
  readonly attachesPerSecond: number;
  readonly links: number;
  readonly pingIntervalMs: number;
  readonly linkAgeMs: number;
}

export interface AttachAsk {
  readonly host: string;
  /** The host can be pointed to another node. */
  readonly isDirect: boolean;
  /** Whether it is who it says; asked once, and not of anybody who is refused anyway. */
  readonly isProven: () => boolean;
}

export type AttachVerdict =
  | { readonly kind: "admitted"; readonly id: HostId }
  | { readonly kind: "busy"; readonly retryAfterSeconds: number }
  | { readonly kind: "unproven" | "unknownHost" }
  | { readonly kind: "moved"; readonly location: string };

const lagMaxMs = 250;
/** A host that attaches again so soon is not waiting for anything, or there are two of it. */
const attachAgainMs = 500;
/** A host that attached so recently is woken when its owner hears of it. */
const freshMs = 10_000;
const relayMarginMs = 500;
/** Hosts told to move while others admit so much of their rate. */
const drainRatio = 0.8;
/** A node without the store for so long may have been evicted, and would not know. */
const aloneAfterMs = 30_000;
/** While that lasts, each connection is asked to move about this often. */
const aloneLinkAgeMs = 60_000;
/** A node that knows that it is no member any more has no use for connections: owners do not ask it. */
const outsideLinkAgeMs = 10_000;

export class ReverseHosts implements HostLinks {
  readonly links: ReverseLinks;
  readonly #ports: ReversePorts;
  readonly #options: ReverseOptions;
  readonly #admission: AttachAdmission;
  readonly #holders = new LinkHolders();
  readonly #news: LinkNews;
  readonly #lossSpread: LossSpread;
  #isDraining = false;
  /** Since when the store is away, and how many connections were due to move by then. */
  #alone: { readonly sinceMs: number; lookedMs: number; dueCount: number } | undefined;
  /** The view at the last look through the holders. */
  #pruned: View | undefined;
  #members: { readonly view: View; readonly bySlot: ReadonlyMap<string, ViewMember> } | undefined;

  constructor(ports: ReversePorts, options: ReverseOptions) {
    const { clock, random, peers, slot, slice, hostSecret } = ports;
    this.#ports = ports;
    this.#options = options;
    this.#admission = new AttachAdmission(
      { attachesPerSecond: options.attachesPerSecond, linksMax: options.links, lagMaxMs },
      clock.monotonicMs(),
    );
    const linkCount = () => this.links.linkCount;
    this.#lossSpread = new LossSpread({ clock, slot, slice, linkCount }, options);
    this.links = new ReverseLinks(
      {
        clock,
        random,
        onClosed: (link) => this.#ended(link),
        lossSpreadMs: () => this.lossSpreadMs(),
      },
      options,
    );
    this.#news = new LinkNews({
      clock,
      peers,
      slot,
      secret: hostSecret,
      links: this.links,
      ownerOf: (partition) => this.#ownerOf(partition),
      member: (name) => this.#member(name),
      onOwn: (link) => this.#own(link),
    });
  }

  get linkCount(): number {
    return this.links.linkCount;
  }

  /** The longest time between two requests of this node on a connection. */
  get pingIntervalMs(): number {
    return this.#options.pingIntervalMs;
  }

  /** Over how long hosts should come again when their connection here is lost. */
  lossSpreadMs(): number {
    return this.#lossSpread.ms();
  }

  /** Whether a host may attach here now; one that may must do so. */
  judge({ host, isDirect, isProven }: AttachAsk): AttachVerdict {
    const atMs = this.#ports.clock.monotonicMs();
    const verdict = this.#verdict(host, isDirect, isProven, atMs);
    this.#ports.metrics.attachesTotal.labels({ outcome: verdict.kind }).inc();
    return verdict;
  }

  /** From now on `duplex` carries syncs to the host. */
  attach(id: HostId, duplex: Duplex): void {
    this.#holders.forget(id);
    const link = this.links.attach(id, this.#ports.partitionOf(id), duplex);
    this.#ports.metrics.reverseLinks.set(this.links.linkCount);
    if (link !== undefined) this.#news.tellSoon(link);
  }

  // --- HostLinks

  exchange(request: ExchangeRequest, route: HostRoute): Promise<ExchangeResult> | undefined {
    const id = route.host as HostId;
    const own = this.links.exchange(id, request);
    if (own !== undefined) return own;
    const holder = this.#holders.get(id);
    if (holder === undefined) return undefined;
    const member = this.#member(holder.slot);
    if (member === undefined || request.body === undefined) return undefined;
    return this.#relay(member, id, holder, request, request.body);
  }

  // --- peers

  answerLinks(ask: LinkCalls["links"]["ask"]): LinkCalls["links"]["answer"] {
    requireProof(areLinksProven(this.#ports.hostSecret, ask), "links");
    const { partitionOf, slice, clock } = this.#ports;
    const atMs = clock.monotonicMs();
    const [unknown, unserved]: [string[], string[]] = [[], []];
    for (const { host, number } of ask.unlinked) {
      this.#holders.unlinked(parseHostId(host), ask.slot, number);
    }
    // One that is no member here is not asked for its hosts, so it has to tell again once it is.
    const isMember = this.#member(ask.slot) !== undefined;
    for (const link of ask.linked) {
      const id = parseHostId(link.host);
      const partition = partitionOf(id);
      if (!isMember || !slice().isServed(partition)) unserved.push(id);
      else if (!this.#isReverse(partition, id)) unknown.push(id);
      else {
        const own = this.links.get(id);
        const news = this.#holders.linked(id, ask.slot, link, atMs, own?.attachedMs);
        if (news !== "new") continue;
        if (own !== undefined) this.links.giveUp(own);
        this.#wake(id, link.ageMs);
      }
    }
    return { unknown, unserved };
  }

  async answerRelay(ask: LinkCalls["relay"]["ask"]): Promise<LinkCalls["relay"]["answer"]> {
    requireProof(isRelayProven(this.#ports.hostSecret, ask), "relay");
    const { headers, deadlineMs } = ask;
    const body = Buffer.from(ask.body, "base64");
    const request = { path: syncPath, headers, body, deadlineMs };
    const result = this.links.exchange(parseHostId(ask.host), request);
    if (result !== undefined) return relayAnswerOf(await result);
    return relayAnswerOf(failed("detached", "the host is not connected here any more", false));
  }

  // --- the node's loops

  /** Tells owners what they do not know, and forgets what is not this node's any more. */
  turn(): void {
    this.#news.tell();
    this.#moveWhileAlone();
    if (this.#holders.size === 0) return;
    const { slice, partitionOf } = this.#ports;
    const { view } = slice();
    if (this.#pruned === view) return;
    this.#pruned = view;
    this.#holders.prune(
      (id, { slot }) => slice().isServed(partitionOf(id)) && this.#member(slot) !== undefined,
    );
  }

  /**
   * The owners that others know do not find a host here once this node was evicted, and pings make the host
   * believe that all is well. It cannot be told apart from an outage of the store for all, so hosts go round;
   * a node that has read that it is no member lets go of them sooner.
   */
  #moveWhileAlone(): void {
    const { clock, isStoreReachable } = this.#ports;
    const atMs = clock.monotonicMs();
    const isOutside = !this.#isMember();
    if (isStoreReachable() && !isOutside) {
      this.#alone = undefined;
      return;
    }
    this.#alone ??= { sinceMs: atMs, lookedMs: atMs, dueCount: 0 };
    const alone = this.#alone;
    const fromMs = isOutside ? alone.lookedMs : alone.sinceMs + aloneAfterMs;
    const passedMs = atMs - Math.max(alone.lookedMs, fromMs);
    alone.lookedMs = atMs;
    if (passedMs <= 0) return;
    const ageMs = isOutside ? outsideLinkAgeMs : aloneLinkAgeMs;
    alone.dueCount += (this.links.linkCount * passedMs) / ageMs;
    const due = Math.floor(alone.dueCount);
    if (due === 0) return;
    alone.dueCount -= due;
    this.links.moveSome(due, "alone");
  }

  /** Lets nobody in any more and asks those who are here to attach elsewhere. */
  async drain(withinMs: number): Promise<void> {
    this.#isDraining = true;
    const { slot, slice } = this.#ports;
    const others = slice().view.members.filter(
      (member) => member.slot !== slot && member.state === "active",
    ).length;
    if (others === 0) return;
    await this.links.drain(withinMs, this.#options.attachesPerSecond * others * drainRatio);
  }

  stop(): void {
    this.#isDraining = true;
    this.links.stop();
  }

  // ---

  #verdict(host: string, isDirect: boolean, isProven: () => boolean, atMs: number): AttachVerdict {
    const { linkCount } = this.links;
    const lagMs = this.#ports.lagMs?.() ?? 0;
    const isDraining = this.#isDraining || !this.#isMember();
    const situation = { linkCount, lagMs, isDraining };
    const refusal = this.#admission.refusal(situation, atMs);
    if (refusal !== undefined) {
      const draw = this.#ports.random.next();
      const retryAfterSeconds = this.#admission.retryAfterSeconds(refusal, atMs, draw);
      return { kind: "busy", retryAfterSeconds };
    }
    if (!isProven()) return { kind: "unproven" };
    const id = parseHostId(host);
    const partition = this.#ports.partitionOf(id);
    if (this.#ports.slice().isServed(partition) && !this.#isReverse(partition, id)) {
      return { kind: "unknownHost" };
    }
    const owner = this.#ownerOf(partition);
    if (isDirect && owner !== undefined && this.#isPointedTo(owner)) {
      return { kind: "moved", location: owner.fleetUrl + attachPath };
    }
    const before = this.links.get(id);
    if (before !== undefined && !before.isMoving && atMs - before.attachedMs < attachAgainMs) {
      return { kind: "busy", retryAfterSeconds: 1 };
    }
    this.#admission.admit(atMs);
    return { kind: "admitted", id };
  }

  /** Nobody is sent to an owner that did not answer when it was last told of a connection. */
  #isPointedTo(owner: ViewMember): boolean {
    return owner.slot !== this.#ports.slot && !this.#news.isDeaf(owner);
  }

  #isReverse(partition: number, id: HostId): boolean {
    return this.#ports.slice().record(partition, id)?.modes.includes("reverse") === true;
  }

  #own(link: ReverseLink): "known" | "unknown" | "unserved" {
    const { host, partition, attachedMs, toldTo } = link;
    if (!this.#ports.slice().isServed(partition)) return "unserved";
    if (!this.#isReverse(partition, host)) return "unknown";
    const isNews = !toldTo.startsWith(`${this.#ports.slot}/`);
    if (isNews) this.#wake(host, this.#ports.clock.monotonicMs() - attachedMs);
    return "known";
  }

  /** A host that has just come is synced at once; one that was there needs it only where pushes failed. */
  #wake(id: HostId, ageMs: number): void {
    const pusher = this.#ports.pusher();
    const isWaiting = pusher.status(id)?.nextAttemptMs !== undefined;
    if (ageMs < freshMs || isWaiting) pusher.wake(id);
  }

  #ended(link: ReverseLink): void {
    this.#ports.metrics.reverseLinks.set(this.links.linkCount);
    this.#ports.metrics.linksEndedTotal.labels({ reason: link.closeReason ?? "" }).inc();
    // Replaced by a newer one here: the owner learns of that one.
    if (this.links.get(link.host) === undefined) this.#news.ended(link);
  }

  async #relay(
    member: ViewMember,
    id: HostId,
    holder: Holder,
    { headers, deadlineMs }: ExchangeRequest,
    body: Buffer,
  ): Promise<ExchangeResult> {
    const { peers, hostSecret, metrics } = this.#ports;
    const text = body.toString("base64");
    const ask = provenRelay(hostSecret, { host: id, headers, body: text, deadlineMs });
    let result: ExchangeResult;
    try {
      const answer = await peers.call(member.fleetUrl, "relay", ask, deadlineMs + relayMarginMs);
      result = resultOfRelay(answer);
    } catch (error) {
      if (!isCoxswainError(error)) throw error;
      result = failed("ambiguous", `the node that holds the connection: ${error.message}`, true);
    }
    const outcome = result.kind === "failed" ? result.failure : "reply";
    metrics.relaysTotal.labels({ outcome }).inc();
    if (outcome === "detached") this.#holders.unlinked(id, holder.slot, holder.number);
    return result;
  }

  #ownerOf(partition: number): ViewMember | undefined {
    const slot = this.#ports.slice().placement.ownerOf(partition);
    return slot === undefined ? undefined : this.#member(slot);
  }

  #isMember(): boolean {
    return this.#member(this.#ports.slot) !== undefined;
  }

  #member(slot: string): ViewMember | undefined {
    const { view } = this.#ports.slice();
    if (this.#members?.view !== view) {
      this.#members = { view, bySlot: new Map(view.members.map((each) => [each.slot, each])) };
    }
    return this.#members.bySlot.get(slot);
  }
}

function requireProof(isProven: boolean, name: string): void {
  if (isProven) return;
  throw new CoxswainError("PEER_UNPROVEN", `Expected a proof of the cluster's secret with ${name}`);
}
