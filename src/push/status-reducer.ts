/**
 * What each event makes of a host's status: pure functions from one value to the next.
 *
 * A failure counts only while this node trusts itself; any sign of life starts everything again; a
 * refused manifest is parked until the manifest, the agent, its process or what the host holds
 * changes, one that could not be applied or read until it has rested as well. Every path out of here either
 * holds what was wanted, waits for a time, is parked, or was asked for contents a bounded number of
 * times, so no host can make its owner push in a circle.
 * Source of the backoff: "Exponential Backoff And Jitter" (full jitter).
 */
import type { Digest } from "../protocol/digest.ts";
import { equalFences, parseFence, type Fence } from "../protocol/fence.ts";
import type { Manifest } from "../protocol/manifest.ts";
import type { HeldConfig, SyncReply } from "../protocol/sync.ts";
import { heldInSync, noProblems, type HeldState } from "./held-state.ts";
import {
  copyOf,
  isParkedFor,
  type HostError,
  type HostStatus,
  type Moment,
  type Status,
  type StatusRules,
} from "./host-status.ts";
import {
  outcomePolicies,
  type OutcomeKind,
  type OutcomePolicy,
  type PushForm,
  type PushOutcome,
} from "./outcome.ts";

/** What was sent, as far as the host's answer refers to it. */
export interface SentSync {
  readonly manifest: Manifest;
  readonly fence: Fence;
  /** `formatFence(fence)`. */
  readonly fenceText: string;
  /** Only a full form lets the host try anything. */
  readonly form: PushForm;
}

/** Contents travel in several rounds where they are large; more rounds than this is a host that forgets. */
const askedRoundsMax = 16;

/** Delay before the next try: uniform in [0, min(cap, base * 2^attempts)); `draw` is in [0, 1). */
export function backoffMs(
  policy: Pick<OutcomePolicy, "baseMs" | "capMs">,
  attempts: number,
  draw: number,
): number {
  return draw * Math.min(policy.capMs, policy.baseMs * 2 ** Math.min(attempts, 30));
}

export interface OutcomeContext {
  readonly rules: StatusRules;
  /** In [0, 1); spreads the next try. */
  readonly draw: number;
  /** This node suspects itself: a failure counts neither against the host nor for its backoff. */
  readonly isVerdictHeld: boolean;
}

/** The host after one push. */
export function afterOutcome(
  status: HostStatus,
  pushed: PushOutcome,
  sent: SentSync,
  moment: Moment,
  context: OutcomeContext,
): HostStatus {
  const policy = outcomePolicies[pushed.kind];
  const next = copyOf(status);
  // Nothing was sent with these, so what the host asked for is still to come.
  const isUnsent =
    pushed.kind === "offered" ||
    pushed.kind === "offers" ||
    pushed.kind === "overdue" ||
    (pushed.kind === "onFallback" && !pushed.mayHaveBegun);
  if (!isUnsent) next.asked = undefined;
  next.nextAttemptMs = undefined;
  next.nextAttemptWallMs = undefined;
  if (policy.isSignOfLife) {
    heard(next, moment);
    // Its word ends the silence before: what goes unanswered after it backs off from the start.
    if (policy.retry !== "backoff") next.attempts = 0;
  } else if (policy.countsAsUnreachable && !context.isVerdictHeld) {
    countFailure(next, moment.atMs, context.rules);
  }
  if (pushed.mayHaveBegun) next.unanswered = sent.manifest.digest;
  else if (policy.isSignOfLife && pushed.kind !== "busy") next.unanswered = undefined;
  if (pushed.kind === "differs" && pushed.reply !== undefined) unparkUndone(next, pushed.reply);
  if (pushed.reply !== undefined) takeReply(next, pushed.reply, sent, moment);
  next.isQuarantined =
    pushed.kind === "quarantined" || (status.isQuarantined && !policy.isSignOfLife);
  if (pushed.kind === "missing") askAgain(next, pushed, sent, moment);
  else if (!isUnsent) next.askedRounds = 0;
  if (policy.retry === "none") {
    if (pushed.kind === "synced") {
      next.parked = undefined;
      next.failedOnce = undefined;
    }
    if (pushed.kind !== "missing" || next.parked === undefined) succeed(next);
  } else fail(next, status, pushed, sent, moment, context);
  return next.settle();
}

