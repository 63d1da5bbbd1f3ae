/**
 * What a full sync asks of this host, decided from values alone.
 *
 * Each offered config is settled at once (held already, or not acceptable) or becomes a change; each
 * held name that is not offered becomes a removal. Changes come before removals and each in the
 * order of names, so that equal input gives equal steps.
 */
import { digestOf, type Digest } from "../protocol/digest.ts";
import type { OfferedConfig } from "../protocol/sync.ts";
import type { Outcome } from "./durable-state.ts";

export type Change =
  | {
      readonly kind: "apply";
      readonly name: string;
      readonly digest: Digest;
      readonly bytes: Uint8Array;
    }
  | { readonly kind: "remove"; readonly name: string };

export interface SyncPlan {
  readonly settled: readonly Outcome[];
  readonly changes: readonly Change[];
}

export interface PlanInput {
  /** Sorted by name. */
  readonly offered: readonly (OfferedConfig & { readonly digest: Digest })[];
  /** Configs that are recorded and whose file has the recorded digest. */
  readonly verified: ReadonlyMap<string, Digest>;
  /** Every recorded name, also where its file was changed by someone else. */
  readonly recorded: ReadonlySet<string>;
  /** Contents the host has a verified copy of. */
  readonly stored: ReadonlyMap<Digest, Uint8Array>;
  isAccepted(name: string): boolean;
}

/** Decides; the offered list and everything in the result are in the order of names. */
export function planSync(input: PlanInput): SyncPlan {
  const settled: Outcome[] = [];
  const changes: Change[] = [];
  for (const config of input.offered) {
    const step = planConfig(config, input);
    if ("result" in step) settled.push(step);
    else changes.push(step);
  }
  const offeredNames = new Set(input.offered.map(({ name }) => name));
  for (const name of [...input.recorded].toSorted()) {
    if (!offeredNames.has(name)) changes.push({ kind: "remove", name });
  }
  return { settled, changes };
}

function planConfig(
  config: OfferedConfig & { readonly digest: Digest },
  input: PlanInput,
): Outcome | Change {
  const { name, digest } = config;
  if (!input.isAccepted(name)) {
    return {
      name,
      result: "rejected",
      message: "The agent's configuration does not list this name and accepts no others",
    };
  }
  if (input.verified.get(name) === digest) return { name, result: "unchanged" };
  if (config.content === undefined) {
    const bytes = input.stored.get(digest);
    return bytes === undefined
      ? { name, result: "missing" }
      : { kind: "apply", name, digest, bytes };
  }
  const bytes = Buffer.from(config.content, config.encoding ?? "utf8");
  if (bytes.length !== config.size) {
    return failed(name, `Expected the content to have ${config.size} bytes, got ${bytes.length}`);
  }
  const actual = digestOf(bytes);
  if (actual !== digest) {
    return failed(name, `Expected the content to have the digest ${digest}, got ${actual}`);
  }
  return { kind: "apply", name, digest, bytes };
}

/** Damage on the way says nothing about the release: `failed`, so that it is sent again. */
function failed(name: string, message: string): Outcome {
  return { name, result: "failed", message };
}
