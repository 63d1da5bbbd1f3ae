import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { partitionOf } from "./hash.ts";
import { createPlacer, diffPlacements, place, type Placement } from "./placement.ts";
import { emptyView, type View, type ViewMember } from "./view.ts";

function member(slot: string, change: Partial<ViewMember> = {}): ViewMember {
  return {
    slot,
    incarnation: 1,
    state: "active",
    weight: 1,
    zone: "a",
    url: `http://127.0.0.1:7400/${slot}`,
    fleetUrl: `http://127.0.0.1:7401/${slot}`,
    ...change,
  };
}

const viewOf = (members: readonly ViewMember[]): View => ({ generation: 1, version: 7, members });

const named = (prefix: string, count: number): ViewMember[] =>
  Array.from({ length: count }, (_, index) => member(`${prefix}${index + 1}`));

function ownersOf(placement: Placement): (string | undefined)[] {
  return Array.from({ length: placement.partitions }, (_, partition) =>
    placement.ownerOf(partition),
  );
}

function movedCount(before: Placement, after: Placement): number {
  const owners = ownersOf(after);
  return ownersOf(before).filter((owner, partition) => owner !== owners[partition]).length;
}

const doubleFirst = ([first, ...others]: ViewMember[]): ViewMember[] =>
  first === undefined ? [] : [{ ...first, weight: 2 }, ...others];

const slotNames = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,10}[A-Za-z0-9]$/);
const members = fc.uniqueArray(
  fc.record({
    slot: slotNames,
    weight: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 100 })),
    state: fc.constantFrom("active" as const, "active" as const, "leaving" as const),
  }),
  { maxLength: 24, selector: ({ slot }) => slot },
);
const anyMembers = members.map((list) => list.map(({ slot, ...rest }) => member(slot, rest)));
const partitionCounts = fc.constantFrom(2, 16, 64, 256, 1024);

