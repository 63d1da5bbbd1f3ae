/**
 * The published vectors: what another language must reproduce is what this code computes.
 * docs/placement-vectors.json was computed by the Python program in docs/placement.md, not by this code.
 */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

import { hashId, hashText, partitionOf, score } from "./hash.ts";
import { place } from "./placement.ts";
import type { MemberState, View } from "./view.ts";

interface MemberVector {
  readonly slot: string;
  readonly state: MemberState;
  readonly weight: number;
}

interface PlacementVector {
  readonly title: string;
  readonly members: readonly MemberVector[];
  readonly partitions: number;
  readonly slots: readonly string[];
  readonly hash: string;
}

interface Vectors {
  readonly hash: string;
  readonly texts: readonly { readonly text: string; readonly hashText: number }[];
  readonly partitions: readonly {
    readonly host: string;
    readonly partitions: number;
    readonly partition: number;
  }[];
  readonly scores: readonly {
    readonly partition: number;
    readonly slot: string;
    readonly replica: number;
    readonly partitions: number;
    readonly score: number;
  }[];
  readonly placements: readonly (PlacementVector & { readonly owners: readonly number[] })[];
  readonly large: readonly (PlacementVector & { readonly counts: readonly number[] })[];
}

const path = new URL("../../docs/placement-vectors.json", import.meta.url);
const vectors = JSON.parse(readFileSync(path, "utf8")) as Vectors;

function viewOf(members: readonly MemberVector[]): View {
  return {
    generation: 1,
    version: 1,
    members: members.map((member) => ({
      ...member,
      incarnation: 1,
      zone: "",
      url: "",
      fleetUrl: "",
    })),
  };
}

describe("the published vectors of coxswain-1", () => {
  test("are those of the hash this code implements", () => {
    expect(vectors.hash).toBe(hashId);
  });

  test.each(vectors.texts)("hash $text to $hashText", ({ text, hashText: expected }) => {
    expect(hashText(text)).toBe(expected);
  });

  test.each(vectors.partitions)("put $host of $partitions in $partition", (vector) => {
    expect(partitionOf(vector.host, vector.partitions)).toBe(vector.partition);
  });

  test.each(vectors.scores)(
    "score partition $partition of $partitions for $slot/$replica as $score",
    (vector) => {
      const { partition, slot, replica, partitions } = vector;
      expect(score(partition, hashText(slot), replica, partitions)).toBe(vector.score);
    },
  );

  test.each(vectors.placements)("place $title over $partitions partitions", (vector) => {
    const placement = place(viewOf(vector.members), vector.partitions);
    expect(placement.slots).toEqual(vector.slots);
    const expected = vector.owners.map((owner) => vector.slots[owner]);
    const owners = Array.from({ length: vector.partitions }, (_, partition) =>
      placement.ownerOf(partition),
    );
    expect(owners.filter((owner) => owner !== undefined)).toEqual(expected);
    expect(placement.hash).toBe(vector.hash);
  });

  test.each(vectors.large)("place $title over $partitions partitions, by hash", (vector) => {
    const placement = place(viewOf(vector.members), vector.partitions);
    expect(placement.slots.map((slot) => placement.countOf(slot))).toEqual(vector.counts);
    expect(placement.hash).toBe(vector.hash);
  });
});
