import * as fc from "fast-check";
import { expect, test } from "vitest";
import { digestOf, manifestDigestOf } from "./digest.ts";
import { digestPattern } from "./limits.ts";

const a = `sha256:${"a".repeat(64)}`;
const b = `sha256:${"b".repeat(64)}`;

test("the digest of a content is that of its bytes (FIPS 180-4 examples)", () => {
  expect(digestOf(Buffer.from("abc"))).toBe(
    "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
  );
  expect(digestOf(new Uint8Array())).toBe(
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
  );
});

test("a manifest's digest is that of its lines, as the protocol says", () => {
  expect(manifestDigestOf([])).toBe(digestOf(new Uint8Array()));
  expect(
    manifestDigestOf([
      { name: "b", digest: a },
      { name: "a", digest: b },
    ]),
  ).toBe(digestOf(Buffer.from(`a ${b}\nb ${a}\n`)));
});

const configs = fc.uniqueArray(
  fc.record({
    name: fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._/-]{0,5}$/),
    digest: fc.constantFrom(a, b),
  }),
  { selector: ({ name }) => name, maxLength: 8 },
);

test("order does not matter to it, and the input is left as it was", () => {
  fc.assert(
    fc.property(configs, (list) => {
      const copy = structuredClone(list);
      const digest = manifestDigestOf(list);
      expect(digest).toMatch(digestPattern);
      expect(manifestDigestOf(list.toReversed())).toBe(digest);
      expect(list).toEqual(copy);
    }),
  );
});

const text = (list: readonly { name: string; digest: string }[]) =>
  list
    .map(({ name, digest }) => `${name} ${digest}`)
    .toSorted()
    .join();

test("different manifests have different digests", () => {
  fc.assert(
    fc.property(configs, configs, (left, right) => {
      const isSame = text(left) === text(right);
      expect(manifestDigestOf(left) === manifestDigestOf(right)).toBe(isSame);
    }),
  );
});
