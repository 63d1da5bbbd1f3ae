/** The cluster's secret, from which the keys of hosts are derived (src/protocol/host-key.ts). */
import { readFileSync } from "node:fs";
import { CoxswainError, messageOf } from "../kernel/errors.ts";
import { secretBytesMin } from "../protocol/host-key.ts";

/** Undefined where no file is named. Throws OPTION_INVALID for one that cannot be read or is too short. */
export function readHostSecret(path: string): Buffer | undefined {
  if (path === "") return undefined;
  const rule = `Expected \`hostSecretFile\` to be a readable file of at least ${secretBytesMin} bytes`;
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    throw new CoxswainError("OPTION_INVALID", `${rule}, got ${path}: ${messageOf(cause)}`, {
      cause,
    });
  }
  if (bytes.length >= secretBytesMin) return bytes;
  throw new CoxswainError("OPTION_INVALID", `${rule}, got ${path} with ${bytes.length} bytes`);
}
