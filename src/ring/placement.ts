/**
 * Placement: which slot owns each partition, a pure function of the view, computed by every node alone.
 *
 * Capped rendezvous: partitions 0 to P - 1 go, in this order, each to the slot that scores highest
 * among those with room: 1.05 times the slot's fair share, rounded up. The cap bounds the load, the
 * scores keep a partition where it is when others come and go. Only slot, state and weight of members
 * count. Caps add up to at least P, so every partition finds an owner wherever one member is active.
 * Cost: P times the total weight (16,384 x 100: about 10 ms), in steps where the caller must not be held.
 * Source: Thaler and Ravishankar 1998 (rendezvous hashing); Mirrokni and others, arXiv:1608.01350 (bounded loads).
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";

import {
  bitsOf,
  candidateLength,
  hashId,
  hashText,
  rankOf,
  tieOf,
  writeCandidate,
} from "./hash.ts";
import type { View, ViewMember } from "./view.ts";

/** Room of a slot in percent of its fair share. Lower is better balanced and moves more. */
const capPercent = 105;

export interface Placement {
  readonly view: View;
  /** P, the number of partitions. */
  readonly partitions: number;
  /** Slots of the active members, ascending. */
  readonly slots: readonly string[];
  /** 16 hexadecimal digits that differ when slots or owners do; travels in every beat. */
  readonly hash: string;
  /** The owning slot; undefined only where the view has no active member. */
  ownerOf(partition: number): string | undefined;
  /** Ascending; empty for a slot that is unknown or leaving. */
  partitionsOf(slot: string): readonly number[];
  countOf(slot: string): number;
}

export interface PlacementDiff {
  /** Partitions the slot owns now and did not before, ascending. */
  readonly gained: readonly number[];
  /** Partitions the slot owned before and does not now, ascending, with the slot that took them. */
  readonly lost: readonly { readonly partition: number; readonly to: string | undefined }[];
}

/** Computes a placement in steps, so that no step holds the event loop for long. */
export interface Placer {
  /** Places up to `count` more partitions (each costs the view's total weight in score steps); true when all are placed. */
  step(count: number): boolean;
  /** The placement; only after `step` has returned true. */
  result(): Placement;
}

/** The placement of a view over `partitions`, in one go. */
export function place(view: View, partitions: number): Placement {
  const placer = createPlacer(view, partitions);
  placer.step(partitions);
  return placer.result();
}

/** Starts a placement; any sequence of steps ends in the same answer as `place`. */
export function createPlacer(view: View, partitions: number): Placer {
  const bits = bitsOf(partitions);
  const members = activeMembers(view);
  const owners = new Uint16Array(partitions);
  const counts = new Uint32Array(members.length);
  const caps = capsOf(members, partitions);
  let candidates = candidatesOf(members);
  let next = members.length === 0 ? partitions : 0;

  const placeNext = (): void => {
    const owner = bestSlot(next, bits, candidates);
    owners[next] = owner;
    const count = (counts[owner] ?? 0) + 1;
    counts[owner] = count;
    if (count === caps[owner]) candidates = withoutSlot(candidates, owner);
    next += 1;
  };
  return {
    step(count) {
      assert(
        Number.isInteger(count) && count > 0,
        `Expected \`count\` to be a positive integer, got ${count}`,
      );
      for (let left = Math.min(count, partitions - next); left > 0; left--) placeNext();
      return next === partitions;
    },
    result() {
      assert(next === partitions, `Expected all ${partitions} partitions placed, got ${next}`);
      return new OwnerTable(
        view,
        members.map((member) => member.slot),
        owners,
        counts,
      );
    },
  };
}

/** What a slot gains and loses between two placements over the same partitions. */
export function diffPlacements(before: Placement, after: Placement, slot: string): PlacementDiff {
  assert(
    before.partitions === after.partitions,
    `Expected equal partition counts, got ${before.partitions} and ${after.partitions}`,
  );
  return {
    gained: after.partitionsOf(slot).filter((partition) => before.ownerOf(partition) !== slot),
    lost: before
      .partitionsOf(slot)
      .map((partition) => ({ partition, to: after.ownerOf(partition) }))
      .filter(({ to }) => to !== slot),
  };
}

/** The virtual candidates of all slots that have room, grouped by slot, slots ascending. */
interface Candidates {
  /** `candidateLength` numbers a candidate. */
  readonly keys: Int32Array;
  /** Index of the slot each candidate belongs to. */
  readonly slots: Uint16Array;
}

