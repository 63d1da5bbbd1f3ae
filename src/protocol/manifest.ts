/** The manifest: what one host should hold. Equal manifests are one shared object per node. */
import type { Digest } from "./digest.ts";

export interface Manifest {
  readonly digest: Digest;
  /** Sorted by name (UTF-16 code units), at most `limits.configsPerHostMax`. */
  readonly configs: readonly { readonly name: string; readonly digest: Digest }[];
}
