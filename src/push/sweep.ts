/**
 * The sweep: every host is visited once per interval, at a phase given by its id, so that the same
 * work is done in good and in bad times and a restart does not bunch it up.
 */
import type { HostId } from "../inventory/host.ts";

/** The first time after `atMs` that is the host's turn. */
export function nextSweepMs(id: HostId, atMs: number, intervalMs: number): number {
  const phaseMs = (hash32(id) / 2 ** 32) * intervalMs;
  const turns = Math.floor((atMs - phaseMs) / intervalMs) + 1;
  const dueMs = phaseMs + turns * intervalMs;
  return dueMs > atMs ? dueMs : dueMs + intervalMs;
}

/** FNV-1a with the finalizer of MurmurHash3, so that similar ids are spread. */
function hash32(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
