/**
 * How a host opens the connection over which a node then syncs it (docs/protocol.md, Reverse).
 *
 * The host sends `GET` with `Upgrade`; after `101` the roles turn: the node sends requests, the host answers.
 * Beside the sync there are two requests: a ping, and the wish that the host attaches anew elsewhere.
 */
import { z } from "zod";

export const attachPath = "/coxswain/v1/attach";
export const pingPath = "/coxswain/v1/ping";
export const detachPath = "/coxswain/v1/detach";
/** The token of the `Upgrade` header. */
export const reverseProtocol = "coxswain-reverse";

/** Header names beside those of a sync, lower case. */
export const reverseHeaders = {
  boot: "coxswain-boot",
  /** `1`: the host reaches each node by its own address, so it may be pointed to the owner. */
  direct: "coxswain-direct",
  /** In the answer: longest time between two requests of the node, in milliseconds. */
  pingMs: "coxswain-ping-ms",
  /** In the answer and on pings: after a loss, come again at a random moment of so many milliseconds. */
  lossSpreadMs: "coxswain-loss-spread-ms",
} as const;

const lossSpreadMaxMs = 10 * 60_000;

/** What a node's answer or request says of a loss; undefined: nothing, or nothing that can be understood. */
export function lossSpreadMsOf(
  headers: Readonly<Record<string, string | string[] | undefined>>,
): number | undefined {
  const text = headers[reverseHeaders.lossSpreadMs];
  if (typeof text !== "string" || !/^\d{1,9}$/.test(text)) return undefined;
  return Math.min(lossSpreadMaxMs, Number(text));
}

/** A node that has been silent for so many ping intervals is gone. */
export const silentPings = 3;

/** Body of a detach: attach anew after a random part of `withinMs`, then give this connection up. */
export const detachSchema = z.object({
  withinMs: z.int().min(0).max(600_000),
  reason: z.string().max(64).optional(),
});
export type Detach = z.infer<typeof detachSchema>;
