/**
 * From the result of one exchange to what it means: one outcome kind, and one row of policy for it.
 *
 * The row says whose fault it is, whether the host was heard, whether it counts towards
 * "unreachable", and what comes next. Everything that follows (status, queue, pace) reads the row
 * and never the status code, so docs/protocol.md and this table can be compared line by line.
 */
import { isUtf8 } from "node:buffer";
import type { HostId } from "../inventory/host.ts";
import type { Digest } from "../protocol/digest.ts";
import { parseFence, type Fence } from "../protocol/fence.ts";
import { isStateShallow, stateBytes } from "../protocol/host-state.ts";
import { limits } from "../protocol/limits.ts";
import { syncReplySchema, type SyncReply } from "../protocol/sync.ts";
import type { ExchangeResult, FailureClass } from "./transport.ts";
import { noteReply, readKnownReply, viewPattern } from "./known-reply.ts";
import { readUsualReply } from "./usual-reply.ts";

/** A short form states the manifest; a full form lists its configs, so that the host can change. */
export type PushForm = "short" | "full";

export type OutcomeKind =
  /** The host holds what it should. */
  | "synced"
  /** Answer to a short form: the host holds something else. */
  | "differs"
  /** The host lacks contents and says which. */
  | "missing"
  /** The host's own check refused a content. */
  | "rejected"
  /** The host tried and could not apply. */
  | "failed"
  /** The push went back: someone else knows more. */
  | "stale"
  /** Another host answers there, or this node is not allowed to push. */
  | "quarantined"
  | "tooLarge"
  | "unprocessable"
  | "busy"
  /** What the host should hold lies ready; the host has to fetch it. */
  | "offered"
  /** A host that fetches has neither fetched nor reported for too long. */
  | "overdue"
  /** It cannot be reached as it should, and reports in another way. */
  | "onFallback"
  | FailureClass;

export interface PushOutcome {
  readonly kind: OutcomeKind;
  /** For people: the reason, at most 500 characters; empty where all is well. */
  readonly message: string;
  /** What the host said of itself, where it did and is the host that was meant. */
  readonly reply: SyncReply | undefined;
  /** Names of the configs whose contents the host asks for. */
  readonly missing: readonly string[];
  /** The host's fence, with `stale`. */
  readonly hostFence: Fence | undefined;
  readonly retryAfterMs: number | undefined;
  /** The host may be at it, whatever else is known: no answer came after the request was sent. */
  readonly mayHaveBegun: boolean;
}

export interface OutcomePolicy {
  readonly fault: "none" | "node" | "inventory" | "host" | "path" | "release" | "unknown";
  /** The host answered: backoff and reachability start again. */
  readonly isSignOfLife: boolean;
  readonly countsAsUnreachable: boolean;
  /**
   * `none`: nothing failed. `backoff`: exponential with full jitter from `baseMs` to `capMs`.
   * `onceThenPark`: again after `baseMs`, then parked for some minutes at a time. `park`: not before
   * manifest, boot or agent change, or after those minutes where the request itself was refused (400).
   */
  readonly retry: "none" | "backoff" | "onceThenPark" | "park";
  readonly baseMs: number;
  readonly capMs: number;
}

const secondMs = 1_000;
const minuteMs = 60 * secondMs;

const well: OutcomePolicy = {
  fault: "none",
  isSignOfLife: true,
  countsAsUnreachable: false,
  retry: "none",
  baseMs: 0,
  capMs: 0,
};
const parks: OutcomePolicy = { ...well, fault: "release", retry: "park" };
const unreachable: OutcomePolicy = {
  fault: "host",
  isSignOfLife: false,
  countsAsUnreachable: true,
  retry: "backoff",
  baseMs: secondMs,
  capMs: 5 * minuteMs,
};

