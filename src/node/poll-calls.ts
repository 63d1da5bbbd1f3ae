/** What nodes pass on for hosts that poll: calls, and their shapes on the wire (peer-shapes.ts says how they are checked). */
import { z } from "zod";
import { limits } from "../protocol/limits.ts";

export interface PollCalls {
  /** A poll of a host that the peer owns; admitted where it arrived. */
  poll: { ask: PassedPoll; answer: PollReply };
  /** What a host that the peer owns says became of a sync. */
  report: { ask: PassedReport; answer: ReportReply };
}

export interface PassedPoll {
  readonly host: string;
  /** Empty where the host sent none, as with `held`. */
  readonly etag: string;
  readonly held: string;
}

interface PassedReport {
  readonly host: string;
  readonly status: number;
  readonly body: string;
}

export type PollReply =
  | {
      readonly kind: "sync";
      /** Those of a push, lower case. */
      readonly headers: Readonly<Record<string, string>>;
      /** Base64 of the bytes that a push would carry. */
      readonly body: string;
      readonly etag: string;
      readonly nextPollMs: number;
    }
  | { readonly kind: "unchanged"; readonly etag: string; readonly nextPollMs: number }
  | { readonly kind: "unknownHost"; readonly nextPollMs: number }
  | { readonly kind: "unproven"; readonly nextPollMs: number }
  | { readonly kind: "busy"; readonly retryAfterMs: number };

export type ReportReply =
  | { readonly kind: "taken"; readonly needsSync: boolean }
  | { readonly kind: "unknownHost" }
  | { readonly kind: "unproven" }
  | { readonly kind: "busy"; readonly retryAfterMs: number };

const headerBytesMax = 512;
/** A sync that is not compressed, as base64. */
const bodyCharsMax = Math.ceil(limits.syncRequestBytesMax / 3) * 4;

const host = z.string().max(limits.hostIdCharsMax);
const header = z.string().max(headerBytesMax);
const nextPollMs = z.number().min(0);
const busy = z.object({ kind: z.literal("busy"), retryAfterMs: z.number().min(0) });

export const pollAsks = {
  poll: z.object({ host, etag: header, held: header }),
  report: z.object({
    host,
    status: z.int().min(100).max(599),
    body: z.string().max(limits.syncReplyBytesMax),
  }),
} as const satisfies Record<keyof PollCalls, z.ZodType>;

export const pollAnswers = {
  poll: z.discriminatedUnion("kind", [
    z.object({
      kind: z.literal("sync"),
      headers: z.record(header, header),
      body: z.string().max(bodyCharsMax),
      etag: header,
      nextPollMs,
    }),
    z.object({ kind: z.literal("unchanged"), etag: header, nextPollMs }),
    z.object({ kind: z.enum(["unknownHost", "unproven"]), nextPollMs }),
    busy,
  ]),
  report: z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("taken"), needsSync: z.boolean() }),
    z.object({ kind: z.enum(["unknownHost", "unproven"]) }),
    busy,
  ]),
} as const satisfies Record<keyof PollCalls, z.ZodType>;
