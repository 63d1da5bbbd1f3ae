/**
 * Arbitraries for the fuzz tests: JSON texts that were right until something happened to them.
 *
 * Fields are dropped, repeated, renamed or given values of another kind; what no JavaScript value can
 * say (a number beyond doubles, a lone surrogate, a hundred thousand brackets, a key twice) is put into
 * the text itself. Runs are seeded, so a failure comes again; more of them and other ones are had with
 * `FUZZ_RUNS=100000 FUZZ_SEED=7 vitest run …`.
 */
import * as fc from "fast-check";

/** `runs` unless the environment asks for another number. */
export function fuzzRuns(runs: number): { readonly seed: number; readonly numRuns: number } {
  const { FUZZ_RUNS: wanted, FUZZ_SEED: seed } = process.env;
  return { seed: Number(seed ?? 1), numRuns: Number(wanted ?? runs) };
}

const deepCount = 100_000;
/** Markers in a value, and what stands for them in the text. */
const inText: Readonly<Record<string, string>> = {
  "§deepList": "[".repeat(deepCount) + "]".repeat(deepCount),
  "§deepObject": `${'{"a":'.repeat(6_000)}1${"}".repeat(6_000)}`,
  "§beyond": "1e999",
  "§digits": "123456789012345678901234567890",
  "§lone": String.raw`"\ud800"`,
  "§nul": String.raw`"a\u0000b"`,
  "§twice": '{"a":1,"a":2,"__proto__":{"a":3}}',
};
const names = ["__proto__", "constructor", "prototype", "toString", "length", "", "\0", "a b", "ü"];

/** A value that nobody expects. */
export const oddValue: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom<unknown>(null, true, false, "", [], {}, -1, 0, 1.5) },
  { weight: 3, arbitrary: fc.constantFrom<unknown>(2 ** 53, -(2 ** 53), 1e300, 5e-324, 2 ** 31) },
  { weight: 3, arbitrary: fc.constantFrom(...Object.keys(inText)) },
  { weight: 2, arbitrary: fc.constantFrom(...names, "x".repeat(70_000), "😀".repeat(64)) },
  { weight: 2, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
);

interface Mutation {
  readonly at: number;
  readonly kind: "drop" | "repeat" | "replace" | "rename" | "add";
  readonly value: unknown;
  readonly name: string;
}

const mutation: fc.Arbitrary<Mutation> = fc.record({
  at: fc.nat(200),
  kind: fc.constantFrom("drop", "repeat", "replace", "replace", "rename", "add"),
  value: oddValue,
  name: fc.constantFrom(...names),
});

/** Text of `base` after up to four mutations; none leaves it as it is. */
export function mutatedJson(base: object): fc.Arbitrary<string> {
  return fc.array(mutation, { maxLength: 4 }).map((mutations) => {
    let value: unknown = structuredClone(base);
    for (const each of mutations) value = mutate(value, each);
    return textOf(value);
  });
}

/** JSON text of a value that may hold markers. */
export function textOf(value: unknown): string {
  let text = JSON.stringify(value);
  for (const [marker, instead] of Object.entries(inText)) {
    text = text.replaceAll(JSON.stringify(marker), instead);
  }
  return text;
}

type Place = { readonly holder: Record<string, unknown> | unknown[]; readonly key: string };

function mutate(value: unknown, { at, kind, value: odd, name }: Mutation): unknown {
  const places = placesOf(value);
  const place = places[at % Math.max(1, places.length)];
  if (place === undefined || at === 200) return odd;
  const { holder, key } = place;
  if (Array.isArray(holder)) {
    const index = Number(key);
    if (kind === "drop") holder.splice(index, 1);
    else if (kind === "repeat") holder.push(holder[index]);
    else if (kind === "add") holder.push(odd);
    else holder[index] = odd;
    return value;
  }
  const before = holder[key];
  if (kind === "drop" || kind === "rename") delete holder[key];
  // Not by assignment: the name may be __proto__.
  const put = (under: string, each: unknown) =>
    Object.defineProperty(holder, under, { value: each, ...ordinary });
  if (kind === "rename") put(name, before);
  else if (kind === "repeat" || kind === "add") put(name, odd);
  else if (kind === "replace") put(key, odd);
  return value;
}

const ordinary = { enumerable: true, configurable: true, writable: true } as const;

function placesOf(value: unknown, depth = 0): Place[] {
  if (typeof value !== "object" || value === null || depth > 5) return [];
  const holder = value as Record<string, unknown>;
  return Object.keys(holder).flatMap((key) => [
    { holder, key },
    ...placesOf(Object.getOwnPropertyDescriptor(holder, key)?.value, depth + 1),
  ]);
}
