/**
 * The agent's part in meeting its owner at an object store: it looks at its pointer when the pointer
 * says, and tells its owner what came of it: through a node where one can be reached, else by what it
 * leaves in the store.
 *
 * Looks are spread by a hash of the host's id, not by chance, so that a fleet that started at once
 * never looks at once. Trouble is answered with full jitter below a doubling bound. Reports go out
 * when something changed, and else seldom: the store is what carries the fleet, not the nodes.
 */
import { createHash } from "node:crypto";
import type { Clock } from "../kernel/clock.ts";
import { isCoxswainError, messageOf } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";
import type { Random } from "../kernel/random.ts";
import type { ObjectReader } from "../objects/object-store.ts";
import type { AgentCore } from "./agent-core.ts";
import type { ModeDriver } from "./mode-driver.ts";
import { ObjectPoll, type PollOutcome } from "./object-poll.ts";
import type { Report } from "./report-client.ts";
import { StatusWriter } from "./status-writer.ts";
import type { Answer } from "./sync-request.ts";

export interface ObjectPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly core: AgentCore;
  /** Opens without IO. */
  readonly open: () => Promise<ObjectReader>;
  /** Undefined: no node is known. */
  readonly report: Report | undefined;
}

export interface ObjectOptions {
  readonly host: string;
  readonly cluster: string;
  /** The first look falls in this time. Default 2 s. */
  readonly startSpreadMs?: number | undefined;
}

const startSpreadDefaultMs = 2_000;
const backoffMinMs = 1_000;
const backoffMaxMs = 60_000;
/** A third of the time after which a host that is silent counts as unreachable. */
const reportEveryMs = 5 * 60_000;
/** What the node wants known is still on its way to the store. */
const needsSyncMs = 2_000;

export class ObjectDriver implements ModeDriver {
  readonly mode = "object";
  readonly #ports: ObjectPorts;
  readonly #options: ObjectOptions;
  /** Its place among the hosts, 0..1. */
  readonly #phaseRatio: number;
  #workedAtMs: number | undefined;
  /** What lay there was taken, and the next look is not due yet. */
  #isContent = false;
  #reportedAtMs: number | undefined;
  #isReportDue = true;
  #failures = 0;
  #lastTrouble = "";
  readonly #statuses: StatusWriter;

  constructor(ports: ObjectPorts, options: ObjectOptions) {
    this.#ports = ports;
    this.#options = options;
    const { clock, log, core } = ports;
    this.#statuses = new StatusWriter({ clock, log, boot: () => core.held().boot }, options);
    const hash = createHash("sha256").update(options.host).digest();
    this.#phaseRatio = hash.readUInt32BE() / 2 ** 32;
  }

  workedAtMs(): number | undefined {
    return this.#isContent ? this.#ports.clock.monotonicMs() : this.#workedAtMs;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, core, open } = this.#ports;
    const { startSpreadMs = startSpreadDefaultMs } = this.#options;
    this.#workedAtMs = undefined;
    const reader = await open();
    try {
      const poll = new ObjectPoll({ clock, core, reader }, this.#options);
      await clock.sleep(this.#phaseRatio * startSpreadMs, signal);
      for (;;) await clock.sleep(await this.#turn(poll, reader, signal), signal);
    } finally {
      this.#isContent = false;
      reader.close();
    }
  }

  /** Looks once; returns how long to wait. */
  async #turn(poll: ObjectPoll, reader: ObjectReader, signal: AbortSignal): Promise<number> {
    const outcome = await this.#look(poll, signal);
    this.#isContent = outcome.kind === "answered" && outcome.answer.status === 200;
    if (outcome.kind === "unusable") return this.#afterTrouble(outcome.message);
    this.#failures = 0;
    this.#noticeAnswer(outcome.answer);
    if (outcome.isNews) this.#isReportDue = true;
    const needsSync = await this.#report(outcome, reader, signal);
    const waitMs = this.#untilNextMs(outcome.pointer.nextPollMs);
    return needsSync ? Math.min(waitMs, needsSyncMs) : waitMs;
  }

  async #look(poll: ObjectPoll, signal: AbortSignal): Promise<PollOutcome> {
    try {
      return await poll.look(signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!isCoxswainError(error)) throw error;
      return { kind: "unusable", message: messageOf(error) };
    }
  }

  #noticeAnswer({ status, body }: Answer): void {
    if (status === 200) {
      if (this.#lastTrouble !== "") this.#ports.log.info({}, "object store is of use again");
      this.#lastTrouble = "";
      this.#workedAtMs = this.#ports.clock.monotonicMs();
      return;
    }
    const { error } = body as { error?: { message?: string } };
    this.#notice(`what lies there was refused (${status}): ${error?.message ?? ""}`);
  }

  #afterTrouble(message: string): number {
    this.#notice(message);
    this.#failures++;
    const boundMs = Math.min(backoffMaxMs, backoffMinMs * 2 ** Math.min(this.#failures, 16));
    return this.#ports.random.next() * boundMs;
  }

  /** The same trouble again is no news. */
  #notice(message: string): void {
    const level = message === this.#lastTrouble ? "debug" : "warn";
    this.#ports.log[level]({ error: message }, "object store is of no use");
    this.#lastTrouble = message;
  }

  /** True where the node wants the host to look again soon. */
  async #report(
    { answer, pointer }: Extract<PollOutcome, { kind: "answered" }>,
    reader: ObjectReader,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { clock, report } = this.#ports;
    const sinceMs = clock.monotonicMs() - (this.#reportedAtMs ?? -Infinity);
    if (!this.#isReportDue && sinceMs < reportEveryMs) return false;
    const { status, body } = answer;
    const heard = await report?.({ status, body }, signal);
    if (heard === undefined && !(await this.#statuses.write(reader, pointer, answer, signal))) {
      return false;
    }
    this.#isReportDue = false;
    this.#reportedAtMs = clock.monotonicMs();
    // Once a report: a node that always wants more does not make the host poll fast.
    return heard?.needsSync === true;
  }

  /** To the host's own moment in each interval, at least half an interval away. */
  #untilNextMs(intervalMs: number): number {
    const atMs = this.#ports.clock.monotonicMs();
    const phaseMs = this.#phaseRatio * intervalMs;
    const turns = Math.ceil((atMs - phaseMs) / intervalMs + 0.5);
    return turns * intervalMs + phaseMs - atMs;
  }
}
