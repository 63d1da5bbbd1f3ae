import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { equalFences, formatFence, goesBack, parseFence, type Fence } from "./fence.ts";

const counter = fc.oneof(fc.integer({ min: 0, max: 3 }), fc.maxSafeNat());
const fence: fc.Arbitrary<Fence> = fc.record({
  generation: counter,
  fleet: counter,
  host: counter,
});
const property = <Args extends [unknown, ...unknown[]]>(
  arbitraries: { [Index in keyof Args]: fc.Arbitrary<Args[Index]> },
  check: (...args: Args) => void,
) => fc.assert(fc.property(...arbitraries, check), { numRuns: 500 });

/** True where a host that stores `stored` takes `offered`. */
const takes = (stored: Fence, offered: Fence) => !goesBack(stored, offered);

describe("going back", () => {
  test.each<[string, string, boolean]>([
    ["1.5.5", "1.5.5", false],
    ["1.5.5", "1.6.5", false],
    ["1.5.5", "1.5.6", false],
    ["1.5.5", "1.4.5", true],
    ["1.5.5", "1.5.4", true],
    ["1.5.2", "1.4.9", true],
    ["1.4.9", "1.5.2", true],
    ["1.5.5", "2.0.0", false],
    ["2.0.0", "1.9.9", true],
  ])("%s, then %s: %s", (stored, offered, expected) => {
    expect(goesBack(fenceOf(stored), fenceOf(offered))).toBe(expected);
  });

  test("a repeat is taken", () => {
    property([fence], (one) => {
      expect(takes(one, one)).toBe(true);
    });
  });

  test("of two different fences at most one direction is taken", () => {
    property([fence, fence], (left, right) => {
      const isMutual = takes(left, right) && takes(right, left);
      expect(isMutual).toBe(equalFences(left, right));
    });
  });

  test("what is taken step by step would have been taken at once", () => {
    property([fence, fence, fence], (first, second, third) => {
      const isByStep = takes(first, second) && takes(second, third);
      expect(!isByStep || takes(first, third)).toBe(true);
    });
  });

  test("no counter of a generation ever falls, whatever arrives in whatever order", () => {
    property([fc.array(fence, { maxLength: 20 })], (offered) => {
      let stored: Fence = { generation: 0, fleet: 0, host: 0 };
      for (const next of offered) {
        const before = stored;
        if (takes(stored, next)) stored = next;
        expect(stored.generation).toBeGreaterThanOrEqual(before.generation);
        if (stored.generation !== before.generation) continue;
        expect(stored.fleet).toBeGreaterThanOrEqual(before.fleet);
        expect(stored.host).toBeGreaterThanOrEqual(before.host);
      }
    });
  });

  test("the newest of each counter is taken by everyone in its generation", () => {
    property([fence, fence], (left, right) => {
      const { generation } = left;
      const fleet = Math.max(left.fleet, right.fleet);
      const host = Math.max(left.host, right.host);
      expect(takes(left, { generation, fleet, host })).toBe(true);
    });
  });
});

describe("the text", () => {
  test("is read back exactly", () => {
    property([fence], (one) => {
      expect(parseFence(formatFence(one))).toEqual(one);
    });
  });

  test("has one form only: what is read is written the same", () => {
    const digits = fc.stringMatching(/^-?[0-9]{0,3}$/);
    const texts = fc.tuple(digits, digits, digits).map((parts) => parts.join("."));
    property([texts], (text) => {
      const parsed = parseFence(text);
      expect(parsed === undefined ? text : formatFence(parsed)).toBe(text);
    });
  });

  test.each([
    "",
    "1.2",
    "1.2.3.4",
    "01.2.3",
    "+1.2.3",
    "-1.2.3",
    "1.2.3 ",
    "1.2.3\n",
    "1,2,3",
    "1e3.2.3",
    "1.2.9007199254740992",
    "1.2.99999999999999999999",
    "١.2.3",
  ])("%j is none", (text) => {
    expect(parseFence(text)).toBeUndefined();
  });

  test("the largest exact number is one", () => {
    expect(parseFence("1.2.9007199254740991")?.host).toBe(Number.MAX_SAFE_INTEGER);
  });
});

test("fences are equal where all three counters are", () => {
  property([fence, fence], (left, right) => {
    expect(equalFences(left, { ...left })).toBe(true);
    expect(equalFences(left, right)).toBe(formatFence(left) === formatFence(right));
  });
});

function fenceOf(text: string): Fence {
  const parsed = parseFence(text);
  if (parsed === undefined) throw new Error(`no fence: ${text}`);
  return parsed;
}
