import { createHmac } from "node:crypto";
import { describe, expect, it } from "vitest";
import { bearerOf, hostKeyOf, isBearerOf } from "./host-key.ts";

const secret = Buffer.alloc(32, 7);

describe("a host's key", () => {
  it("can be computed by other programs from the text in the documentation", () => {
    const key = createHmac("sha256", secret).update("coxswain host key 1\0edge-17").digest();
    expect(hostKeyOf(secret, "edge-17")).toEqual(key);
    const token = createHmac("sha256", key).update("coxswain bearer 1").digest("base64url");
    expect(bearerOf(key)).toBe(`Coxswain ${token}`);
  });

  it("proves its own host and no other, and only with the cluster's secret", () => {
    const bearer = bearerOf(hostKeyOf(secret, "edge-17"));
    expect(isBearerOf(secret, "edge-17", bearer)).toBe(true);
    expect(isBearerOf(secret, "edge-18", bearer)).toBe(false);
    expect(isBearerOf(Buffer.alloc(32, 8), "edge-17", bearer)).toBe(false);
  });

  it.each([undefined, "", "Coxswain ", "Bearer x", `${bearerOf(secret)}x`, "é".repeat(40)])(
    "is not proved by %j",
    (authorization) => {
      expect(isBearerOf(secret, "edge-17", authorization)).toBe(false);
    },
  );
});
