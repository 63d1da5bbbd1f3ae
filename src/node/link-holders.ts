/**
 * Which peer holds the connection of each host that this node owns: in memory, told by the holders,
 * told again by them now and then. Of two that claim a host the one with the younger connection counts.
 */
import type { HostId } from "../inventory/host.ts";
import type { HeldLink } from "./link-calls.ts";

export interface Holder {
  readonly slot: string;
  readonly number: number;
  /** On this node's clock. */
  readonly attachedMs: number;
}

export class LinkHolders {
  readonly #holders = new Map<HostId, Holder>();

  get size(): number {
    return this.#holders.size;
  }

  get(host: HostId): Holder | undefined {
    return this.#holders.get(host);
  }

  /**
   * A peer holds a connection of the host. `new`: it was not known; `older`: another one, attached later,
   * goes on counting. `ownAttachedMs`: of a connection that this node itself holds.
   */
  linked(
    host: HostId,
    slot: string,
    { number, ageMs }: Pick<HeldLink, "number" | "ageMs">,
    atMs: number,
    ownAttachedMs: number | undefined,
  ): "new" | "known" | "older" {
    const attachedMs = atMs - ageMs;
    const before = this.#holders.get(host);
    if (before?.slot === slot && before.number === number) return "known";
    if (before !== undefined && before.slot !== slot && before.attachedMs > attachedMs) {
      return "older";
    }
    if (ownAttachedMs !== undefined && ownAttachedMs > attachedMs) return "older";
    this.#holders.set(host, { slot, number, attachedMs });
    return "new";
  }

  /** The connection has ended, unless it is another one by now. */
  unlinked(host: HostId, slot: string, number: number): void {
    const holder = this.#holders.get(host);
    if (holder?.slot === slot && holder.number === number) this.#holders.delete(host);
  }

  forget(host: HostId): void {
    this.#holders.delete(host);
  }

  /** Forgets those of which `isKept` does not hold: the memory is bounded by what this node serves. */
  prune(isKept: (host: HostId, holder: Holder) => boolean): void {
    for (const [host, holder] of this.#holders) {
      if (!isKept(host, holder)) this.#holders.delete(host);
    }
  }
}
