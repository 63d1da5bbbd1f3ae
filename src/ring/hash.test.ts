import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import {
  candidateLength,
  hashText,
  partitionOf,
  rankOf,
  score,
  tieOf,
  writeCandidate,
} from "./hash.ts";

const powersOfTwo = fc.integer({ min: 1, max: 16 }).map((bits) => 2 ** bits);
const slotHashes = fc.integer({ min: 0, max: 0xffff_ffff });

function candidateOf(slotHash: number, replica: number): Int32Array {
  const candidate = new Int32Array(candidateLength);
  writeCandidate(slotHash, replica, candidate, 0);
  return candidate;
}

/** As the description has it, on 64-bit integers. */
function murmur3(bytes: Buffer): number {
  const mask = 0xffff_ffffn;
  const rotated = (value: bigint, by: bigint) => ((value << by) | (value >> (32n - by))) & mask;
  const scrambled = (word: bigint) =>
    (rotated((word * 0xcc9e2d51n) & mask, 15n) * 0x1b873593n) & mask;
  let state = 0n;
  for (let at = 0; at < bytes.length; at += 4) {
    const size = Math.min(4, bytes.length - at);
    state ^= scrambled(BigInt(bytes.readUIntLE(at, size)));
    if (size === 4) state = (rotated(state, 13n) * 5n + 0xe6546b64n) & mask;
  }
  state ^= BigInt(bytes.length);
  state = ((state ^ (state >> 16n)) * 0x85ebca6bn) & mask;
  state = ((state ^ (state >> 13n)) * 0xc2b2ae35n) & mask;
  return Number(state ^ (state >> 16n));
}

describe("partitionOf", () => {
  test.each([0, 1, 3, 1000, 131_072, -1024, 64.5, Number.NaN])("refuses %s partitions", (count) => {
    expect(() => partitionOf("host-1", count)).toThrow(
      "Expected `partitions` to be a power of two from 2 to 65536",
    );
  });

  test("stays within the partitions for any text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), powersOfTwo, (id, partitions) => {
        const partition = partitionOf(id, partitions);
        expect(Number.isInteger(partition) && partition >= 0 && partition < partitions).toBe(true);
      }),
    );
  });

  test("spreads numbered hosts as evenly as chance would", () => {
    const partitions = 256;
    const counts = new Uint32Array(partitions);
    for (let host = 0; host < 100_000; host++) {
      const partition = partitionOf(`host-${host}`, partitions);
      counts[partition] = (counts[partition] ?? 0) + 1;
    }
    const mean = 100_000 / partitions;
    const chiSquared = counts.reduce((sum, count) => sum + (count - mean) ** 2 / mean, 0);
    // 255 degrees of freedom: 99.9 % of random spreads lie between 190 and 331.
    expect(chiSquared).toBeGreaterThan(190);
    expect(chiSquared).toBeLessThan(331);
  });
});

describe("hashText", () => {
  test("is a uint32 and the same every time", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const hash = hashText(text);
        expect(hash).toBe(hash >>> 0);
        expect(hashText(text)).toBe(hash);
      }),
    );
  });

  test("is MurmurHash3 of the UTF-8 bytes, however long the text is and whatever it consists of", () => {
    const units = fc.constantFrom<"grapheme-ascii" | "grapheme">("grapheme-ascii", "grapheme");
    const texts = units.chain((unit) => fc.string({ unit, maxLength: 600, size: "max" }));
    fc.assert(
      fc.property(texts, (text) => {
        expect(hashText(text)).toBe(murmur3(Buffer.from(text)));
      }),
    );
  });

  test("turns about half of its bits when one character changes", () => {
    let turned = 0;
    for (let index = 0; index < 1_000; index++) {
      turned += bitCount(hashText(`host-${index}a`) ^ hashText(`host-${index}b`));
    }
    expect(turned / 1_000).toBeGreaterThan(15.5);
    expect(turned / 1_000).toBeLessThan(16.5);
  });

  test("does not normalise: composed and decomposed letters are different texts", () => {
    expect(hashText("\u00e9")).not.toBe(hashText("e\u0301"));
  });
});

describe("a slot's score", () => {
  test("ranks each partition differently for one candidate", () => {
    fc.assert(
      fc.property(
        slotHashes,
        fc.integer({ min: 0, max: 99 }),
        fc.constantFrom(2, 64, 128, 1024, 65_536),
        (slotHash, replica, partitions) => {
          const candidate = candidateOf(slotHash, replica);
          const seen = new Uint8Array(partitions);
          for (let partition = 0; partition < partitions; partition++) {
            seen[rankOf(partition, candidate, 0, Math.log2(partitions))] = 1;
          }
          expect(seen.every((mark) => mark === 1)).toBe(true);
        },
      ),
      { numRuns: 40 },
    );
  });

  test("has the rank in its upper bits and the tie in its lower ones", () => {
    fc.assert(
      fc.property(slotHashes, powersOfTwo, fc.nat(), (slotHash, partitions, number) => {
        const bits = Math.log2(partitions);
        const partition = number % partitions;
        const candidate = candidateOf(slotHash, 1);
        const value = score(partition, slotHash, 1, partitions);
        expect(Math.floor(value / 2 ** (32 - bits))).toBe(rankOf(partition, candidate, 0, bits));
        expect(value % 2 ** (32 - bits)).toBe(tieOf(partition, candidate, 0) >>> bits);
      }),
    );
  });

  test("of one slot says nothing about that of another", () => {
    const partitions = 4_096;
    const winsOf = (left: string, right: string): number => {
      let wins = 0;
      for (let partition = 0; partition < partitions; partition++) {
        const leftScore = score(partition, hashText(left), 0, partitions);
        if (leftScore > score(partition, hashText(right), 0, partitions)) wins += 1;
      }
      return wins;
    };
    for (let slot = 1; slot <= 20; slot++) {
      // Fair coins would have a standard deviation of 32.
      expect(Math.abs(winsOf(`node-${slot}`, `node-${slot + 1}`) - 2_048)).toBeLessThan(130);
    }
  });
});

function bitCount(value: number): number {
  let count = 0;
  for (let rest = value >>> 0; rest !== 0; rest >>>= 1) count += rest & 1;
  return count;
}
