import * as fc from "fast-check";
import { expect, test } from "vitest";
import { checkSize, compareBytes, itemBytesMax } from "./item.ts";

test("compareBytes orders well-formed text as its UTF-8 bytes", () => {
  const text = fc.string({ unit: "binary", maxLength: 6 });
  fc.assert(
    fc.property(text, text, (left, right) => {
      const byBytes = Buffer.compare(Buffer.from(left), Buffer.from(right));
      expect(Math.sign(compareBytes(left, right))).toBe(byBytes);
    }),
    {
      examples: [
        ["\uffee", "\u{1d11e}"],
        ["a", "a\u{1d11e}"],
        ["", ""],
      ],
      numRuns: 500,
    },
  );
});

const attributes = (bytes: number) => ({ text: "𝄞", bytes: new Uint8Array(bytes) });

test("the size of an item counts names, text in UTF-8 and bytes, to the last one", () => {
  const key = { pk: "é", sk: "s" };
  const fixed = Buffer.byteLength("pk-é-sk-s-text-𝄞-bytes".replaceAll("-", ""));
  expect(() => checkSize(key, attributes(itemBytesMax - fixed))).not.toThrow();
  expect(() => checkSize(key, attributes(itemBytesMax - fixed + 1))).toThrow(
    `Expected item é/s to have at most ${itemBytesMax} bytes, got ${itemBytesMax + 1}`,
  );
});
