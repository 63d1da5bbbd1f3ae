/**
 * An order of hosts in which those of one partition are next to each other, whatever the number of
 * partitions is.
 *
 * A partition is the low bits of the id's hash, and their number is a power of two. Sorted by the hash
 * with its bits reversed, what shares the low bits is one run for every such number, so whoever splits a
 * long list into requests need not know the cluster's: each request then touches few partitions.
 */
import { hashText } from "./hash.ts";

/** `values` in that order; those of one hash stay in the order they had. */
export function inPartitionOrder<T>(
  values: readonly T[],
  idOf: (value: T) => string,
): readonly T[] {
  return values
    .map((value) => ({ value, rank: reversedBits(hashText(idOf(value))) }))
    .toSorted((left, right) => left.rank - right.rank)
    .map(({ value }) => value);
}

/** Source: the exchange of halves, bytes, nibbles, pairs and bits in Hacker's Delight, 7-1 (Warren). */
function reversedBits(value: number): number {
  let bits = (value >>> 16) | (value << 16);
  bits = ((bits >>> 8) & 0x00ff_00ff) | ((bits & 0x00ff_00ff) << 8);
  bits = ((bits >>> 4) & 0x0f0f_0f0f) | ((bits & 0x0f0f_0f0f) << 4);
  bits = ((bits >>> 2) & 0x3333_3333) | ((bits & 0x3333_3333) << 2);
  bits = ((bits >>> 1) & 0x5555_5555) | ((bits & 0x5555_5555) << 1);
  return bits >>> 0;
}