/** A sign of life other than a reply (a hello, a knock): heard of, not yet reached. */
export function afterSignOfLife(status: HostStatus): HostStatus {
  const next = copyOf(status);
  next.failures = 0;
  next.attempts = 0;
  next.nextAttemptMs = undefined;
  next.nextAttemptWallMs = undefined;
  if (status.reachability === "unreachable" || status.reachability === "lost") {
    next.reachability = "suspect";
  }
  return next.settle();
}

/** The host should hold another manifest now, or lives at another address, or has a newer record. */
export function afterRetarget(
  status: HostStatus,
  change: {
    readonly isAddressNew: boolean;
    readonly isManifestNew: boolean;
    readonly isFenceNew: boolean;
  },
): HostStatus {
  const error = status.lastError;
  const isMended =
    change.isAddressNew ||
    (change.isManifestNew && error !== undefined && isReleaseFault(error)) ||
    (change.isFenceNew && error?.class === "stale");
  if (!isMended && !(change.isManifestNew && status.asked !== undefined)) return status;
  const next = copyOf(status);
  next.asked = undefined;
  next.askedRounds = 0;
  if (!isMended) return next.settle();
  next.attempts = 0;
  next.nextAttemptMs = undefined;
  next.nextAttemptWallMs = undefined;
  if (change.isAddressNew) {
    next.isQuarantined = false;
    next.unanswered = undefined;
    next.failedOnce = undefined;
    next.failures = 0;
    if (status.reachability !== "ok") next.reachability = "unknown";
  }
  return next.settle();
}

function isReleaseFault(error: HostError): boolean {
  return outcomePolicies[error.class].fault === "release";
}

function heard(next: Status, moment: Moment): void {
  next.reachability = "ok";
  next.failures = 0;
  next.lastContactWallMs = moment.wallMs;
}

function countFailure(next: Status, atMs: number, rules: StatusRules): void {
  if (next.failures === 0) next.failingSinceMs = atMs;
  next.failures++;
  const forMs = atMs - next.failingSinceMs;
  const isOver =
    next.reachability === "lost" ||
    next.reachability === "unreachable" ||
    (next.failures >= rules.unreachableFailures && forMs >= rules.unreachableAfterMs);
  if (!isOver) next.reachability = "suspect";
  else if (next.reachability !== "lost") {
    next.reachability = forMs >= rules.lostAfterMs ? "lost" : "unreachable";
  }
}

/** A full disk or a stuck reload may be over by then; a refused release is not. */
const failedRestMs = 5 * 60_000;
/** Nor may a request that did not arrive as it was sent (something on the way changed it) end a release for ever. */
const restingKinds: ReadonlySet<OutcomeKind> = new Set(["failed", "unprocessable"]);

/**
 * The refused config was not alone: others of its manifest may have been undone since, by a manifest that
 * the host was given in between. Where it still speaks of the refusal, nothing came in between.
 */
function unparkUndone(next: Status, reply: SyncReply): void {
  const isHeldOther = next.held !== undefined && next.held.manifest !== reply.manifest;
  if (isHeldOther && !reply.configs.some(isProblem)) next.parked = undefined;
}

function takeReply(next: Status, reply: SyncReply, sent: SentSync, moment: Moment): void {
  const isOtherAgent = next.boot !== reply.boot || next.agent !== reply.agent;
  next.boot = reply.boot;
  next.agent = reply.agent;
  if (isOtherAgent) next.failedOnce = undefined;
  if (reply.state !== undefined) next.state = reply.state;
  const { parked } = next;
  if (
    parked !== undefined &&
    isOtherAgent &&
    (parked.boot !== reply.boot || parked.agent !== reply.agent)
  ) {
    next.parked = undefined;
  }
  const hasRested = moment.atMs - next.parkedSinceMs >= failedRestMs;
  if (next.parked !== undefined && restingKinds.has(next.parked.class) && hasRested) {
    next.parked = undefined;
  }
  next.held = heldAfter(next, reply, sent);
}

