/**
 * The fence: `generation.fleet.host`, three counters sent with every push.
 *
 * A host refuses whatever goes back, whoever sends it. It is the only safety mechanism: ownership,
 * leases and clocks decide who is busy, never what a host may apply. Rule at the host: a higher
 * generation is accepted and resets; within a generation, fleet and host must each be at least what
 * is stored. It is a partial order: (1.5.2) and (1.4.9) refuse each other in both directions.
 */

export interface Fence {
  /** Raised when the store came back older or empty. */
  readonly generation: number;
  /** Revision of the `fleet` item (all rules). */
  readonly fleet: number;
  /** Revision of the host's own item. */
  readonly host: number;
}

const pattern = /^(0|[1-9]\d{0,15})\.(0|[1-9]\d{0,15})\.(0|[1-9]\d{0,15})$/;

/** Decimal text `1.402.9`; the only form on the wire, so that no reader loses digits. */
export function formatFence(fence: Fence): string {
  return `${fence.generation}.${fence.fleet}.${fence.host}`;
}

/** Undefined where `text` is not three safe integers joined by dots. */
export function parseFence(text: string): Fence | undefined {
  const match = pattern.exec(text);
  if (match === null) return undefined;
  const fence = { generation: Number(match[1]), fleet: Number(match[2]), host: Number(match[3]) };
  return Object.values(fence).every(Number.isSafeInteger) ? fence : undefined;
}

/** True where a host that stores `stored` must refuse `offered`. */
export function goesBack(stored: Fence, offered: Fence): boolean {
  if (offered.generation !== stored.generation) return offered.generation < stored.generation;
  return offered.fleet < stored.fleet || offered.host < stored.host;
}

export function equalFences(left: Fence, right: Fence): boolean {
  return (
    left.generation === right.generation && left.fleet === right.fleet && left.host === right.host
  );
}