describe("place", () => {
  test.each([0, 101, 1.5, Number.NaN])("asserts that a weight of %s never arrives", (weight) => {
    expect(() => place(viewOf([member("node-1", { weight })]), 64)).toThrow(
      `Expected \`weight\` of slot node-1 to be an integer from 1 to 100, got ${weight}`,
    );
  });

  test("asserts that a slot is in a view once", () => {
    expect(() => place(viewOf([member("b"), member("a"), member("b")]), 64)).toThrow(
      "Expected slots to be unique, got b twice",
    );
  });

  test.each([0, 1, 1000, 131_072])("asserts that P is a power of two, not %s", (partitions) => {
    expect(() => place(emptyView, partitions)).toThrow("to be a power of two");
  });

  test("asserts that a partition asked for exists", () => {
    expect(() => place(emptyView, 64).ownerOf(64)).toThrow(
      "Expected `partition` to be from 0 to 63, got 64",
    );
  });

  test("has no owner anywhere when no member is active", () => {
    const placement = place(viewOf([member("node-1", { state: "leaving" })]), 64);
    expect(ownersOf(placement)).toEqual(Array.from({ length: 64 }));
    expect(placement.slots).toEqual([]);
    expect(placement.partitionsOf("node-1")).toEqual([]);
  });

  test("gives every partition to one active slot, for any members", () => {
    fc.assert(
      fc.property(anyMembers, partitionCounts, (list, partitions) => {
        const placement = place(viewOf(list), partitions);
        const active = list.filter(({ state }) => state === "active").map(({ slot }) => slot);
        expect(placement.slots).toEqual(active.toSorted());
        const owners = ownersOf(placement);
        expect(owners.every((owner) => owner === undefined || active.includes(owner))).toBe(true);
        expect(owners.includes(undefined)).toBe(active.length === 0);
        for (const { slot } of list) {
          const owned = owners.flatMap((owner, partition) => (owner === slot ? [partition] : []));
          expect(placement.partitionsOf(slot)).toEqual(owned);
          expect(placement.countOf(slot)).toBe(owned.length);
        }
      }),
    );
  });

  test("places more members than partitions, one partition a member at most", () => {
    const placement = place(viewOf(named("n", 200)), 64);
    expect(Math.max(...placement.slots.map((slot) => placement.countOf(slot)))).toBe(1);
  });

  test("never gives a slot more than 1.05 times its share, rounded up", () => {
    fc.assert(
      fc.property(anyMembers, partitionCounts, (list, partitions) => {
        const placement = place(viewOf(list), partitions);
        const active = list.filter(({ state }) => state === "active");
        const total = active.reduce((sum, { weight }) => sum + weight, 0);
        for (const { slot, weight } of active) {
          const cap = Number((BigInt(partitions * 105 * weight) - 1n) / BigInt(100 * total)) + 1;
          expect(placement.countOf(slot)).toBeLessThanOrEqual(cap);
        }
      }),
    );
  });

  test("gives weighted slots their share within a tenth, from below too", () => {
    const list = named("node-", 12).map((each, index) => ({ ...each, weight: 1 + (index % 4) }));
    const placement = place(viewOf(list), 16_384);
    for (const { slot, weight } of list) {
      const share = placement.countOf(slot) / ((16_384 * weight) / 30);
      expect(share).toBeGreaterThan(0.9);
      expect(share).toBeLessThanOrEqual(1.051);
    }
  });

  test("does not depend on the order of members", () => {
    const shuffled = anyMembers.chain((list) =>
      fc.tuple(
        fc.constant(list),
        fc.shuffledSubarray(list, { minLength: list.length, maxLength: list.length }),
      ),
    );
    fc.assert(
      fc.property(shuffled, ([list, other]) => {
        expect(ownersOf(place(viewOf(other), 256))).toEqual(ownersOf(place(viewOf(list), 256)));
      }),
    );
  });

  test("parts slots that score alike everywhere by name", () => {
    // The two names have the same 32-bit hash; the first in order is filled first.
    const placement = place(viewOf([member("node-70603"), member("node-53119")]), 64);
    expect(placement.countOf("node-53119")).toBe(34);
    expect(placement.partitionsOf("node-70603")).toEqual(
      Array.from({ length: 30 }, (_, index) => 34 + index),
    );
  });

  test("depends on slot, state and weight of members only", () => {
    const noise = fc.record({ incarnation: fc.nat(), zone: fc.string(), url: fc.webUrl() });
    fc.assert(
      fc.property(anyMembers, noise, fc.nat(), (list, change, version) => {
        const changed = list.map((each) => ({ ...each, ...change, fleetUrl: change.url }));
        const placement = place({ generation: 3, version, members: changed }, 64);
        expect(ownersOf(placement)).toEqual(ownersOf(place(viewOf(list), 64)));
        expect(placement.hash).toBe(place(viewOf(list), 64).hash);
      }),
    );
  });

  test("ignores leaving members as if they were gone", () => {
    fc.assert(
      fc.property(anyMembers, (list) => {
        const active = list.filter(({ state }) => state === "active");
        expect(place(viewOf(list), 64).hash).toBe(place(viewOf(active), 64).hash);
      }),
    );
  });

  test("has another hash when an owner, a slot or P differs", () => {
    const hashes = [
      place(viewOf(named("node-", 3)), 64).hash,
      place(viewOf(named("node-", 4)), 64).hash,
      place(viewOf(named("other-", 3)), 64).hash,
      place(viewOf(named("node-", 3)), 128).hash,
      place(viewOf([member("node-1"), member("node-2"), member("node-3", { weight: 2 })]), 64).hash,
    ];
    expect(new Set(hashes).size).toBe(hashes.length);
    for (const hash of hashes) expect(hash).toMatch(/^[0-9a-f]{16}$/);
  });
});

describe("a placer", () => {
  test("asserts that the result is asked for when it is there, and that steps go forward", () => {
    const placer = createPlacer(viewOf(named("node-", 3)), 64);
    expect(placer.step(63)).toBe(false);
    expect(() => placer.result()).toThrow("Expected all 64 partitions placed, got 63");
    expect(() => placer.step(0)).toThrow("Expected `count` to be a positive integer, got 0");
    expect(() => placer.step(0.5)).toThrow("Expected `count` to be a positive integer, got 0.5");
  });

  test("gives the same placement in steps of any size as in one go", () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1 });
    fc.assert(
      fc.property(anyMembers, sizes, (list, steps) => {
        const placer = createPlacer(viewOf(list), 256);
        let index = 0;
        while (!placer.step(steps[index % steps.length] ?? 1)) index += 1;
        const whole = place(viewOf(list), 256);
        expect(ownersOf(placer.result())).toEqual(ownersOf(whole));
        expect(placer.result().hash).toBe(whole.hash);
      }),
    );
  });

  test("is done after as many partitions as there are, and stays so", () => {
    const placer = createPlacer(viewOf(named("node-", 3)), 64);
    expect(placer.step(64)).toBe(true);
    expect(placer.step(1)).toBe(true);
    expect(placer.result().slots).toEqual(["node-1", "node-2", "node-3"]);
  });
});