/** What follows from each kind of outcome. */
export const outcomePolicies: Readonly<Record<OutcomeKind, OutcomePolicy>> = {
  synced: well,
  differs: well,
  missing: well,
  rejected: parks,
  tooLarge: parks,
  unprocessable: parks,
  failed: { ...parks, retry: "onceThenPark", baseMs: 30 * secondMs, capMs: 30 * secondMs },
  stale: { ...well, fault: "node", retry: "backoff", baseMs: secondMs, capMs: 5 * minuteMs },
  // Mended in the inventory or in certificates, seldom in less than an hour.
  quarantined: {
    ...well,
    fault: "inventory",
    retry: "backoff",
    baseMs: 60 * minuteMs,
    capMs: 60 * minuteMs,
  },
  busy: { ...well, fault: "host", retry: "backoff", baseMs: secondMs, capMs: 5 * minuteMs },
  local: { ...unreachable, fault: "node", countsAsUnreachable: false, capMs: 30 * secondMs },
  resolve: { ...unreachable, fault: "inventory", baseMs: 5 * secondMs },
  // The machine is up: the agent restarts soon.
  refused: { ...unreachable, capMs: minuteMs },
  timeout: { ...unreachable, fault: "path" },
  tls: { ...unreachable, fault: "inventory", baseMs: 5 * secondMs },
  ambiguous: { ...unreachable, fault: "unknown" },
  protocol: { ...unreachable, baseMs: 5 * secondMs },
  // An attach wakes it at once.
  detached: { ...unreachable, baseMs: 5 * secondMs },
  offered: { ...well, isSignOfLife: false },
  // The object store's trouble: hosts that are pushed to go on.
  offers: { ...unreachable, fault: "node", countsAsUnreachable: false, capMs: minuteMs },
  overdue: { ...unreachable, baseMs: 30 * secondMs },
  onFallback: {
    ...unreachable,
    fault: "path",
    countsAsUnreachable: false,
    baseMs: 15 * secondMs,
  },
};

/** A host may ask for rest, but not for ever. */
const retryAfterMaxMs = 5 * minuteMs;
const messageCharsMax = 500;

/** What was sent, as far as the meaning of the answer depends on it. */
export interface Expected {
  readonly host: HostId;
  readonly manifest: Digest;
  readonly form: PushForm;
  /** As it was sent, and so well-formed: hosts mostly say the same. */
  readonly fenceText?: string;
}

/** The meaning of one exchange. */
export function classifyExchange(result: ExchangeResult, expected: Expected): PushOutcome {
  if (result.kind === "failed") return outcome(result.failure, result.message);
  if (result.kind === "offered") return outcome("offered", "");
  switch (result.status) {
    case 200:
      return classifyReply(result.body, expected);
    case 409:
      return classifyStale(result.body, expected);
    case 401:
    case 403:
      return outcome("quarantined", `the host refuses this node (${result.status})`);
    case 421:
      return outcome("quarantined", "another host answers at this address (421)");
    case 413:
      return outcome("tooLarge", refusal(result.body, "the host cannot take that much (413)"));
    case 400:
    case 415:
    case 422:
      return outcome(
        "unprocessable",
        refusal(result.body, `the host cannot accept it (${result.status})`),
      );
    case 429:
    case 503:
      return {
        ...outcome("busy", `the host is busy (${result.status})`),
        retryAfterMs: Math.min(result.retryAfterMs ?? 0, retryAfterMaxMs),
      };
    case 500:
      return outcome("failed", refusal(result.body, "the host failed (500)"));
    default:
      return outcome("protocol", `unexpected status ${result.status}`);
  }
}

/** An outcome that needs no reply to be explained. */
export function outcome(kind: OutcomeKind, message: string): PushOutcome {
  return {
    kind,
    message: message.slice(0, messageCharsMax),
    reply: undefined,
    missing: nothing,
    hostFence: undefined,
    retryAfterMs: undefined,
    mayHaveBegun: kind === "ambiguous",
  };
}

const nothing: readonly string[] = [];

