/**
 * Hash `coxswain-1`: hosts to partitions, and how much a slot wants a partition.
 *
 * Every node must get the same answer on every platform, and so must a program in another language,
 * so there is nothing here but 32-bit integer steps over UTF-8 bytes: no floats, no locale, no
 * platform hash. A score is led by the partition's rank in a shuffle of all partitions that is the
 * slot's own: each slot has every rank exactly once, which halves the spread that independent
 * scores have, and so the work of the cap in placement.ts. The cluster's `meta` item names the hash;
 * another function gets another name, this one never changes. docs/placement.md specifies it.
 *
 * Source: MurmurHash3_x86_32 and its finaliser `fmix32` by Austin Appleby (public domain).
 */
import assert from "node:assert/strict";

/** Name of the functions in this file, as stored in the cluster's `meta` item. */
export const hashId = "coxswain-1";

/** Numbers that `writeCandidate` writes: a multiplier and an addend for three rounds, then the key. */
export const candidateLength = 7;

/** 2^32 divided by the golden ratio, odd: consecutive multiples spread over the whole range. */
const goldenRatio = 0x9e3779b9;

const encoder = new TextEncoder();
const firstNonAscii = 0x80;
/** Reused: every change of a host's status hashes its id. */
const asciiBytes = new Uint8Array(256);

/** MurmurHash3_x86_32, seed 0, over the UTF-8 bytes of `text`; uint32. A lone surrogate counts as U+FFFD. */
export function hashText(text: string): number {
  if (isShortAscii(text)) return hashBytes(asciiBytes, text.length);
  const bytes = encoder.encode(text);
  return hashBytes(bytes, bytes.length);
}

/** Whether it is; then `asciiBytes` begins with it. */
function isShortAscii(text: string): boolean {
  if (text.length > asciiBytes.length) return false;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code >= firstNonAscii) return false;
    asciiBytes[index] = code;
  }
  return true;
}

function hashBytes(bytes: Uint8Array, length: number): number {
  const tailStart = length & ~3;
  let state = 0;
  for (let index = 0; index < tailStart; index += 4) {
    state ^= scramble(littleEndian(bytes, index, 4));
    state = Math.imul((state << 13) | (state >>> 19), 5) + 0xe6546b64;
  }
  if (tailStart < length) {
    state ^= scramble(littleEndian(bytes, tailStart, length - tailStart));
  }
  return fmix32(state ^ length) >>> 0;
}

/** The partition of a host: the low bits of its hash. `partitions` is a power of two from 2 to 65,536. */
export function partitionOf(hostId: string, partitions: number): number {
  return hashText(hostId) & (2 ** bitsOf(partitions) - 1);
}

/**
 * How much candidate `replica` (0 to weight - 1) of a slot wants a partition; uint32, the highest
 * comes first. The upper bits are the rank, the lower ones part ranks that are equal.
 */
export function score(
  partition: number,
  slotHash: number,
  replica: number,
  partitions: number,
): number {
  const bits = bitsOf(partitions);
  const candidate = new Int32Array(candidateLength);
  writeCandidate(slotHash, replica, candidate, 0);
  const rank = rankOf(partition, candidate, 0, bits);
  return ((rank << (32 - bits)) | (tieOf(partition, candidate, 0) >>> bits)) >>> 0;
}

/** Writes the numbers of one virtual candidate of a slot into `into`, from `at` on. */
export function writeCandidate(
  slotHash: number,
  replica: number,
  into: Int32Array,
  at: number,
): void {
  const key = fmix32(slotHash + Math.imul(replica, goldenRatio));
  for (let round = 0; round < 3; round++) {
    into[at + 2 * round] = roundKey(key, 2 * round + 1) | 1;
    into[at + 2 * round + 1] = roundKey(key, 2 * round + 2);
  }
  into[at + 6] = key;
}

/**
 * The partition's place in the candidate's shuffle of all 2^bits partitions. Each step can be
 * undone within `bits` bits (odd multiplier, addend, exclusive or with the own upper half), so no
 * two partitions share a rank.
 */
export function rankOf(partition: number, keys: Int32Array, at: number, bits: number): number {
  const mask = (1 << bits) - 1;
  const half = (bits + 1) >> 1;
  let rank = (Math.imul(partition, keys[at] ?? 0) + (keys[at + 1] ?? 0)) & mask;
  rank ^= rank >>> half;
  rank = (Math.imul(rank, keys[at + 2] ?? 0) + (keys[at + 3] ?? 0)) & mask;
  rank ^= rank >>> half;
  return (Math.imul(rank, keys[at + 4] ?? 0) + (keys[at + 5] ?? 0)) & mask;
}

/** Parts candidates that rank a partition equally; uint32. */
export function tieOf(partition: number, keys: Int32Array, at: number): number {
  return fmix32(fmix32(partition + goldenRatio) ^ (keys[at + 6] ?? 0)) >>> 0;
}

/** The exponent of a partition count. */
export function bitsOf(partitions: number): number {
  const bits = 31 - Math.clz32(partitions);
  assert(
    bits >= 1 && bits <= 16 && partitions === 2 ** bits,
    `Expected \`partitions\` to be a power of two from 2 to 65536, got ${partitions}`,
  );
  return bits;
}

function roundKey(key: number, index: number): number {
  return fmix32(key + Math.imul(index, goldenRatio));
}

/** MurmurHash3's finaliser: a bijection of 32-bit numbers where each bit in moves half of the bits out; int32. */
function fmix32(value: number): number {
  let mixed = value | 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}

function scramble(block: number): number {
  const mixed = Math.imul(block, 0xcc9e2d51);
  return Math.imul((mixed << 15) | (mixed >>> 17), 0x1b873593);
}

function littleEndian(bytes: Uint8Array, start: number, count: number): number {
  let value = 0;
  for (let index = count - 1; index >= 0; index--) {
    value = (value << 8) | (bytes[start + index] ?? 0);
  }
  return value;
}
