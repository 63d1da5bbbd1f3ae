/** The certificates that a node's options name, as the transport takes them. */
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { CoxswainError, messageOf } from "../kernel/errors.ts";

interface TlsFiles {
  readonly tlsCa: string;
  readonly tlsCert: string;
  readonly tlsKey: string;
}

export interface TlsMaterial {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** Throws OPTION_INVALID for a file that cannot be read or is no PEM, and for a key of another certificate. */
export function readTlsFiles(files: TlsFiles): TlsMaterial {
  const material = {
    ...read("ca", "tlsCa", files.tlsCa),
    ...read("cert", "tlsCert", files.tlsCert),
    ...read("key", "tlsKey", files.tlsKey),
  };
  try {
    createSecureContext(material);
  } catch (error) {
    throw new CoxswainError(
      "OPTION_INVALID",
      `Expected \`tlsCa\`, \`tlsCert\` and \`tlsKey\` to be PEM files that belong together: ${messageOf(error)}`,
      { cause: error },
    );
  }
  return material;
}

function read(name: keyof TlsMaterial, option: string, path: string): TlsMaterial {
  if (path === "") return {};
  try {
    return { [name]: readFileSync(path, "utf8") };
  } catch (error) {
    throw new CoxswainError(
      "OPTION_INVALID",
      `Expected \`${option}\` to be a readable file, got ${path}: ${messageOf(error)}`,
      { cause: error },
    );
  }
}
