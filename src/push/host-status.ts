/**
 * What the owner knows of one host, as a value (status-reducer.ts makes the next one of each event).
 *
 * Reachability goes unknown -> ok -> suspect -> unreachable -> lost and back on any sign of life.
 * One class with one fixed shape and shared parts (what is held, and that nothing is wrong), because
 * an owner holds one of these for every host of its slice. Only the owner's own monotonic time decides;
 * wall times are for people.
 */
import type { Digest } from "../protocol/digest.ts";
import type { SyncReply } from "../protocol/sync.ts";
import type { HeldState } from "./held-state.ts";
import type { OutcomeKind } from "./outcome.ts";

export const reachabilities = ["unknown", "ok", "suspect", "unreachable", "lost"] as const;
export type Reachability = (typeof reachabilities)[number];

export interface HostError {
  readonly class: OutcomeKind;
  readonly message: string;
  readonly wallMs: number;
}

/** A manifest that is not sent to this host again while it is the same agent process. */
export interface Parked {
  readonly manifest: Digest;
  readonly class: OutcomeKind;
  readonly message: string;
  readonly boot: string | undefined;
  readonly agent: string | undefined;
}

export interface HostStatus {
  readonly reachability: Reachability;
  /** Failures in a row that count towards unreachable. */
  readonly failures: number;
  /** Monotonic time of the first of them. */
  readonly failingSinceMs: number;
  /** Attempts in a row without success, whatever the reason: the exponent of the backoff. */
  readonly attempts: number;
  readonly lastContactWallMs: number | undefined;
  readonly lastError: HostError | undefined;
  /** Monotonic; no push before it unless the host shows life. */
  readonly nextAttemptMs: number | undefined;
  readonly nextAttemptWallMs: number | undefined;
  readonly held: HeldState | undefined;
  readonly parked: Parked | undefined;
  /** Monotonic, as far as this node knows. */
  readonly parkedSinceMs: number;
  /** A manifest whose push had no answer: what became of it is asked for before it is sent again. */
  readonly unanswered: Digest | undefined;
  /** A manifest that this agent process could not apply: parked when that happens again. */
  readonly failedOnce: Digest | undefined;
  readonly isQuarantined: boolean;
  /** Configs whose contents the host asked for. */
  readonly asked: readonly string[] | undefined;
  /** `missing` answers in a row. */
  readonly askedRounds: number;
  readonly boot: string | undefined;
  readonly agent: string | undefined;
  readonly state: SyncReply["state"];
  /** The fields that only a host in trouble has, as one value. */
  readonly trouble: Trouble;
}

export interface StatusRules {
  readonly unreachableFailures: number;
  readonly unreachableAfterMs: number;
  readonly lostAfterMs: number;
}

export interface Moment {
  readonly atMs: number;
  readonly wallMs: number;
}

/** What only a host has that fails, is parked or asked for contents. Never changed: replaced. */
interface Trouble {
  readonly failures: number;
  readonly failingSinceMs: number;
  readonly attempts: number;
  readonly lastError: HostError | undefined;
  readonly nextAttemptMs: number | undefined;
  readonly nextAttemptWallMs: number | undefined;
  readonly parked: Parked | undefined;
  readonly parkedSinceMs: number;
  readonly unanswered: Digest | undefined;
  readonly failedOnce: Digest | undefined;
  readonly isQuarantined: boolean;
  readonly asked: readonly string[] | undefined;
  readonly askedRounds: number;
}

/** Shared by all hosts that are well: half of what a status would need otherwise. */
const noTrouble: Trouble = {
  failures: 0,
  failingSinceMs: 0,
  attempts: 0,
  lastError: undefined,
  nextAttemptMs: undefined,
  nextAttemptWallMs: undefined,
  parked: undefined,
  parkedSinceMs: 0,
  unanswered: undefined,
  failedOnce: undefined,
  isQuarantined: false,
  asked: undefined,
  askedRounds: 0,
};

/** Since when says nothing where nothing fails or is parked. */
function isOver(trouble: Trouble): boolean {
  return (
    trouble.failures === 0 &&
    trouble.attempts === 0 &&
    trouble.lastError === undefined &&
    trouble.nextAttemptMs === undefined &&
    trouble.parked === undefined &&
    trouble.unanswered === undefined &&
    trouble.failedOnce === undefined &&
    !trouble.isQuarantined &&
    trouble.asked === undefined &&
    trouble.askedRounds === 0
  );
}