function activeMembers(view: View): readonly ViewMember[] {
  const members = view.members
    .filter((member) => member.state === "active")
    .toSorted((left, right) => (left.slot < right.slot ? -1 : 1));
  for (const [index, { slot, weight }] of members.entries()) {
    assert(
      Number.isInteger(weight) && weight >= 1 && weight <= 100,
      `Expected \`weight\` of slot ${slot} to be an integer from 1 to 100, got ${weight}`,
    );
    assert(slot !== members[index - 1]?.slot, `Expected slots to be unique, got ${slot} twice`);
  }
  return members;
}

/** ceil(P * 105 * w / (100 * W)); the largest product is 65536 * 105 * 100, below 2^31. */
function capsOf(members: readonly ViewMember[], partitions: number): Uint32Array {
  const divisor = 100 * totalWeight(members);
  return Uint32Array.from(members, ({ weight }) =>
    Math.floor((partitions * capPercent * weight + divisor - 1) / divisor),
  );
}

function candidatesOf(members: readonly ViewMember[]): Candidates {
  const slots = new Uint16Array(totalWeight(members));
  const keys = new Int32Array(slots.length * candidateLength);
  let position = 0;
  for (const [index, { slot, weight }] of members.entries()) {
    const slotHash = hashText(slot);
    for (let replica = 0; replica < weight; replica++) {
      writeCandidate(slotHash, replica, keys, position * candidateLength);
      slots[position] = index;
      position += 1;
    }
  }
  return { keys, slots };
}

function totalWeight(members: readonly ViewMember[]): number {
  return members.reduce((sum, member) => sum + member.weight, 0);
}

/** Index of the slot with the highest score; of equal ones the first, so the lowest slot. */
function bestSlot(partition: number, bits: number, { keys, slots }: Candidates): number {
  let best = 0;
  let bestRank = -1;
  let bestTie = 0;
  for (let index = 0, at = 0; index < slots.length; index++, at += candidateLength) {
    const rank = rankOf(partition, keys, at, bits);
    if (rank < bestRank) continue;
    // The lower bits of a score, worked out only where the upper ones do not decide.
    const tie = tieOf(partition, keys, at) >>> bits;
    if (rank === bestRank && tie <= bestTie) continue;
    best = index;
    bestRank = rank;
    bestTie = tie;
  }
  return slots[best] ?? 0;
}

function withoutSlot({ keys, slots }: Candidates, slot: number): Candidates {
  return {
    keys: keys.filter((_, index) => slots[Math.trunc(index / candidateLength)] !== slot),
    slots: slots.filter((candidate) => candidate !== slot),
  };
}

class OwnerTable implements Placement {
  readonly view: View;
  readonly partitions: number;
  readonly slots: readonly string[];
  readonly hash: string;
  /** Index into `slots` for each partition; all 0 where there is no slot. */
  readonly #owners: Uint16Array;
  readonly #counts: Uint32Array;
  readonly #indexes: ReadonlyMap<string, number>;
  /** Lists asked for so far: a node asks for its own slot, again and again, and for few others. */
  readonly #lists = new Map<number, readonly number[]>();

  constructor(view: View, slots: readonly string[], owners: Uint16Array, counts: Uint32Array) {
    this.view = view;
    this.partitions = owners.length;
    this.slots = slots;
    this.hash = hashOf(slots, owners);
    this.#owners = owners;
    this.#counts = counts;
    this.#indexes = new Map(slots.map((slot, index) => [slot, index]));
  }

  ownerOf(partition: number): string | undefined {
    const owner = this.#owners[partition];
    assert(
      owner !== undefined,
      `Expected \`partition\` to be from 0 to ${this.partitions - 1}, got ${partition}`,
    );
    return this.slots[owner];
  }

  partitionsOf(slot: string): readonly number[] {
    const index = this.#indexes.get(slot);
    if (index === undefined) return [];
    const known = this.#lists.get(index);
    if (known !== undefined) return known;
    const list: number[] = [];
    for (let partition = 0; partition < this.#owners.length; partition++) {
      if (this.#owners[partition] === index) list.push(partition);
    }
    this.#lists.set(index, Object.freeze(list));
    return list;
  }

  countOf(slot: string): number {
    const index = this.#indexes.get(slot);
    return index === undefined ? 0 : (this.#counts[index] ?? 0);
  }
}

/** First 16 hexadecimal digits of sha256 over a header, the slots as lines, and each owner's index as two bytes, high byte first. */
function hashOf(slots: readonly string[], owners: Uint16Array): string {
  const ownerBytes = new Uint8Array(owners.length * 2);
  for (let partition = 0; partition < owners.length; partition++) {
    const owner = owners[partition] ?? 0;
    ownerBytes[partition * 2] = owner >>> 8;
    ownerBytes[partition * 2 + 1] = owner & 0xff;
  }
  const sha = createHash("sha256");
  sha.update([hashId, String(owners.length), String(slots.length), ...slots, ""].join("\n"));
  return sha.update(ownerBytes).digest("hex").slice(0, 16);
}
