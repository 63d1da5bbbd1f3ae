/**
 * How a host proves who it is where it is the one that calls: a key of its own, derived from the
 * cluster's secret, so that nodes keep one secret and no list.
 *
 * `key = HMAC-SHA256(secret, "coxswain host key 1" NUL host)`. A request carries
 * `Authorization: Coxswain <HMAC-SHA256(key, "coxswain bearer 1") as base64url>`: a bearer token, so it
 * belongs inside TLS; it does not reveal the key, which signs knocks. A host that learns its key cannot
 * compute another's. Source of the construction: RFC 5869, section 3 (one key for each purpose).
 */
import { timingSafeEqual } from "node:crypto";
import { hmacSha256 } from "./hmac.ts";

const keyLabel = "coxswain host key 1";
const bearerLabel = "coxswain bearer 1";
export const authorizationHeader = "authorization";
const scheme = "Coxswain ";
export const secretBytesMin = 32;

/** The key of one host, 32 bytes. `secret` has at least `secretBytesMin` bytes. */
export function hostKeyOf(secret: Uint8Array, host: string): Buffer {
  return hmacSha256(secret, Buffer.from(`${keyLabel}\0${host}`));
}

/** The value of the `Authorization` header of a host with this key. */
export function bearerOf(key: Uint8Array): string {
  return scheme + hmacSha256(key, Buffer.from(bearerLabel)).toString("base64url");
}

/** True where `authorization` was made with the key of `host`. Takes the same time whichever bytes differ. */
export function isBearerOf(
  secret: Uint8Array,
  host: string,
  authorization: string | undefined,
): boolean {
  const expected = Buffer.from(bearerOf(hostKeyOf(secret, host)));
  const given = Buffer.from(authorization ?? "");
  return given.length === expected.length && timingSafeEqual(given, expected);
}
