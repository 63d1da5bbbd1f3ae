/**
 * How a node shows a peer that a call about other hosts' connections comes from a node: whoever has only a
 * host's key, or none, can reach the same listener.
 *
 * `HMAC-SHA256(HMAC-SHA256(secret, "coxswain peer key 1"), parts)`, each part with its length before
 * it. It covers what the call asks for and nothing that changes, so a call that was overheard can be sent again:
 * such a sync meets the fence, which makes it harmless. Source of the construction: RFC 5869, section 3.
 */
import { createHmac, timingSafeEqual } from "node:crypto";

const keyLabel = "coxswain peer key 1";

/** Empty without a secret. */
export function peerProofOf(secret: Uint8Array | undefined, parts: readonly string[]): string {
  if (secret === undefined) return "";
  const key = createHmac("sha256", secret).update(keyLabel).digest();
  const mac = createHmac("sha256", key);
  for (const part of parts) mac.update(`${Buffer.byteLength(part)}:`).update(part);
  return mac.digest("base64url");
}

/** True where `proof` was made with the same secret over the same parts, and where there is no secret. */
export function isPeerProof(
  secret: Uint8Array | undefined,
  parts: readonly string[],
  proof: string,
): boolean {
  if (secret === undefined) return true;
  const expected = Buffer.from(peerProofOf(secret, parts));
  const given = Buffer.from(proof);
  return given.length === expected.length && timingSafeEqual(given, expected);
}
