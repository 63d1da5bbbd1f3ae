/**
 * What nodes ask of each other for hosts that make the first move: calls, and their shapes on the wire
 * (peer-shapes.ts says how they are checked).
 */
import { z } from "zod";
import { limits } from "../protocol/limits.ts";
import { linkAnswers, linkAsks, type LinkCalls } from "./link-calls.ts";
import { pollAnswers, pollAsks, type PollCalls } from "./poll-calls.ts";

export interface ShapeCalls extends PollCalls, LinkCalls {
  /** Knocks that the peer's hosts sent here; their signatures are checked. */
  knock: { ask: { knocks: readonly PassedKnock[] }; answer: Record<string, never> };
}

export interface PassedKnock {
  readonly host: string;
  /** Decimal: 64 bits do not fit into a number. */
  readonly counter: string;
}

export const knocksPerCallMax = 1_000;

const id = z.string().max(limits.hostIdCharsMax);
const counter = z.string().regex(/^\d{1,20}$/);

export const shapeAsks = {
  ...pollAsks,
  ...linkAsks,
  knock: z.object({ knocks: z.array(z.object({ host: id, counter })).max(knocksPerCallMax) }),
} as const satisfies Record<keyof ShapeCalls, z.ZodType>;

export const shapeAnswers = {
  ...pollAnswers,
  ...linkAnswers,
  knock: z.object({}),
} as const satisfies Record<keyof ShapeCalls, z.ZodType>;

export function isShapeCall(name: string): name is keyof ShapeCalls {
  return Object.hasOwn(shapeAsks, name);
}
