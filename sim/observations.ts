/**
 * What can be seen of a simulated world from outside: the input of every check and of the transcript.
 *
 * The recorder keeps a running hash over all observations (two runs of one seed must agree), the
 * last of them for a failure's report, and the first failure; a failed check never throws into the
 * product's call stack.
 */
import { createHash } from "node:crypto";
import type { Fence } from "../src/protocol/fence.ts";
import type { HostMode } from "../src/protocol/host-mode.ts";
import type { View } from "../src/ring/view.ts";
import type { Verdict } from "./flaws.ts";
import type { Timeline } from "./timeline.ts";

export type Observation =
  /** A fault begins or ends, a phase begins. */
  | { readonly kind: "note"; readonly text: string }
  | { readonly kind: "node.started" | "node.ended"; readonly node: string; readonly how: string }
  | {
      readonly kind: "push.sent";
      readonly node: string;
      readonly host: string;
      readonly fence: string;
      readonly manifest: string;
      /** The full form, which can change the host. */
      readonly isFull: boolean;
      /** The node's own monotonic clock. */
      readonly localMs: number;
    }
  | {
      readonly kind: "push.ended";
      readonly node: string;
      readonly host: string;
      readonly manifest: string;
      readonly how: string;
      /** The host's process, where it answered 200. */
      readonly boot: string | undefined;
      /** The host's own check refused a content of this manifest. */
      readonly isRejected: boolean;
    }
  /** A host answered 200 to a sync; `wire` is the fence of the request as sent. */
  | {
      readonly kind: "host.synced";
      /** Left out: it was dialled. */
      readonly via?: HostMode;
      readonly host: string;
      readonly node: string;
      readonly wire: Fence;
      readonly offered: string;
      readonly held: string;
      readonly isAccepted: boolean;
      /** The config that has commands was rejected, or failed. */
      readonly isRefused: boolean;
      readonly content: string;
      readonly verdict: Verdict;
    }
  | { readonly kind: "host.refused"; readonly host: string; readonly status: number }
  /** A config file of a host changed; `isPushed` false where no sync was under way. */
  | {
      readonly kind: "host.changed";
      readonly host: string;
      readonly path: string;
      readonly isPushed: boolean;
      /** What the host's commands make of the config that has some. */
      readonly verdict: Verdict;
    }
  /** An agent opened its disk; `isIdleCrash`: nothing was under way when it went down. */
  | {
      readonly kind: "host.booted";
      readonly host: string;
      readonly isDiskNew: boolean;
      readonly isIdleCrash: boolean;
      readonly fence: Fence | undefined;
      readonly held: string;
      /** Digest of the config that has commands; empty where there is none. */
      readonly content: string;
      readonly verdict: Verdict;
    }
  /** `by` declared the member of `slot` silent or stalled: the first step of its eviction. */
  | {
      readonly kind: "member.marked";
      readonly by: string;
      readonly slot: string;
      readonly reason: string;
    }
  | { readonly kind: "view.stored"; readonly by: string; readonly view: View }
  | { readonly kind: "stored"; readonly by: string; readonly key: string }
  | { readonly kind: "operation"; readonly text: string };

export interface Failure {
  readonly category: "crash" | "safety" | "liveness";
  readonly check: string;
  readonly message: string;
  readonly atMs: number;
  readonly events: readonly string[];
}

/** Looks at what happens and reports what must not. */
export interface Check {
  readonly name: string;
  take(observation: Observation): void;
}

const keptCount = 4_000;
const shownCount = 40;

export class Recorder {
  failure: Failure | undefined;
  /** Set once the seed is over: what happens while a world is torn down is of no interest. */
  isClosed = false;
  readonly checks: Check[] = [];
  readonly #timeline: Timeline;
  readonly #hash = createHash("sha256");
  #kept: string[] = [];

  constructor(timeline: Timeline) {
    this.#timeline = timeline;
  }

  observe(observation: Observation): void {
    if (this.isClosed) return;
    const line = `${this.#timeline.nowMs.toFixed(3)} ${JSON.stringify(observation)}`;
    this.#hash.update(line);
    this.#kept.push(line);
    if (this.#kept.length > 2 * keptCount) this.#kept = this.#kept.slice(-keptCount);
    for (const check of this.checks) check.take(observation);
  }

  note(text: string): void {
    this.observe({ kind: "note", text });
  }

  /** Keeps the first failure; `about` are names that relevant events mention. */
  fail(
    category: Failure["category"],
    check: string,
    message: string,
    about: readonly string[] = [],
  ): void {
    if (this.failure !== undefined || this.isClosed) return;
    const relevant = this.#kept.filter(
      (line) => line.includes('"note"') || about.some((name) => line.includes(`"${name}`)),
    );
    const shown = (about.length === 0 ? this.#kept : relevant).filter(
      (line) => !line.includes('"key":"member/'),
    );
    const events = shown.slice(-shownCount);
    this.failure = { category, check, message, atMs: this.#timeline.nowMs, events };
  }

  /** Hash of everything observed so far. */
  digest(): string {
    return this.#hash.copy().digest("hex");
  }
}
