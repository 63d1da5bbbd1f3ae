import * as fc from "fast-check";
import { expect, test } from "vitest";
import { createRandom, randomId, systemRandom, type Random } from "./random.ts";

const draws = (random: Random, count = 8) => Array.from({ length: count }, () => random.next());

test("a seed gives the same stream on every platform and in every version", () => {
  const stream = draws(createRandom("coxswain"), 4).map((draw) => Math.floor(draw * 2 ** 32));
  expect(stream).toEqual([1_827_823_641, 1_210_002_955, 2_824_149_876, 4_294_294_372]);
  expect(randomId(createRandom("coxswain"))).toBe("64afba41b9719cb8");
});

test("equal seeds give equal streams, other seeds others", () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (left, right) => {
      expect(draws(createRandom(left))).toEqual(draws(createRandom(left)));
      const [first, second] = [left, right].map((seed) => draws(createRandom(seed)).join());
      expect(first === second).toBe(left === right);
    }),
  );
});

test("a fork depends on seed and label, not on what was drawn before", () => {
  const drawn = createRandom("s");
  draws(drawn, 100);
  expect(draws(drawn.fork("a"))).toEqual(draws(createRandom("s").fork("a")));
  expect(draws(drawn.fork("a"))).not.toEqual(draws(drawn.fork("b")));
});

test("drawing from a fork does not move its parent", () => {
  const parent = createRandom("s");
  draws(parent.fork("a"), 100);
  expect(draws(parent)).toEqual(draws(createRandom("s")));
});

test("draws are in [0, 1) and spread over it", () => {
  const counts = Array.from({ length: 16 }, () => 0);
  for (const draw of draws(createRandom("spread"), 16_000)) {
    expect(draw).toBeGreaterThanOrEqual(0);
    expect(draw).toBeLessThan(1);
    const bucket = Math.floor(draw * 16);
    counts[bucket] = (counts[bucket] ?? 0) + 1;
  }
  expect(Math.min(...counts)).toBeGreaterThan(850);
  expect(Math.max(...counts)).toBeLessThan(1_150);
});

test("ids have the digits asked for", () => {
  expect(randomId(createRandom("x"), 8)).toMatch(/^[0-9a-f]{8}$/);
  expect(randomId(createRandom("x"), 0)).toBe("");
});

test("the system's stream differs each time", () => {
  expect(draws(systemRandom())).not.toEqual(draws(systemRandom()));
});