describe("movement over 16,384 partitions", () => {
  const partitions = 16_384;
  const prefixes = ["node-", "cp."];

  function movementRatios(
    count: number,
    change: (list: ViewMember[], prefix: string) => ViewMember[],
    idealShare: number,
  ): number[] {
    return prefixes.map((prefix) => {
      const before = named(prefix, count);
      const after = change(before, prefix);
      const moved = movedCount(place(viewOf(before), partitions), place(viewOf(after), partitions));
      return moved / (partitions * idealShare);
    });
  }

  test.each([1, 2, 3, 10, 30, 50, 75, 99])(
    "is at most 1.25 x ideal when %s become one more",
    (count) => {
      const join = (list: ViewMember[], prefix: string) => [
        ...list,
        member(`${prefix}${count + 1}`),
      ];
      for (const ratio of movementRatios(count, join, 1 / (count + 1))) {
        expect(ratio).toBeGreaterThan(0.9);
        expect(ratio).toBeLessThanOrEqual(1.25);
      }
    },
  );

  test.each([2, 3, 10, 30, 50, 75, 100])(
    "is at most 1.25 x ideal when one of %s leaves",
    (count) => {
      const leave = (list: ViewMember[]) => list.toSpliced(count >> 1, 1);
      for (const ratio of movementRatios(count, leave, 1 / count)) {
        expect(ratio).toBeGreaterThan(0.85);
        expect(ratio).toBeLessThanOrEqual(1.25);
      }
    },
  );

  test.each([2, 10, 30])("is at most 1.25 x ideal when one of %s doubles its weight", (count) => {
    for (const ratio of movementRatios(count, doubleFirst, 2 / (count + 1) - 1 / count)) {
      expect(ratio).toBeGreaterThan(0.85);
      expect(ratio).toBeLessThanOrEqual(1.25);
    }
  });

  test("is close to the third that is lost when a zone of 30 nodes fails", () => {
    for (const ratio of movementRatios(30, (list) => list.slice(0, 20), 1 / 3)) {
      expect(ratio).toBeLessThanOrEqual(1.05);
    }
  });
});

describe("hosts a node", () => {
  test.each([
    [10, 100],
    [10, 10_000],
    [50, 100_000],
    [100, 100_000],
  ])("of %s with %s hosts stay within 1.05 x mean + 4 x the root of the mean", (nodes, hosts) => {
    const placement = place(viewOf(named("node-", nodes)), 16_384);
    const counts = new Map<string | undefined, number>();
    for (let host = 0; host < hosts; host++) {
      const owner = placement.ownerOf(partitionOf(`host-${host}`, 16_384));
      counts.set(owner, (counts.get(owner) ?? 0) + 1);
    }
    const mean = hosts / nodes;
    expect(Math.max(...counts.values())).toBeLessThanOrEqual(1.05 * mean + 4 * Math.sqrt(mean));
  });
});

describe("diffPlacements", () => {
  const fewSlots = fc
    .subarray(["node-1", "node-2", "node-3", "node-4", "node-5"])
    .map((slots) => slots.map((slot) => member(slot)));

  test("asserts that both placements have the same P", () => {
    expect(() => diffPlacements(place(emptyView, 64), place(emptyView, 128), "a")).toThrow(
      "Expected equal partition counts, got 64 and 128",
    );
  });

  test("names what a slot gains, and what it loses to whom", () => {
    fc.assert(
      fc.property(fewSlots, fewSlots, slotNames, (listBefore, listAfter, stranger) => {
        const before = place(viewOf(listBefore), 64);
        const after = place(viewOf(listAfter), 64);
        for (const slot of [stranger, ...before.slots, ...after.slots]) {
          const { gained, lost } = diffPlacements(before, after, slot);
          const gone = new Set(lost.map(({ partition }) => partition));
          const kept = before.partitionsOf(slot).filter((partition) => !gone.has(partition));
          const sorted = [...kept, ...gained].toSorted((left, right) => left - right);
          expect(sorted).toEqual(after.partitionsOf(slot));
          for (const { partition, to } of lost) {
            expect(to).not.toBe(slot);
            expect(after.ownerOf(partition)).toBe(to);
          }
        }
      }),
      { numRuns: 50 },
    );
  });

  test("gives up everything to nobody when the last member goes", () => {
    const before = place(viewOf([member("only")]), 64);
    const { gained, lost } = diffPlacements(before, place(emptyView, 64), "only");
    expect(gained).toEqual([]);
    expect(lost).toHaveLength(64);
    expect(lost.every(({ to }) => to === undefined)).toBe(true);
  });
});