function classifyReply(body: Buffer, expected: Expected): PushOutcome {
  const known = readKnownReply(body, expected);
  if (known !== undefined) return synced(known);
  const reply = parseReply(body, expected.fenceText);
  if (typeof reply === "string") return outcome("protocol", reply);
  if (reply.host !== expected.host) return otherHost(reply.host);
  let missing: string[] | undefined;
  let rejected: string | undefined;
  let failed: string | undefined;
  for (const config of reply.configs) {
    if (config.result === "missing") (missing ??= []).push(config.name);
    else if (config.result === "rejected") rejected ??= explain(config);
    else if (config.result === "failed") failed ??= explain(config);
  }
  if (missing !== undefined) return { ...outcome("missing", ""), reply, missing };
  // What could not be applied may be later; that something else is refused must not end that.
  if (failed !== undefined) return { ...outcome("failed", failed), reply };
  if (rejected !== undefined) return { ...outcome("rejected", rejected), reply };
  if (reply.manifest === expected.manifest) {
    noteReply(body, reply);
    return synced(reply);
  }
  if (expected.form === "short") return { ...outcome("differs", ""), reply };
  const message = "the host says that all is applied but holds another manifest";
  return { ...outcome("failed", message), reply };
}

function synced(reply: SyncReply): PushOutcome {
  return {
    kind: "synced",
    message: "",
    reply,
    missing: nothing,
    hostFence: undefined,
    retryAfterMs: undefined,
    mayHaveBegun: false,
  };
}

function classifyStale(body: Buffer, expected: Expected): PushOutcome {
  const stale = outcome("stale", "the host has something newer (409)");
  const reply = parseReply(body);
  if (typeof reply === "string") return stale;
  if (reply.host !== expected.host) return otherHost(reply.host);
  return { ...stale, reply, hostFence: parseFence(reply.fence) };
}

function otherHost(host: string): PushOutcome {
  return outcome("quarantined", `host ${host} answers at this address`);
}

function explain(config: { readonly name: string; readonly message?: string | undefined }): string {
  return config.message === undefined ? config.name : `${config.name}: ${config.message}`;
}

/** The `{"error":{"message"}}` of a refusal, where there is one. */
function refusal(body: Buffer, otherwise: string): string {
  const value = parseJson(body);
  if (typeof value !== "object" || value === null || !("error" in value)) return otherwise;
  const { error } = value;
  if (typeof error !== "object" || error === null || !("message" in error)) return otherwise;
  return typeof error.message === "string" ? `${otherwise}: ${error.message}` : otherwise;
}

/** A reply, or why it is none. */
function parseReply(body: Buffer, fenceText?: string): SyncReply | string {
  if (!isUtf8(body)) return "reply is not a sync reply: it is no UTF-8";
  const value = parseJson(body);
  const usual = readUsualReply(value);
  if (usual !== undefined) return boundedReply(usual, body.length, fenceText);
  const parsed = syncReplySchema.safeParse(value);
  if (parsed.success) return boundedReply(parsed.data, body.length, fenceText);
  const issue = parsed.error.issues[0];
  return `reply is not a sync reply: ${issue?.path.join(".") ?? ""} ${issue?.message ?? ""}`;
}

/** What the schema does not say: the fence is one, and the state can be kept and shown. */
function boundedReply(
  reply: SyncReply,
  bodyBytes: number,
  fenceText: string | undefined,
): SyncReply | string {
  const { fence, view, state } = reply;
  if (fence !== fenceText && parseFence(fence) === undefined) {
    return "reply is not a sync reply: fence of another form";
  }
  if (!viewPattern.test(view)) return "reply is not a sync reply: view of another form";
  if (state === undefined) return reply;
  if (!isStateShallow(state)) {
    return `reply is not a sync reply: state deeper than ${limits.stateDepthMax}`;
  }
  // A state is no longer than the reply that it came in.
  if (bodyBytes <= limits.stateBytesMax || stateBytes(state) <= limits.stateBytesMax) return reply;
  return `reply is not a sync reply: state over ${limits.stateBytesMax} bytes`;
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch {
    // No JSON is an answer like any other that does not fit; the caller says so.
    return undefined;
  }
}
