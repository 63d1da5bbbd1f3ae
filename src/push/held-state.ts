/**
 * What a host holds, by its own last word.
 *
 * Most hosts are in sync with one of few manifests, at one of few fences, and hold nothing else: they
 * share one object, because an owner keeps one for every host of its slice.
 */
import type { Digest } from "../protocol/digest.ts";
import type { Fence } from "../protocol/fence.ts";
import type { Manifest } from "../protocol/manifest.ts";
import type { HeldConfig } from "../protocol/sync.ts";

export interface HeldState {
  readonly manifest: Digest;
  readonly fence: Fence | undefined;
  /** Shared with the manifest where the host is in sync; undefined where only the digest is known. */
  readonly configs: readonly { readonly name: string; readonly digest: string }[] | undefined;
  /** Results other than applied, unchanged and removed. */
  readonly problems: readonly HeldConfig[];
}

export const noProblems: readonly HeldConfig[] = [];

/** Forgotten with the manifest or the fence. */
const inSync = new WeakMap<Manifest, WeakMap<Fence, HeldState>>();

/** All of `manifest` without a problem, as sent with `fence`. */
export function heldInSync(manifest: Manifest, fence: Fence): HeldState {
  let byFence = inSync.get(manifest);
  if (byFence === undefined) {
    byFence = new WeakMap();
    inSync.set(manifest, byFence);
  }
  let held = byFence.get(fence);
  if (held === undefined) {
    held = { manifest: manifest.digest, fence, configs: manifest.configs, problems: noProblems };
    byFence.set(fence, held);
  }
  return held;
}