export class Status implements HostStatus {
  reachability: Reachability = "unknown";
  lastContactWallMs: number | undefined = undefined;
  held: HeldState | undefined = undefined;
  boot: string | undefined = undefined;
  agent: string | undefined = undefined;
  state: SyncReply["state"] = undefined;
  trouble: Trouble = noTrouble;

  get failures(): number {
    return this.trouble.failures;
  }
  set failures(value: number) {
    setTrouble(this, "failures", value);
  }

  get failingSinceMs(): number {
    return this.trouble.failingSinceMs;
  }
  set failingSinceMs(value: number) {
    setTrouble(this, "failingSinceMs", value);
  }

  get attempts(): number {
    return this.trouble.attempts;
  }
  set attempts(value: number) {
    setTrouble(this, "attempts", value);
  }

  get lastError(): HostError | undefined {
    return this.trouble.lastError;
  }
  set lastError(value: HostError | undefined) {
    setTrouble(this, "lastError", value);
  }

  get nextAttemptMs(): number | undefined {
    return this.trouble.nextAttemptMs;
  }
  set nextAttemptMs(value: number | undefined) {
    setTrouble(this, "nextAttemptMs", value);
  }

  get nextAttemptWallMs(): number | undefined {
    return this.trouble.nextAttemptWallMs;
  }
  set nextAttemptWallMs(value: number | undefined) {
    setTrouble(this, "nextAttemptWallMs", value);
  }

  get parked(): Parked | undefined {
    return this.trouble.parked;
  }
  set parked(value: Parked | undefined) {
    setTrouble(this, "parked", value);
  }

  get parkedSinceMs(): number {
    return this.trouble.parkedSinceMs;
  }
  set parkedSinceMs(value: number) {
    setTrouble(this, "parkedSinceMs", value);
  }

  get unanswered(): Digest | undefined {
    return this.trouble.unanswered;
  }
  set unanswered(value: Digest | undefined) {
    setTrouble(this, "unanswered", value);
  }

  get failedOnce(): Digest | undefined {
    return this.trouble.failedOnce;
  }
  set failedOnce(value: Digest | undefined) {
    setTrouble(this, "failedOnce", value);
  }

  get isQuarantined(): boolean {
    return this.trouble.isQuarantined;
  }
  set isQuarantined(value: boolean) {
    setTrouble(this, "isQuarantined", value);
  }

  get asked(): readonly string[] | undefined {
    return this.trouble.asked;
  }
  set asked(value: readonly string[] | undefined) {
    setTrouble(this, "asked", value);
  }

  get askedRounds(): number {
    return this.trouble.askedRounds;
  }
  set askedRounds(value: number) {
    setTrouble(this, "askedRounds", value);
  }

  /** To be called when the status is complete: a host that is well again costs no more than one that was. */
  settle(): this {
    if (isOver(this.trouble)) this.trouble = noTrouble;
    return this;
  }
}

/** Not a private method, of which every status would carry a mark. */
function setTrouble<Field extends keyof Trouble>(
  status: Status,
  field: Field,
  value: Trouble[Field],
): void {
  if (status.trouble[field] === value) return;
  status.trouble = { ...status.trouble, [field]: value };
}

/** A copy to be changed before anyone else sees it. */
export function copyOf(status: HostStatus): Status {
  const copy = new Status();
  copy.reachability = status.reachability;
  copy.lastContactWallMs = status.lastContactWallMs;
  copy.held = status.held;
  copy.boot = status.boot;
  copy.agent = status.agent;
  copy.state = status.state;
  copy.trouble = status.trouble;
  return copy;
}

/** A host of which nothing is known. `parts` override single fields. */
export function newStatus(parts: Partial<HostStatus> = {}): HostStatus {
  return Object.assign(new Status(), parts).settle();
}

/** True while `manifest` must not be sent to the host again. */
export function isParkedFor(status: HostStatus, manifest: Digest): boolean {
  return status.parked !== undefined && status.parked.manifest === manifest;
}

/** True where the host should be sent `manifest` now. */
export function needsPush(status: HostStatus, manifest: Digest): boolean {
  if (status.isQuarantined || isParkedFor(status, manifest)) return false;
  const { held } = status;
  // A refused release that was taken back leaves the old manifest and a complaint: ask again, so that
  // the host itself says that all is well.
  return held === undefined || held.manifest !== manifest || held.problems.length > 0;
}
