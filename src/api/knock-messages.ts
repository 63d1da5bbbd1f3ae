/** What the knock thread is given and what it tells (knock-worker.ts). */
import type { VerifiedKnock } from "../node/knocks.ts";

/** What the thread is given. */
export interface KnockSetup {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly secret: Uint8Array;
  /** Signatures checked a second. */
  readonly verifiesPerSecond: number;
}

/** What a datagram that is no good knock was, by the check that dropped it. */
export const knockDrops = ["malformed", "overBudget", "forged"] as const;
export type KnockDrop = (typeof knockDrops)[number];

/** What the thread tells. */
export type KnockMessage =
  | { readonly kind: "listening"; readonly port: number }
  | { readonly kind: "failed"; readonly message: string }
  | { readonly kind: "knocks"; readonly knocks: readonly VerifiedKnock[] }
  | { readonly kind: "dropped"; readonly counts: Readonly<Record<KnockDrop, number>> };
