/** Digests of contents and manifests: `sha256:` and 64 lower-case hexadecimal digits. */
import { createHash, hash } from "node:crypto";

export type Digest = `sha256:${string}`;

/** Digest of a content's exact bytes. */
export function digestOf(content: Uint8Array): Digest {
  return `sha256:${hash("sha256", content, "hex")}`;
}

/**
 * Digest of a manifest: sha256 over `name`, a space, `digest` and a newline for each config,
 * sorted by the UTF-16 code units of the name. The empty manifest has a digest like any other.
 */
export function manifestDigestOf(
  configs: Iterable<{ readonly name: string; readonly digest: string }>,
): Digest {
  const lines = [...configs].toSorted((left, right) =>
    left.name < right.name ? -1 : left.name > right.name ? 1 : 0,
  );
  const sha = createHash("sha256");
  for (const { name, digest } of lines) sha.update(`${name} ${digest}\n`);
  return `sha256:${sha.digest("hex")}`;
}
