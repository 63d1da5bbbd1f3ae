import { describe, expect, it } from "vitest";
import { isPeerProof, peerProofOf } from "./peer-proof.ts";

const secret = Buffer.alloc(32, 1);

describe("a peer's proof", () => {
  it("covers every part and where one ends", () => {
    const proof = peerProofOf(secret, ["relay", "h1", "body"]);
    expect(isPeerProof(secret, ["relay", "h1", "body"], proof)).toBe(true);
    expect(isPeerProof(secret, ["relay", "h2", "body"], proof)).toBe(false);
    expect(isPeerProof(secret, ["relay", "h1b", "ody"], proof)).toBe(false);
    expect(isPeerProof(secret, ["relay", "h1"], proof)).toBe(false);
  });

  it("needs the secret where there is one", () => {
    expect(isPeerProof(secret, ["a"], "")).toBe(false);
    expect(isPeerProof(secret, ["a"], peerProofOf(Buffer.alloc(32, 2), ["a"]))).toBe(false);
    expect(isPeerProof(undefined, ["a"], "")).toBe(true);
  });
});
