/**
 * What the agent must still know after a power cut, as the bytes of one small file.
 *
 * First line: a name, a format number and the sha256 of the rest; then JSON. A file that does not
 * fit is damaged and is refused, never guessed at: a fence read wrong could let an old push through.
 * `intent` is written before the first change at a target and cleared after the last one, so that
 * an agent that finds one at its start knows that it was interrupted and what stood there before.
 */
import { z } from "zod";
import { CoxswainError } from "../kernel/errors.ts";
import { digestOf, type Digest } from "../protocol/digest.ts";
import { formatFence, parseFence, type Fence } from "../protocol/fence.ts";
import { configNamePattern, digestPattern } from "../protocol/limits.ts";
import { configResults, type ConfigResult } from "../protocol/sync.ts";

/** One config as last applied. */
export interface HeldRecord {
  readonly name: string;
  readonly digest: Digest;
}

/** What became of a config of the offered manifest where it was not simply applied. */
export interface Outcome {
  readonly name: string;
  readonly result: ConfigResult;
  readonly message?: string;
}

/** One change under way: digests of the target before and after; undefined means no file. */
export interface Intent {
  readonly name: string;
  readonly before: Digest | undefined;
  readonly after: Digest | undefined;
}

export interface DurableState {
  readonly cluster: string;
  readonly host: string;
  /** Undefined until the first accepted sync; then `offered` is set too. */
  readonly fence: Fence | undefined;
  /** Digest of the manifest that came with `fence`. */
  readonly offered: Digest | undefined;
  /** Highest view version seen within the fence's generation. */
  readonly view: number;
  readonly configs: readonly HeldRecord[];
  /** What `offered` could not be brought to, by the process that wrote this. */
  readonly outcomes: readonly Outcome[];
  readonly intent: readonly Intent[];
}

/** Most bytes a state file can have; a larger one is damaged. */
export const stateFileBytesMax = 1024 * 1024;

const magic = "coxswain-agent-state 1";
const digestSchema = z.custom<Digest>(
  (value) => typeof value === "string" && digestPattern.test(value),
);
const nameSchema = z.string().regex(configNamePattern);
const intentSchema = z.object({
  name: nameSchema,
  before: digestSchema.nullable(),
  after: digestSchema.nullable(),
});
const outcomeSchema = z.object({
  name: nameSchema,
  result: z.enum(configResults),
  message: z.string().optional(),
});
const fileSchema = z.object({
  cluster: z.string(),
  host: z.string(),
  fence: z.string().nullable(),
  offered: digestSchema.nullable(),
  view: z.int().min(0),
  configs: z.array(z.object({ name: nameSchema, digest: digestSchema })),
  outcomes: z.array(outcomeSchema),
  intent: z.array(intentSchema),
});

/** The state of an agent that has never been pushed to. */
export function freshState(cluster: string, host: string): DurableState {
  return {
    cluster,
    host,
    fence: undefined,
    offered: undefined,
    view: 0,
    configs: [],
    outcomes: [],
    intent: [],
  };
}

export function encodeState(state: DurableState): Uint8Array {
  const body = JSON.stringify({
    ...state,
    fence: state.fence === undefined ? null : formatFence(state.fence),
    offered: state.offered ?? null,
    intent: state.intent.map(({ name, before, after }) => ({
      name,
      before: before ?? null,
      after: after ?? null,
    })),
  });
  return Buffer.from(`${magic} ${digestOf(Buffer.from(body))}\n${body}`);
}

/** Throws AGENT_STATE_CORRUPT where the bytes are not exactly what `encodeState` wrote. */
export function decodeState(bytes: Uint8Array, path: string): DurableState {
  const text = Buffer.from(bytes).toString("utf8");
  const lineEnd = text.indexOf("\n");
  const body = text.slice(lineEnd + 1);
  if (lineEnd < 0 || text.slice(0, lineEnd) !== `${magic} ${digestOf(Buffer.from(body))}`) {
    throw corrupt(path, `to begin with \`${magic}\` and the digest of the rest`);
  }
  const parsed = fileSchema.safeParse(parseJson(body));
  if (!parsed.success) throw corrupt(path, "to have every field");
  const { fence: fenceText, offered, intent, outcomes, ...rest } = parsed.data;
  const fence = fenceText === null ? undefined : parseFence(fenceText);
  if (
    (fence === undefined) !== (fenceText === null) ||
    (fence === undefined) !== (offered === null)
  ) {
    throw corrupt(path, "to have a fence with its manifest");
  }
  return {
    ...rest,
    fence,
    offered: offered ?? undefined,
    outcomes: outcomes.map(outcomeOf),
    intent: intent.map(({ name, before, after }) => ({
      name,
      before: before ?? undefined,
      after: after ?? undefined,
    })),
  };
}

/** A state folder copied from another host or cluster carries fences that mean nothing here. */
export function requireOwnState(state: DurableState, cluster: string, host: string): void {
  if (state.cluster === cluster && state.host === host) return;
  throw new CoxswainError(
    "AGENT_STATE_CORRUPT",
    `Expected the state folder to belong to host \`${host}\` of cluster \`${cluster}\`, ` +
      `got host \`${state.host}\` of cluster \`${state.cluster}\``,
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // A right digest over no JSON: the schema refuses undefined, as it does any other shape.
    return undefined;
  }
}

function outcomeOf({ name, result, message }: z.infer<typeof outcomeSchema>): Outcome {
  return message === undefined ? { name, result } : { name, result, message };
}

function corrupt(path: string, rule: string): CoxswainError {
  return new CoxswainError("AGENT_STATE_CORRUPT", `Expected ${path} ${rule}, got a damaged file`, {
    details: { path },
  });
}
