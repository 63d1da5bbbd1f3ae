/**
 * The shapes of what nodes send each other, checked on both ends.
 *
 * Peers are the same program, but not always the same version, and whoever reaches the fleet listener can
 * send anything. A question of the wrong shape is refused (400), an answer of the wrong shape counts as
 * none. Unknown fields pass: a newer version may send them while a deploy runs.
 */
import { z } from "zod";
import { CoxswainError } from "../kernel/errors.ts";
import { limits } from "../protocol/limits.ts";
import type { PeerCalls } from "./peers.ts";
import { shapeAnswers, shapeAsks } from "./shape-calls.ts";

const count = z.int().min(0);
const text = z.string().max(limits.importBodyBytesMax);
const id = z.string().max(limits.hostIdCharsMax);
const partitions = z.array(count.max(limits.partitionsMax - 1)).max(limits.partitionsMax);

const asks = {
  ...shapeAsks,
  hint: z.object({
    view: z.boolean().optional(),
    fleet: z.enum(["change", "rollback"]).optional(),
    partitions: partitions.optional(),
  }),
  hello: z.object({ host: id }),
  hosts: z.object({
    partitions,
    ids: z.array(id).optional(),
    selector: text.optional(),
    reachability: text.optional(),
    sync: text.optional(),
    after: text.optional(),
    limit: count,
    isDetailed: z.boolean(),
  }),
  counts: z.object({
    partitions,
    rollout: z.object({ config: text, selector: text }).optional(),
  }),
  events: z.object({ after: count }),
  addresses: z.object({ hosts: z.array(z.object({ id, address: text })) }),
} as const satisfies Record<keyof PeerCalls, z.ZodType>;

const hostView = z.looseObject({
  id,
  address: text,
  labels: z.record(z.string(), z.string()),
  pins: z.record(z.string(), z.string()),
  partition: count,
  fence: text,
  desired: z.looseObject({ manifest: text }),
  sync: text,
  reachability: text,
  // A peer of an earlier version does not say.
  via: text.nullable().default(null),
});

const counts = z.object({
  total: count,
  applied: count,
  pending: count,
  rejected: count,
  unreachable: count,
  neverSeen: count,
  // A peer of an earlier version does not count them.
  damaged: count.default(0),
});

const answers = {
  ...shapeAnswers,
  hint: z.object({}),
  hello: z.object({ isServed: z.boolean() }),
  hosts: z.object({ hosts: z.array(hostView), unserved: partitions }),
  counts: z.object({
    counts,
    problems: z.array(z.object({ class: text, message: text, count, hosts: z.array(z.string()) })),
    unserved: partitions,
  }),
  events: z.object({
    events: z.array(z.looseObject({ type: z.string(), at: z.string(), node: z.string() })),
    last: count,
  }),
  addresses: z.object({ taken: z.array(z.object({ id, address: text, by: id })) }),
} as const satisfies Record<keyof PeerCalls, z.ZodType>;

/** Throws REQUEST_INVALID, which names the field. */
export function parsePeerAsk<Name extends keyof PeerCalls>(
  name: Name,
  body: unknown,
): PeerCalls[Name]["ask"] {
  const parsed = asks[name].safeParse(body);
  // Optional fields that are absent stay absent: JSON has no undefined.
  if (parsed.success) return parsed.data as PeerCalls[Name]["ask"];
  const field = fieldOf("body", parsed.error);
  throw new CoxswainError(
    "REQUEST_INVALID",
    `Expected ${field} of a peer's ${name}: ${parsed.error.issues[0]?.message}`,
    { details: { field } },
  );
}

/** The answer, or what is wrong with it, in words. */
export function parsePeerAnswer<Name extends keyof PeerCalls>(
  name: Name,
  body: unknown,
): { readonly answer: PeerCalls[Name]["answer"] } | { readonly wrong: string } {
  const parsed = answers[name].safeParse(body);
  if (parsed.success) return { answer: parsed.data as unknown as PeerCalls[Name]["answer"] };
  return { wrong: `${fieldOf("answer", parsed.error)}: ${parsed.error.issues[0]?.message}` };
}

function fieldOf(root: string, error: z.ZodError): string {
  return [root, ...(error.issues[0]?.path ?? [])].map(String).join(".");
}
