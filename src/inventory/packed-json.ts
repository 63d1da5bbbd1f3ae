/**
 * JSON as compressed bytes, for items that hold whole lists.
 *
 * Raw deflate has no header, so equal values give equal bytes on one version of zlib. The work is done
 * on the calling thread: the lists are small (milliseconds), and the order of effects stays a function
 * of the calls alone. Unpacking is bounded, so that a small item cannot fill the memory.
 */
import { deflateRawSync, inflateRawSync } from "node:zlib";

export function pack(value: unknown): Uint8Array {
  return deflateRawSync(JSON.stringify(value));
}

/** Throws where `bytes` is not packed JSON or unpacks to more than `bytesMax`. */
export function unpack(bytes: unknown, bytesMax: number): unknown {
  if (!(bytes instanceof Uint8Array)) throw new Error("the value is not bytes");
  return JSON.parse(inflateRawSync(bytes, { maxOutputLength: bytesMax }).toString("utf8"));
}
