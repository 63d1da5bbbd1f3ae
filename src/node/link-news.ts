/**
 * Tells owners which of their hosts are connected here: what is true now, again and again until it was
 * heard, and once more when the owner changes. A lost call costs time, nothing else.
 *
 * Bounded: one call under way to each owner, a thousand connections in each.
 */
import type { Clock } from "../kernel/clock.ts";
import { isCoxswainError } from "../kernel/errors.ts";
import type { ViewMember } from "../ring/view.ts";
import { linksPerCallMax, provenLinks, type HeldLink } from "./link-calls.ts";
import type { Peers } from "./peers.ts";
import type { ReverseLink } from "./reverse-link.ts";
import type { ReverseLinks } from "./reverse-links.ts";

export interface LinkNewsPorts {
  readonly clock: Clock;
  readonly peers: Pick<Peers, "call">;
  readonly slot: string;
  readonly secret: Uint8Array | undefined;
  readonly links: ReverseLinks;
  readonly ownerOf: (partition: number) => ViewMember | undefined;
  readonly member: (slot: string) => ViewMember | undefined;
  /** A connection of a host that this node itself owns. */
  readonly onOwn: (link: ReverseLink) => "known" | "unknown" | "unserved";
}

type Ended = Pick<HeldLink, "host" | "number">;

interface News {
  readonly owner: ViewMember;
  readonly linked: ReverseLink[];
}

const callTimeoutMs = 2_000;
/** What an owner has forgotten is told again after this time. */
const againMs = 60_000;
/** So long nobody is pointed to an owner that did not answer. */
const deafMs = 5_000;
/** An owner that does not answer learns of ends from pushes that fail. */
const endedMax = 10_000;

export class LinkNews {
  readonly #ports: LinkNewsPorts;
  /** By the owner that knew of them, `slot/incarnation`. */
  readonly #ended = new Map<string, Ended[]>();
  readonly #underWay = new Set<string>();
  /** Connections that were made since their owner was told, or that it was not told of yet. */
  readonly #fresh = new Set<ReverseLink>();
  /** Owners that did not answer, until when that counts. */
  readonly #deafUntilMs = new Map<string, number>();
  #isTurnDue = false;

  constructor(ports: LinkNewsPorts) {
    this.#ports = ports;
  }

  /** What changes in this turn of the event loop is told together. */
  tellSoon(link?: ReverseLink): void {
    if (link !== undefined) this.#fresh.add(link);
    if (this.#isTurnDue) return;
    this.#isTurnDue = true;
    this.#ports.clock.after(0, () => {
      this.#isTurnDue = false;
      this.#tell(this.#fresh);
    });
  }

  ended({ host, number, toldTo }: ReverseLink): void {
    if (toldTo === "" || toldTo.startsWith(`${this.#ports.slot}/`)) return;
    const ended = this.#ended.get(toldTo) ?? [];
    if (ended.length >= endedMax) return;
    this.#ended.set(toldTo, ended);
    ended.push({ host, number });
    this.tellSoon();
  }

  /** Tells whatever an owner does not know yet; looks at every connection. */
  tell(): void {
    const { links, clock } = this.#ports;
    for (const [key, untilMs] of this.#deafUntilMs) {
      if (untilMs <= clock.monotonicMs()) this.#deafUntilMs.delete(key);
    }
    this.#tell(links.all());
  }

  /** `owner` did not answer the last time that it was told something, a moment ago. */
  isDeaf(owner: ViewMember): boolean {
    return (this.#deafUntilMs.get(keyOf(owner)) ?? -Infinity) > this.#ports.clock.monotonicMs();
  }

  #tell(links: Iterable<ReverseLink>): void {
    const { clock, slot } = this.#ports;
    const atMs = clock.monotonicMs();
    const news = new Map<string, News>();
    for (const link of links) {
      const owner = this.#ports.ownerOf(link.partition);
      const key = owner === undefined ? "" : keyOf(owner);
      const isTold = link.toldTo === key && atMs - link.toldMs < againMs;
      const isGone = this.#ports.links.get(link.host) !== link;
      if (isTold || isGone) this.#fresh.delete(link);
      if (isTold || isGone || owner === undefined) continue;
      if (owner.slot === slot) this.#noteOwn(link, key, atMs);
      else linkedOf(news, key, owner).push(link);
    }
    for (const key of this.#ended.keys()) {
      const owner = this.#ports.member(key.slice(0, key.lastIndexOf("/")));
      if (owner === undefined || keyOf(owner) !== key) this.#ended.delete(key);
      else linkedOf(news, key, owner);
    }
    for (const [key, { owner, linked }] of news) {
      if (!this.#underWay.has(key)) void this.#send(key, owner, linked);
    }
  }

  #noteOwn(link: ReverseLink, key: string, atMs: number): void {
    const outcome = this.#ports.onOwn(link);
    if (outcome === "unknown") link.close("unknownHost");
    if (outcome === "known") this.#wasTold(link, key, atMs);
  }

  #wasTold(link: ReverseLink, key: string, atMs: number): void {
    link.toldTo = key;
    link.toldMs = atMs;
    this.#fresh.delete(link);
  }

  async #send(key: string, owner: ViewMember, linked: ReverseLink[]): Promise<void> {
    this.#underWay.add(key);
    try {
      for (let from = 0; from === 0 || from < linked.length; from += linksPerCallMax) {
        const some = linked.slice(from, from + linksPerCallMax).filter(({ isClosed }) => !isClosed);
        const ended = this.#ended.get(key)?.splice(0, linksPerCallMax) ?? [];
        if (this.#ended.get(key)?.length === 0) this.#ended.delete(key);
        if (!(await this.#call(key, owner, some, ended))) return;
      }
    } finally {
      this.#underWay.delete(key);
    }
  }

  async #call(
    key: string,
    owner: ViewMember,
    linked: readonly ReverseLink[],
    unlinked: readonly Ended[],
  ): Promise<boolean> {
    const { clock, peers, slot, secret, links } = this.#ports;
    const atMs = clock.monotonicMs();
    const held = linked.map(({ host, number, attachedMs }) => ({
      host,
      number,
      ageMs: Math.max(0, Math.round(atMs - attachedMs)),
    }));
    const ask = provenLinks(secret, { slot, linked: held, unlinked });
    try {
      const answer = await peers.call(owner.fleetUrl, "links", ask, callTimeoutMs);
      const [unknown, unserved] = [new Set(answer.unknown), new Set(answer.unserved)];
      for (const link of linked) {
        if (links.get(link.host) !== link || unserved.has(link.host)) continue;
        this.#wasTold(link, key, atMs);
        if (unknown.has(link.host)) link.close("unknownHost");
      }
      this.#deafUntilMs.delete(key);
      return true;
    } catch (error) {
      this.#deafUntilMs.set(key, clock.monotonicMs() + deafMs);
      // Told again with the next turn, to whoever owns the hosts by then.
      if (isCoxswainError(error)) return false;
      throw error;
    }
  }
}

function linkedOf(news: Map<string, News>, key: string, owner: ViewMember): ReverseLink[] {
  const known = news.get(key) ?? { owner, linked: [] };
  news.set(key, known);
  return known.linked;
}

function keyOf({ slot, incarnation }: ViewMember): string {
  return `${slot}/${incarnation}`;
}