function heldAfter(next: Status, reply: SyncReply, sent: SentSync): HeldState {
  const isDesired = reply.manifest === sent.manifest.digest;
  let problems: readonly HeldConfig[] = reply.configs.filter(isProblem);
  if (problems.length === 0) {
    // A sweep of a parked host repeats nothing about the refused content: keep the explanation.
    problems = isParkedFor(next, sent.manifest.digest) ? (next.held?.problems ?? []) : noProblems;
  }
  const before = next.held;
  const isSameFence =
    before?.fence !== undefined &&
    (before.fence === sent.fence || equalFences(before.fence, sent.fence));
  if (
    isDesired &&
    before !== undefined &&
    before.manifest === reply.manifest &&
    before.configs === sent.manifest.configs &&
    before.problems === problems &&
    isSameFence &&
    reply.fence === sent.fenceText
  ) {
    return before;
  }
  if (isDesired && problems === noProblems && reply.fence === sent.fenceText) {
    return heldInSync(sent.manifest, sent.fence);
  }
  return {
    manifest: isDesired ? sent.manifest.digest : (reply.manifest as Digest),
    fence: reply.fence === sent.fenceText ? sent.fence : parseFence(reply.fence),
    configs: isDesired ? sent.manifest.configs : namesAndDigests(reply),
    problems,
  };
}

function isProblem(config: HeldConfig): boolean {
  return config.result === "rejected" || config.result === "failed" || config.result === "missing";
}

function namesAndDigests(reply: SyncReply): { name: string; digest: string }[] {
  return reply.configs.flatMap(({ name, digest }) =>
    digest === undefined ? [] : [{ name, digest }],
  );
}

function askAgain(next: Status, pushed: PushOutcome, sent: SentSync, moment: Moment): void {
  next.askedRounds++;
  if (next.askedRounds <= askedRoundsMax) {
    next.asked = pushed.missing;
    return;
  }
  next.askedRounds = 0;
  park(next, "missing", "the host asks for the same contents again and again", sent, moment);
}

function succeed(next: Status): void {
  next.attempts = 0;
  if (next.parked === undefined) next.lastError = undefined;
}

function fail(
  next: Status,
  status: HostStatus,
  pushed: PushOutcome,
  sent: SentSync,
  moment: Moment,
  context: OutcomeContext,
): void {
  if (isRetold(status, pushed, sent)) return;
  const policy = outcomePolicies[pushed.kind];
  const { attempts } = next;
  const isRepeated = next.failedOnce === sent.manifest.digest;
  if (!context.isVerdictHeld) next.attempts++;
  if (!context.isVerdictHeld && policy.retry === "onceThenPark") {
    next.failedOnce = sent.manifest.digest;
  }
  if (policy.retry === "park" || (policy.retry === "onceThenPark" && isRepeated)) {
    park(next, pushed.kind, pushed.message, sent, moment);
    return;
  }
  next.lastError = { class: pushed.kind, message: pushed.message, wallMs: moment.wallMs };
  const delayMs =
    policy.retry === "onceThenPark"
      ? policy.baseMs
      : Math.max(backoffOf(next, policy, attempts, context.draw), pushed.retryAfterMs ?? 0);
  next.nextAttemptMs = moment.atMs + delayMs;
  next.nextAttemptWallMs = moment.wallMs + delayMs;
}

/**
 * A host answers a short sync with what came of its process's last try. Where that is what its release is
 * parked for, nothing is new: it stays parked for as long as it was to, or is tried again if that is over.
 */
function isRetold({ parked }: HostStatus, { kind, reply }: PushOutcome, sent: SentSync): boolean {
  return (
    sent.form === "short" &&
    reply !== undefined &&
    parked?.manifest === sent.manifest.digest &&
    parked.class === kind &&
    parked.boot === reply.boot &&
    parked.agent === reply.agent
  );
}

/** Until the verdict the host is asked often: an answer within seconds is what people wait for. */
const suspectRetryMaxMs = 2_000;

function backoffOf(next: Status, policy: OutcomePolicy, attempts: number, draw: number): number {
  const isUndecided = policy.countsAsUnreachable && next.reachability === "suspect";
  const capMs = isUndecided ? Math.min(policy.capMs, suspectRetryMaxMs) : policy.capMs;
  return backoffMs({ baseMs: policy.baseMs, capMs }, attempts, draw);
}

function park(
  next: Status,
  kind: OutcomeKind,
  message: string,
  sent: SentSync,
  moment: Moment,
): void {
  next.lastError = { class: kind, message, wallMs: moment.wallMs };
  next.parkedSinceMs = moment.atMs;
  next.parked = {
    manifest: sent.manifest.digest,
    class: kind,
    message,
    boot: next.boot,
    agent: next.agent,
  };
}
