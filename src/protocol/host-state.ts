/**
 * Whether a host's operational state is within its limits: the same rule at the host that sends it
 * and at the node that gets it.
 *
 * Depth counts besides size, because a few thousand brackets fit every size limit and overflow the
 * stack of whatever renders them next. The walk itself goes no deeper than the limit.
 */
import { limits } from "./limits.ts";

export function isStateShallow(state: object): boolean {
  return isShallow(state, limits.stateDepthMax);
}

/** Bytes of `state` as JSON. It must be shallow. */
export function stateBytes(state: object): number {
  return Buffer.byteLength(JSON.stringify(state));
}

function isShallow(value: object, depthMax: number): boolean {
  if (depthMax === 0) return false;
  for (const each of Object.values(value) as unknown[]) {
    if (typeof each === "object" && each !== null && !isShallow(each, depthMax - 1)) return false;
  }
  return true;
}
