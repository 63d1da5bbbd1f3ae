/**
 * The member item: what one process says about itself, once a beat.
 *
 * `incarnation`, `holder` and `beat` are attributes of their own because writes are conditioned on
 * them; the rest travels as one JSON text, `report`. `holder` is a random id of the process: it
 * tells an own write after an unknown outcome, and keeps apart two processes that counted the same
 * incarnation after a wipe of the table.
 *
 * `evicting` is the only attribute that others write: the beat key at which an observer declared
 * the member silent, set IF incarnation and beat are still those. From then on no beat of that
 * incarnation is accepted (beats are conditioned on its absence), so the eviction that follows can
 * never hit a member whose beat moved after the verdict. A living member finds its beat refused,
 * registers the next incarnation, which replaces the item and the mark, and joins again.
 * `evictReason` goes with it: what the member has to make up for depends on why it went.
 */
import { z } from "zod";
import { CoxswainError } from "../kernel/errors.ts";
import { limits } from "../protocol/limits.ts";
import type { View } from "../ring/view.ts";
import { keys, type Attributes, type Condition, type Item, type Store } from "../store/store.ts";
import { flapsKeptMax, type EvictReason, type FlapRecord } from "./probation.ts";

/** The calls that membership makes. */
export type MembershipStore = Pick<Store, "get" | "query" | "put" | "update" | "delete">;

export type ViewNumber = Pick<View, "generation" | "version">;

/** What does not change during one process life. */
export interface MemberIdentity {
  readonly slot: string;
  readonly weight: number;
  readonly zone: string;
  readonly url: string;
  readonly fleetUrl: string;
}

/** What the node has loaded and done. */
export interface MemberProgress {
  /** The last view of which everything is loaded; null before the first. */
  readonly viewSeen: ViewNumber | null;
  readonly placementHash: string | null;
  readonly hosts: number;
  /** Pushes finished since the process started. */
  readonly pushes: number;
  /** Hosts that are ready for a push or have one under way. */
  readonly queued: number;
}

/** What a member has written back to a table that lost it. */
export interface Restored {
  /** The view that the member held when it had written everything back. */
  readonly view: ViewNumber;
  /** Revision of the rules it knows; the table has these or newer ones. */
  readonly fleetRevision: number;
}

export interface MemberReport extends MemberIdentity, MemberProgress {
  readonly incarnation: number;
  readonly holder: string;
  readonly beat: number;
  /** `restart`: the process has ended and said that its slot comes back. */
  readonly intent: "join" | "run" | "leave" | "restart";
  /** With `restart`: how long, on the reader's clock, its silence is no silence. */
  readonly graceMs: number;
  /** Own beats in a row without a finished push while hosts were queued. */
  readonly stalledBeats: number;
  readonly flaps: FlapRecord;
  readonly restored: Restored | null;
  /** Slot -> beat key at which this member holds it silent; void as soon as that beat moves. */
  readonly suspects: Readonly<Record<string, string>>;
  /** Beat key of the verdict, once an observer marked the member. */
  readonly evicting: string | undefined;
  readonly evictReason: EvictReason | undefined;
}

const count = z.int().min(0);
// Unknown fields are let through: a newer version may write some while a deploy runs.
const rowSchema = z.object({
  incarnation: z.int().min(1),
  holder: z.string().min(1).max(64),
  beat: count,
  report: z.string(),
  evicting: z.string().optional(),
  // A reason that this version does not know is like silence.
  evictReason: z.enum(["silent", "stalled", "command"]).optional().catch("silent"),
});
const viewNumberSchema = z.object({ generation: z.int().min(1), version: count });
const reportSchema = z.object({
  intent: z.enum(["join", "run", "leave", "restart"]),
  graceMs: count.max(600_000),
  stalledBeats: count,
  flaps: z.object({
    evictedAtBeats: z.array(z.int()).max(flapsKeptMax),
    untilBeat: z.int(),
    beats: count,
  }),
  restored: z.object({ view: viewNumberSchema, fleetRevision: count }).nullable(),
  weight: z.int().min(1).max(100),
  zone: z.string().max(limits.labelValueCharsMax),
  url: z.string().max(limits.addressCharsMax),
  fleetUrl: z.string().max(limits.addressCharsMax),
  viewSeen: viewNumberSchema.nullable(),
  placementHash: z.string().max(limits.addressCharsMax).nullable(),
  hosts: count,
  pushes: count,
  queued: count,
  suspects: z.record(z.string(), z.string()),
});

