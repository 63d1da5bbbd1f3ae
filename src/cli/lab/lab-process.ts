/**
 * A child process of the laboratory: questions and numbered answers over its channel, on a core of its own
 * where the machine has `taskset` and two cores.
 */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Clock } from "../../kernel/clock.ts";
import { CoxswainError } from "../../kernel/errors.ts";
import { DemoChild } from "../demo/child-process.ts";
import type { BucketMessage, LabAnswer, LabCommand, Numbered } from "./lab-messages.ts";

const answerMaxMs = 30_000;
const run = promisify(execFile);

export class LabProcess {
  readonly #child: DemoChild;
  readonly #clock: Clock;
  readonly #waiting = new Map<number, (answer: LabAnswer) => void>();
  #id = 0;
  /** Called with what the process says unasked. */
  onBucket: (message: BucketMessage) => void = () => {};

  constructor(name: string, entry: URL, dir: string, clock: Clock, env: NodeJS.ProcessEnv) {
    this.#clock = clock;
    this.#child = new DemoChild({ name, entry, args: [], logPath: join(dir, `${name}.log`), env });
    this.#child.onMessage((message) => this.#hear(message as BucketMessage | Numbered<LabAnswer>));
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Rejects where the process fails, ends or does not answer in time. */
  async ask<Kind extends LabAnswer["kind"]>(
    command: LabCommand,
    expected: Kind,
    signal: AbortSignal,
  ): Promise<Extract<LabAnswer, { kind: Kind }>> {
    const id = ++this.#id;
    const answered = new Promise<LabAnswer>((resolve) => {
      this.#waiting.set(id, resolve);
    });
    this.#child.send({ id, ...command });
    const answer = await this.whileRunning(answered, answerMaxMs, signal);
    if (answer.kind === expected) return answer as Extract<LabAnswer, { kind: Kind }>;
    const said = answer.kind === "failed" ? answer.message : answer.kind;
    throw this.#failure(`${command.kind} ended with: ${said}`);
  }

  /** `work`, unless the process ends before it, `maxMs` pass or `signal` aborts. */
  async whileRunning<T>(work: Promise<T>, maxMs: number, signal: AbortSignal): Promise<T> {
    const limit = new AbortController();
    const late = this.#clock.sleep(maxMs, AbortSignal.any([signal, limit.signal])).then(() => {
      throw this.#failure(`no answer within ${maxMs / 1_000} s`);
    });
    const ended = this.#child.exited.then((exit) => {
      throw this.#failure(`ended with ${exit}:\n${this.#child.logTail()}`);
    });
    ended.catch(() => {}); // It also ends when it should.
    try {
      return await Promise.race([work, late, ended]);
    } finally {
      late.catch(() => {}); // Nobody waits any more.
      limit.abort();
    }
  }

  stop(): Promise<void> {
    return this.#child.stop(this.#clock);
  }

  #failure(text: string): CoxswainError {
    return new CoxswainError("LAB_FAILED", `${this.#child.name}: ${text}`);
  }

  #hear(message: BucketMessage | Numbered<LabAnswer>): void {
    if (message.kind === "bucket") {
      this.onBucket(message);
      return;
    }
    this.#waiting.get(message.id)?.(message);
    this.#waiting.delete(message.id);
  }
}

/** Gives each process a core of its own; the cores, or undefined where that cannot be done. */
export async function pin(
  first: LabProcess,
  second: LabProcess,
): Promise<readonly [number, number] | undefined> {
  try {
    const { stdout } = await run("taskset", ["-c", "-p", String(process.pid)]);
    const [one, two] = parseCores(stdout.slice(stdout.lastIndexOf(":") + 1));
    if (one === undefined || two === undefined) return undefined;
    await run("taskset", ["-a", "-c", "-p", String(one), String(first.pid)]);
    await run("taskset", ["-a", "-c", "-p", String(two), String(second.pid)]);
    return [one, two];
  } catch {
    return undefined; // No taskset on this machine, or no right to use it: the report says so.
  }
}

/** Core numbers of `0-3,6`. */
export function parseCores(text: string): number[] {
  return text
    .trim()
    .split(",")
    .flatMap((part) => {
      const [first, last] = part.split("-").map(Number);
      if (first === undefined || Number.isNaN(first)) return [];
      return Array.from({ length: (last ?? first) - first + 1 }, (_, index) => first + index);
    });
}
