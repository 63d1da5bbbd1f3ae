/**
 * What nodes tell each other about connections that hosts opened, on the wire.
 *
 * The node that holds a connection tells the host's owner, the owner sends its syncs through it. Both are
 * more than a hint: where the cluster has a secret they carry a proof that a node sent them.
 */
import { z } from "zod";
import { limits } from "../protocol/limits.ts";
import { isPeerProof, peerProofOf } from "../protocol/peer-proof.ts";
import { failed } from "../push/http-exchange.ts";
import type { ExchangeResult } from "../push/transport.ts";

export interface LinkCalls {
  /** Connections that the caller holds, or held, of hosts that the peer owns. */
  links: { ask: LinksAsk; answer: LinksAnswer };
  /** A sync of the caller's host, over the connection that the peer holds. */
  relay: { ask: RelayAsk; answer: RelayAnswer };
}

interface LinksAsk {
  /** Who holds them. */
  readonly slot: string;
  readonly linked: readonly HeldLink[];
  readonly unlinked: readonly Pick<HeldLink, "host" | "number">[];
  readonly proof: string;
}

export interface HeldLink {
  readonly host: string;
  /** Tells a connection of the holder from its others. */
  readonly number: number;
  readonly ageMs: number;
}

interface LinksAnswer {
  /** Not in the inventory, or not with the mode `reverse`. */
  readonly unknown: readonly string[];
  /** Not served there, yet or any more. */
  readonly unserved: readonly string[];
}

interface RelayAsk {
  readonly host: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Base64. */
  readonly body: string;
  readonly deadlineMs: number;
  readonly proof: string;
}

interface RelayAnswer {
  readonly reply?: {
    readonly status: number;
    readonly body: string;
    readonly retryAfterMs?: number;
  };
  readonly failure?: {
    readonly failure: "local" | "ambiguous" | "protocol" | "detached";
    readonly message: string;
    readonly sent: boolean;
  };
}

export const linksPerCallMax = 1_000;
/** A sync in base64, and what stands around it. */
export const relayBodyBytesMax = Math.ceil(limits.syncRequestBytesMax / 3) * 4 + 64 * 1024;
const headersMax = 16;
const deadlineMaxMs = 600_000;

const host = z.string().max(limits.hostIdCharsMax);
const number = z.int().min(0);
const proof = z.string().max(64);
const text = z.string().max(1_024);

export const linkAsks = {
  links: z.object({
    slot: z.string().max(64),
    linked: z.array(z.object({ host, number, ageMs: z.number().min(0) })).max(linksPerCallMax),
    unlinked: z.array(z.object({ host, number })).max(linksPerCallMax),
    proof,
  }),
  relay: z.object({
    host,
    headers: z
      .record(text, text)
      .refine((headers) => Object.keys(headers).length <= headersMax, "too many headers"),
    body: z.string().max(relayBodyBytesMax),
    deadlineMs: z.number().min(0).max(deadlineMaxMs),
    proof,
  }),
} as const satisfies Record<keyof LinkCalls, z.ZodType>;

const hosts = z.array(host).max(linksPerCallMax);

export const linkAnswers = {
  links: z.object({ unknown: hosts, unserved: hosts }),
  relay: z.object({
    reply: z
      .object({
        status: z.int(),
        body: z.string().max(2 * limits.syncReplyBytesMax),
        retryAfterMs: z.number().optional(),
      })
      .optional(),
    failure: z
      .object({
        failure: z.enum(["local", "ambiguous", "protocol", "detached"]),
        message: text,
        sent: z.boolean(),
      })
      .optional(),
  }),
} as const satisfies Record<keyof LinkCalls, z.ZodType>;

type Unproven<Ask> = Omit<Ask, "proof">;

/** `ask` with the proof that a node with `secret` made it. */
export function provenLinks(secret: Uint8Array | undefined, ask: Unproven<LinksAsk>): LinksAsk {
  return { ...ask, proof: peerProofOf(secret, linksParts(ask)) };
}

export function areLinksProven(secret: Uint8Array | undefined, ask: LinksAsk): boolean {
  return isPeerProof(secret, linksParts(ask), ask.proof);
}

export function provenRelay(secret: Uint8Array | undefined, ask: Unproven<RelayAsk>): RelayAsk {
  return { ...ask, proof: peerProofOf(secret, relayParts(ask)) };
}

export function isRelayProven(secret: Uint8Array | undefined, ask: RelayAsk): boolean {
  return isPeerProof(secret, relayParts(ask), ask.proof);
}

function linksParts({ slot, linked, unlinked }: Unproven<LinksAsk>): string[] {
  const held = linked.map((link) => `${link.host} ${link.number} ${link.ageMs}`);
  const gone = unlinked.map((link) => `${link.host} ${link.number}`);
  return ["links", slot, held.join("\n"), gone.join("\n")];
}

function relayParts(ask: Unproven<RelayAsk>): string[] {
  const headers = Object.keys(ask.headers)
    .toSorted()
    .map((name) => `${name}: ${ask.headers[name] ?? ""}`);
  return ["relay", ask.host, headers.join("\n"), ask.body];
}

/** What the holder's exchange gave, for the owner. */
export function relayAnswerOf(result: ExchangeResult): RelayAnswer {
  if (result.kind === "reply") {
    const { status, body, retryAfterMs } = result;
    const rest = retryAfterMs === undefined ? {} : { retryAfterMs };
    return { reply: { status, body: body.toString("base64"), ...rest } };
  }
  if (result.kind === "offered") return { failure: { ...lost, message: "nothing was sent" } };
  const { failure, sent } = result;
  const message = result.message.slice(0, 500);
  if (failure === "local" || failure === "protocol" || failure === "detached") {
    return { failure: { failure, message, sent } };
  }
  return { failure: { ...lost, message, sent } };
}

const lost = { failure: "ambiguous", sent: true } as const;

/** The same for the owner's pusher. */
export function resultOfRelay({ reply, failure }: RelayAnswer): ExchangeResult {
  if (reply !== undefined) {
    const { status, body, retryAfterMs } = reply;
    return { kind: "reply", status, retryAfterMs, body: Buffer.from(body, "base64") };
  }
  if (failure === undefined) return failed("ambiguous", "the holder's answer is empty", true);
  return failed(failure.failure, failure.message, failure.sent);
}
