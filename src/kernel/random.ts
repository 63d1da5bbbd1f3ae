/**
 * Randomness behind a port, so that one seed decides a whole simulated run.
 *
 * Streams are forked by label: a new draw in one part does not reshuffle the others.
 * Source: splitmix32-style seeding and xoshiro128** by Blackman and Vigna (public domain).
 */
import { randomBytes } from "node:crypto";

/** A stream of random numbers. */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** An independent stream whose content depends on this stream's seed and `label` only. */
  fork(label: string): Random;
}

/** A deterministic stream; equal seeds give equal streams on every platform. */
export function createRandom(seed: string): Random {
  const mix = seeder(seed);
  let a = mix();
  let b = mix();
  let c = mix();
  let d = mix();
  return {
    next() {
      const result = Math.imul(rotl(Math.imul(b, 5), 7), 9) >>> 0;
      const t = b << 9;
      c ^= a;
      d ^= b;
      b ^= c;
      a ^= d;
      c ^= t;
      d = rotl(d, 11);
      return result / 2 ** 32;
    },
    fork: (label) => createRandom(`${seed}/${label}`),
  };
}

/** A stream seeded from the operating system. */
export function systemRandom(): Random {
  return createRandom(randomBytes(16).toString("hex"));
}

/** A random lower-case hexadecimal id of `digits` characters (4 bits each). */
export function randomId(random: Random, digits = 16): string {
  let id = "";
  for (let index = 0; index < digits; index++) id += Math.floor(random.next() * 16).toString(16);
  return id;
}

function rotl(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

function seeder(text: string): () => number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  return () => {
    hash = (hash + 0x9e3779b9) | 0;
    let mixed = hash ^ (hash >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    return mixed ^ (mixed >>> 15);
  };
}
