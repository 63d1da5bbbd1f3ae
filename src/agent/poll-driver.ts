/**
 * The agent's part in polling: asks a node what to hold, applies it as any sync, reports, and asks again
 * when the node says.
 *
 * The ETag is remembered only for what was applied and reported, so that a report that was not heard is
 * made up for by the next poll. It is not kept over a restart: a new process says how it is.
 */
import type { Clock } from "../kernel/clock.ts";
import type { Logger } from "../kernel/log.ts";
import type { Random } from "../kernel/random.ts";
import { manifestPath, pollHeaders } from "../protocol/poll.ts";
import type { AgentCore } from "./agent-core.ts";
import type { ModeDriver } from "./mode-driver.ts";
import type { CallNode, NodeAnswer } from "./node-call.ts";
import { PollPace, type PollResult } from "./poll-pace.ts";
import type { Report } from "./report-client.ts";
import type { Headers } from "./sync-request.ts";

const pollTimeoutMs = 10_000;
/** Short form, full form, contents that were missing in two parts: more only turns in circles. */
const roundsMax = 5;
const spreadDefaultMs = 1_000;
/**
 * So long one node is asked. One that has lost the store for good still answers, with what it last knew, and
 * cannot know that it was replaced; so no host stays with it.
 */
const pollsPerNode = 5;
const nodeMaxMs = 5 * 60_000;

export interface PollDriverPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly core: AgentCore;
  readonly callNode: CallNode;
  readonly report: Report;
}

export interface PollDriverOptions {
  readonly host: string;
  readonly nodes: readonly string[];
  /** The first poll falls in this time. */
  readonly spreadMs: number | undefined;
}

type Polled = PollResult & {
  /** The host should be told more at once. */
  readonly goesOn?: boolean;
};

export class PollDriver implements ModeDriver {
  readonly mode = "poll";
  readonly #ports: PollDriverPorts;
  readonly #options: PollDriverOptions;
  #etag: string | undefined;
  #nodeIndex = 0;
  /** The node that was heard last; undefined once it is silent. */
  #heardFrom: string | undefined;
  /** Asked next in place of the one whose turn it is. */
  #detour: string | undefined;
  /** Polls that the present node has answered, and when it did so first. */
  #answeredCount = 0;
  #answeredSinceMs = 0;
  #workedAtMs: number | undefined;
  /** The last poll was answered, and the next is not due yet. */
  #isContent = false;

  constructor(ports: PollDriverPorts, options: PollDriverOptions) {
    this.#ports = ports;
    this.#options = options;
  }

  workedAtMs(): number | undefined {
    return this.#isContent ? this.#ports.clock.monotonicMs() : this.#workedAtMs;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { nodes, spreadMs = spreadDefaultMs } = this.#options;
    const { clock, random } = this.#ports;
    if (nodes.length === 0) return;
    // What was said and heard while it did not run is not known here.
    this.#etag = undefined;
    this.#nodeIndex = Math.floor(random.next() * nodes.length);
    const pace = new PollPace();
    try {
      await clock.sleep(random.next() * spreadMs, signal);
      while (!signal.aborted) {
        const result = await this.#pollUntilDone(signal);
        await clock.sleep(pace.waitMs(result, random.next()), signal);
      }
    } finally {
      this.#isContent = false;
    }
  }

  async #pollUntilDone(signal: AbortSignal): Promise<PollResult> {
    for (let round = 1; ; round++) {
      const polled = await this.#poll(signal);
      this.#note(polled);
      if (polled.goesOn !== true || round === roundsMax) return polled;
    }
  }

  async #poll(signal: AbortSignal): Promise<Polled> {
    const { host } = this.#options;
    const { core, callNode } = this.#ports;
    const node = this.#askedNode();
    const call = {
      url: new URL(manifestPath(host), node),
      method: "GET",
      headers: {
        [pollHeaders.held]: core.held().manifest,
        [pollHeaders.timeoutMs]: String(pollTimeoutMs),
        "accept-encoding": "gzip",
        ...(this.#etag === undefined ? {} : { "if-none-match": this.#etag }),
      },
      timeoutMs: pollTimeoutMs,
    } as const;
    return this.#take(node, await callNode(call, signal), signal);
  }

  async #take(node: string, answer: NodeAnswer, signal: AbortSignal): Promise<Polled> {
    const { log } = this.#ports;
    if (answer.kind === "unreachable") {
      log.info({ node, message: answer.message }, "poll not answered");
      return { kind: "failed" };
    }
    const { status, headers, json, retryAfterMs } = answer;
    const nextPollMs = nextPollOf(headers);
    if (status === 304) return { kind: "answered", nextPollMs };
    if (status === 200) return this.#apply(headers, json, nextPollMs, signal);
    if ((status === 429 || status === 503) && retryAfterMs !== undefined) {
      log.debug({ node, retryAfterMs }, "poll put off");
      return { kind: "busy", retryAfterMs };
    }
    log.warn({ node, status }, "poll refused");
    return status >= 500 ? { kind: "failed" } : { kind: "refused", nextPollMs };
  }

  async #apply(
    headers: Headers,
    body: unknown,
    nextPollMs: number | undefined,
    signal: AbortSignal,
  ): Promise<Polled> {
    const { core, report } = this.#ports;
    const reply = await core.handleSync({ headers, body, via: "poll" });
    const told = await report(reply, signal);
    const { etag } = headers;
    this.#etag = told !== undefined && typeof etag === "string" ? etag : undefined;
    return { kind: "answered", nextPollMs, goesOn: told?.needsSync === true };
  }

  #askedNode(): string {
    const { nodes } = this.#options;
    return this.#detour ?? nodes[this.#nodeIndex % nodes.length] ?? "";
  }

  /** Between two silent nodes the one is asked that was heard last: many dead ones cost half of the polls, not most. */
  #note({ kind }: PollResult): void {
    const asked = this.#askedNode();
    const wasDetour = this.#detour !== undefined;
    const atMs = this.#ports.clock.monotonicMs();
    this.#isContent = kind === "answered";
    if (this.#isContent) this.#workedAtMs = atMs;
    this.#detour = kind === "failed" && asked !== this.#heardFrom ? this.#heardFrom : undefined;
    if (kind !== "failed") this.#heardFrom = asked;
    else if (asked === this.#heardFrom) this.#heardFrom = undefined;
    if (wasDetour) return;
    if (this.#isContent) this.#noteAnswer(atMs);
    // The next try goes to another node: whatever is wrong may be wrong with this one alone.
    else this.#nextNode();
  }

  #noteAnswer(atMs: number): void {
    if (this.#answeredCount === 0) this.#answeredSinceMs = atMs;
    this.#answeredCount += 1;
    const isLong = this.#answeredCount >= pollsPerNode || atMs - this.#answeredSinceMs >= nodeMaxMs;
    if (isLong) this.#nextNode();
  }

  #nextNode(): void {
    this.#nodeIndex += 1;
    this.#answeredCount = 0;
  }
}

function nextPollOf(headers: Headers): number | undefined {
  const text = headers[pollHeaders.nextPoll];
  const isNumber = typeof text === "string" && /^\d{1,6}(?:\.\d{1,3})?$/.test(text);
  return isNumber ? Number(text) * 1_000 : undefined;
}
