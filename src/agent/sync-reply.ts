/**
 * Building the reply of a sync within its size limit.
 *
 * A reply must always fit: a host that answers too much would look broken. Messages are shortened
 * step by step, then the state is left out; the results themselves always fit (a test proves it).
 */
import { digestOf, manifestDigestOf, type Digest } from "../protocol/digest.ts";
import { formatFence } from "../protocol/fence.ts";
import { isStateShallow, stateBytes } from "../protocol/host-state.ts";
import { limits } from "../protocol/limits.ts";
import type { HeldConfig, SyncReply } from "../protocol/sync.ts";
import type { DurableState, Outcome } from "./durable-state.ts";

export interface ReplyParts {
  readonly host: string;
  readonly boot: string;
  readonly agent: string;
  readonly durable: Pick<DurableState, "fence" | "view">;
  /** What the host holds and runs, verified. */
  readonly verified: ReadonlyMap<string, Digest>;
  readonly outcomes: readonly Outcome[];
  readonly state: Readonly<Record<string, unknown>> | undefined;
}

const messageCharsSteps = [limits.resultMessageCharsMax, 1000, 400, 100, 0];

export function buildReply(parts: ReplyParts): SyncReply {
  let reply = replyWith(parts, messageCharsSteps[0] ?? 0);
  for (const messageChars of messageCharsSteps) {
    reply = replyWith(parts, messageChars);
    if (jsonBytes(reply) <= limits.syncReplyBytesMax) return reply;
  }
  return { ...reply, state: { truncated: true } };
}

/** Operational state within its limits; over them, only the fact and the size are left. */
export function boundedState(state: Readonly<Record<string, unknown>>): Record<string, unknown> {
  if (!isStateShallow(state)) return { truncated: true, stateDepthMax: limits.stateDepthMax };
  const bytes = stateBytes(state);
  return bytes <= limits.stateBytesMax ? { ...state } : { truncated: true, stateBytes: bytes };
}

/** A command's output as one message: printable, trimmed, at most `charsMax` characters. */
export function messageFrom(text: string, charsMax: number = limits.resultMessageCharsMax): string {
  const printable = text.replaceAll(/[^\P{Cc}\n\t]/gu, "").trim();
  if (printable.length <= charsMax) return printable;
  return charsMax === 0 ? "" : `${printable.slice(0, charsMax - 1)}…`;
}

/** Digest of any bytes or of nothing, for comparing files. */
export function digestOrNone(bytes: Uint8Array | undefined): Digest | undefined {
  return bytes === undefined ? undefined : digestOf(bytes);
}

function replyWith(parts: ReplyParts, messageChars: number): SyncReply {
  const { host, boot, agent, durable, verified, outcomes, state } = parts;
  const results = new Map(outcomes.map((outcome) => [outcome.name, outcome]));
  const names = new Set([...verified.keys(), ...results.keys()]);
  const configs = [...names].toSorted().map((name): HeldConfig => {
    const digest = verified.get(name);
    const { result, message } = results.get(name) ?? { result: "unchanged" as const };
    return {
      name,
      ...(digest === undefined ? {} : { digest }),
      result,
      ...(message === undefined || messageChars === 0
        ? {}
        : { message: messageFrom(message, messageChars) }),
    };
  });
  return {
    host,
    boot,
    agent,
    fence: formatFence(durable.fence ?? { generation: 0, fleet: 0, host: 0 }),
    view: String(durable.view),
    manifest: manifestDigestOf([...verified].map(([name, digest]) => ({ name, digest }))),
    configs,
    ...(state === undefined ? {} : { state }),
  };
}

function jsonBytes(value: object): number {
  return Buffer.byteLength(JSON.stringify(value));
}
