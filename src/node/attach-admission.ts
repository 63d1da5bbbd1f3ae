/**
 * Whom a node lets attach: so many a second, so many in all, and nobody while its event loop is late.
 *
 * A node that died leaves thousands of hosts that come at once. What is let in is a token bucket; who is
 * refused hears when to come again, and that is its place in the line of those refused before it, so
 * that the herd comes back spread at the very rate that is let in. Pure: time and draws come in.
 */

export interface AttachLimits {
  readonly attachesPerSecond: number;
  readonly linksMax: number;
  /** An event loop that is later than this has enough to do. */
  readonly lagMaxMs: number;
}

export interface AttachSituation {
  readonly linkCount: number;
  readonly lagMs: number;
  readonly isDraining: boolean;
}

export type AttachRefusal = "draining" | "full" | "lagging" | "rate";

/** Part of a second's attaches that may come at one instant. */
const burstRatio = 0.1;
export const retryAfterMaxSeconds = 60;
/** Connections live long: a full node stays full. */
const fullSeconds = 15;

/** The least time over which hosts come again. */
const spreadMinMs = 500;
const spreadMaxMs = 60_000;
/** Part of the others' rate that the hosts of a lost node may take. */
const spreadRatio = 0.8;

/**
 * Over how many milliseconds the hosts of a node that is lost should come again: as long as the others need to
 * let them in, or the node itself where there are no others. Told beforehand, because a lost node says nothing.
 */
export function lossSpreadMs(
  links: number,
  others: number,
  { attachesPerSecond }: Pick<AttachLimits, "attachesPerSecond">,
): number {
  const perSecond = attachesPerSecond * Math.max(1, others) * spreadRatio;
  return Math.round(Math.min(spreadMaxMs, Math.max(spreadMinMs, (links / perSecond) * 1_000)));
}

export class AttachAdmission {
  readonly #limits: AttachLimits;
  readonly #burst: number;
  #tokens: number;
  /** Refused, and not yet due to come again at the rate that is let in. */
  #backlog = 0;
  #updatedMs: number;

  constructor(limits: AttachLimits, atMs: number) {
    this.#limits = limits;
    this.#burst = Math.max(1, limits.attachesPerSecond * burstRatio);
    this.#tokens = this.#burst;
    this.#updatedMs = atMs;
  }

  /** Why nobody can be let in now; undefined: there is room for one. */
  refusal(
    { isDraining, linkCount, lagMs }: AttachSituation,
    atMs: number,
  ): AttachRefusal | undefined {
    this.#update(atMs);
    if (isDraining) return "draining";
    if (linkCount >= this.#limits.linksMax) return "full";
    if (lagMs > this.#limits.lagMaxMs) return "lagging";
    return this.#tokens < 1 ? "rate" : undefined;
  }

  /** One is let in; `refusal` must have said that there is room. */
  admit(atMs: number): void {
    this.#update(atMs);
    this.#tokens -= 1;
  }

  /** When one that is refused should come again. `draw` is from [0, 1). */
  retryAfterSeconds(reason: AttachRefusal, atMs: number, draw: number): number {
    this.#update(atMs);
    if (reason === "draining") return 1 + Math.floor(2 * draw);
    const { attachesPerSecond } = this.#limits;
    const placesMax = attachesPerSecond * retryAfterMaxSeconds;
    this.#backlog = Math.min(placesMax, this.#backlog + 1);
    // At the end of a line that is full, places are drawn: one second for all of them would be a herd.
    const isLast = this.#backlog === placesMax;
    const place = (isLast ? (0.5 + 0.5 * draw) * placesMax : this.#backlog) / attachesPerSecond;
    const laterSeconds = reason === "full" ? fullSeconds * (1 + draw) : draw;
    return Math.max(1, Math.min(retryAfterMaxSeconds, Math.ceil(place + laterSeconds)));
  }

  #update(atMs: number): void {
    const passed = (Math.max(0, atMs - this.#updatedMs) / 1_000) * this.#limits.attachesPerSecond;
    this.#updatedMs = Math.max(this.#updatedMs, atMs);
    this.#tokens = Math.min(this.#burst, this.#tokens + passed);
    this.#backlog = Math.max(0, this.#backlog - passed);
  }
}
