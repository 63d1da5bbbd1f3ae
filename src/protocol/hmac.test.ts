import { createHmac } from "node:crypto";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { hmacSha256 } from "./hmac.ts";

test("is what the platform's own HMAC gives, for keys and messages of any length", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      fc.uint8Array({ maxLength: 300 }),
      (key, message) => {
        const expected = createHmac("sha256", key).update(message).digest();
        expect(hmacSha256(key, message).equals(expected)).toBe(true);
      },
    ),
    { numRuns: 500 },
  );
});

test("gives RFC 4231's second test case", () => {
  expect(
    hmacSha256(Buffer.from("Jefe"), Buffer.from("what do ya want for nothing?")).toString("hex"),
  ).toBe("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
});