/** One beat of one life, the value that silence is about: `incarnation:beat`. */
export function beatKey(member: Pick<MemberReport, "incarnation" | "beat">): string {
  return `${member.incarnation}:${member.beat}`;
}

/** True once somebody declared the member silent at the beat its item still has. */
export function isMarked(member: MemberReport): boolean {
  return member.evicting === beatKey(member);
}

/** The attributes of a fresh item; the mark is left out: only `markMember` sets it. */
export function encodeMember(member: MemberReport): Attributes {
  const { incarnation, holder, beat } = member;
  return { incarnation, holder, beat, report: encodeReport(member) };
}

/** The attribute that every beat replaces. */
export function encodeReport(member: MemberReport): string {
  const { intent, graceMs, weight, zone, url, fleetUrl, viewSeen, placementHash } = member;
  const { hosts, pushes, queued, stalledBeats, flaps, restored, suspects } = member;
  const own = { intent, graceMs, weight, zone, url, fleetUrl };
  const done = { viewSeen, placementHash, hosts, pushes, queued, stalledBeats, restored };
  return JSON.stringify({ ...own, ...done, flaps, suspects });
}

/** Throws STORE_CORRUPT for any other shape. */
export function decodeMember(item: Item): MemberReport {
  const row = rowSchema.safeParse(item.attributes);
  if (!row.success) throw corrupt(item, row.error);
  const report = reportSchema.safeParse(parseJson(row.data.report));
  if (!report.success) throw corrupt(item, report.error);
  const { incarnation, holder, beat, evicting, evictReason } = row.data;
  return { slot: item.sk, incarnation, holder, beat, evicting, evictReason, ...report.data };
}

/** Holds only while nobody else has taken the slot. */
export function heldBy(member: Pick<MemberReport, "incarnation" | "holder">): Condition[] {
  return [
    { kind: "equal", attribute: "incarnation", value: member.incarnation },
    { kind: "equal", attribute: "holder", value: member.holder },
  ];
}

/** Holds only while the member is exactly as it was read. */
export function unchangedSince(member: MemberReport): Condition[] {
  return [...heldBy(member), { kind: "equal", attribute: "beat", value: member.beat }];
}

export interface MembersRead {
  readonly members: ReadonlyMap<string, MemberReport>;
  /** Rows of another shape, by slot: left out, and never judged. */
  readonly corrupt: ReadonlyMap<string, CoxswainError>;
}

/** All member items, strongly read; one damaged row does not hide the others. */
export async function readMembers(store: MembershipStore): Promise<MembersRead> {
  const members = new Map<string, MemberReport>();
  const corruptRows = new Map<string, CoxswainError>();
  let after: string | undefined;
  for (let page = 0; page < pagesMax; page++) {
    const { items, next } = await store.query(keys.member("").pk, {
      limit: limits.nodesMax,
      ...(after === undefined ? {} : { after }),
    });
    for (const item of items) {
      try {
        members.set(item.sk, decodeMember(item));
      } catch (error) {
        if (!(error instanceof CoxswainError)) throw error;
        corruptRows.set(item.sk, error);
      }
    }
    if (next === undefined) break;
    after = next;
  }
  return { members, corrupt: corruptRows };
}

/** Rows of 4 times the largest cluster: the living and as many dead as retention may leave. */
const pagesMax = 4;

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    // Not JSON is a wrong shape like any other: the schema refuses undefined.
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function corrupt(item: Item, error: z.ZodError): CoxswainError {
  const issue = error.issues[0];
  const field = issue?.path.join(".") ?? "";
  return new CoxswainError(
    "STORE_CORRUPT",
    `Expected ${item.pk}/${item.sk} to be a member item, got ${issue?.message ?? "another shape"} at \`${field}\``,
    { details: { pk: item.pk, sk: item.sk, field }, cause: error },
  );
}
