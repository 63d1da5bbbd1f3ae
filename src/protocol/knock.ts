/**
 * The knock: one UDP datagram that says "I am here, this is what I hold; call me".
 *
 * It is signed, carries a counter and nothing else of worth: who gets it only learns that the host would
 * like a sync, and the sync goes to the address in the inventory, never to the datagram's source. It is
 * never answered. Layout, all numbers big-endian:
 *
 *   version 1 | n, 1 byte | host id, n bytes | counter, 8 bytes | sha256 of the held manifest, 32 bytes |
 *   HMAC-SHA256 of all before it, 32 bytes, with the key HMAC-SHA256(host key, "coxswain knock 1")
 */
import { timingSafeEqual } from "node:crypto";
import { hmacSha256 } from "./hmac.ts";
import { hostKeyOf } from "./host-key.ts";
import { digestPattern, idPattern, limits } from "./limits.ts";

export interface Knock {
  readonly host: string;
  /** Rises with every knock of the host, across its restarts too. */
  readonly counter: bigint;
  /** Digest of the manifest that the host holds. */
  readonly manifest: string;
}

const version = 1;
const counterBytes = 8;
const digestBytes = 32;
const macBytes = 32;
const fixedBytes = 2 + counterBytes + digestBytes + macBytes;
const counterMax = 2n ** 64n - 1n;

/** The key that signs a host's knocks. */
export function knockKeyOf(hostKey: Uint8Array): Buffer {
  return hmacSha256(hostKey, Buffer.from("coxswain knock 1"));
}

/** A signed datagram of at most `limits.knockBytesMax` bytes. */
export function encodeKnock({ host, counter, manifest }: Knock, knockKey: Uint8Array): Buffer {
  if (!idPattern.test(host) || host.length > limits.hostIdCharsMax) {
    throw new RangeError(`Expected a host id, got ${host}`);
  }
  if (!digestPattern.test(manifest)) throw new RangeError(`Expected a digest, got ${manifest}`);
  if (counter < 0n || counter > counterMax)
    throw new RangeError(`Expected 64 bits, got ${counter}`);
  const bytes = Buffer.alloc(fixedBytes + host.length);
  bytes[0] = version;
  bytes[1] = host.length;
  bytes.write(host, 2, "latin1");
  bytes.writeBigUInt64BE(counter, 2 + host.length);
  bytes.write(manifest.slice("sha256:".length), 2 + host.length + counterBytes, "hex");
  const signed = bytes.subarray(0, -macBytes);
  bytes.set(hmacSha256(knockKey, signed), signed.length);
  return bytes;
}

/** What a datagram claims; undefined where it is no knock. Nothing is verified yet. */
export function parseKnock(bytes: Uint8Array): Knock | undefined {
  const hostLength = bytes[1] ?? 0;
  if (bytes[0] !== version || bytes.length !== fixedBytes + hostLength) return undefined;
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const host = view.toString("latin1", 2, 2 + hostLength);
  if (hostLength > limits.hostIdCharsMax || !idPattern.test(host)) return undefined;
  const counterAt = 2 + hostLength;
  const manifest = view.toString(
    "hex",
    counterAt + counterBytes,
    counterAt + counterBytes + digestBytes,
  );
  return { host, counter: view.readBigUInt64BE(counterAt), manifest: `sha256:${manifest}` };
}

/** True where the datagram that `host` was parsed from was signed with that host's key. */
export function isKnockOf(secret: Uint8Array, host: string, bytes: Uint8Array): boolean {
  const mac = hmacSha256(knockKeyOf(hostKeyOf(secret, host)), bytes.subarray(0, -macBytes));
  return timingSafeEqual(mac, bytes.subarray(-macBytes));
}
