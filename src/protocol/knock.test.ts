import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { digestOf } from "./digest.ts";
import { hostKeyOf } from "./host-key.ts";
import { encodeKnock, isKnockOf, knockKeyOf, parseKnock } from "./knock.ts";
import { limits } from "./limits.ts";

const secret = Buffer.alloc(32, 7);
const keyOf = (host: string) => knockKeyOf(hostKeyOf(secret, host));
const knock = {
  host: "edge-17",
  counter: 1_234_567_890_123n,
  manifest: digestOf(Buffer.from("x")),
};
const hostIds = fc.stringMatching(/^[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?$/);

describe("a knock", () => {
  it("says what went in, whatever the host and the counter, in one small datagram", () => {
    fc.assert(
      fc.property(hostIds, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (host, counter) => {
        const bytes = encodeKnock({ ...knock, host, counter }, keyOf(host));
        expect(bytes.length).toBeLessThanOrEqual(limits.knockBytesMax);
        expect(parseKnock(bytes)).toEqual({ ...knock, host, counter });
        expect(isKnockOf(secret, host, bytes)).toBe(true);
      }),
    );
  });

  it("can be made by other programs from the layout in the documentation", () => {
    const bytes = encodeKnock(knock, keyOf("edge-17"));
    expect(bytes.toString("hex").slice(0, -64)).toBe(
      `0107${Buffer.from("edge-17").toString("hex")}0000011f71fb04cb${knock.manifest.slice(7)}`,
    );
  });

  it("with any byte changed is no knock of that host", () => {
    const bytes = encodeKnock(knock, keyOf("edge-17"));
    for (let index = 0; index < bytes.length; index++) {
      const changed = Buffer.from(bytes);
      changed[index] = (changed[index] ?? 0) ^ 1;
      const parsed = parseKnock(changed);
      const isTaken = parsed !== undefined && isKnockOf(secret, parsed.host, changed);
      expect(isTaken, `byte ${index}`).toBe(false);
    }
  });

  it("of one host is not taken for another's, nor one of another cluster", () => {
    const bytes = encodeKnock(knock, keyOf("edge-18"));
    expect(isKnockOf(secret, "edge-17", bytes)).toBe(false);
    expect(isKnockOf(Buffer.alloc(32, 8), "edge-18", bytes)).toBe(false);
  });

  it("is not made of any other bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const parsed = parseKnock(bytes);
        expect(parsed === undefined || !isKnockOf(secret, parsed.host, bytes)).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });

  it.each([
    ["a host that is none", { host: "-" }],
    ["a host that is too long", { host: "h".repeat(129) }],
    ["a counter of more than 64 bits", { counter: 2n ** 64n }],
    ["a negative counter", { counter: -1n }],
    ["a manifest that is no digest", { manifest: "sha256:1" }],
  ])("is refused for %s", (_, change) => {
    expect(() => encodeKnock({ ...knock, ...change }, keyOf("edge-17"))).toThrow(RangeError);
  });
});
