/**
 * Child processes of the demo: a log file each, a channel to the parent, ended by their own pid.
 *
 * A child notices by its closed channel that the parent is gone, and ends. The other way round the
 * parent kills what still runs when it exits, however it exits.
 */
import { fork, type ChildProcess } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { CoxswainError, messageOf } from "../../kernel/errors.ts";
import type { Clock } from "../../kernel/clock.ts";

/** After SIGTERM a child gets this long, then SIGKILL. */
const stopGraceMs = 2_000;
const tailLines = 12;

export interface ChildSpec {
  readonly name: string;
  /** TypeScript file that the child runs. */
  readonly entry: URL;
  readonly args: readonly string[];
  readonly logPath: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

const running = new Set<ChildProcess>();

function killAll(): void {
  for (const child of running) child.kill("SIGKILL");
}

/** One child process from start to end. */
export class DemoChild {
  readonly name: string;
  readonly pid: number;
  readonly logPath: string;
  /** Resolves with the exit code or the signal's name once the process has ended. */
  readonly exited: Promise<number | string>;
  #exit: number | string | undefined;
  readonly #process: ChildProcess;

  constructor(spec: ChildSpec) {
    this.name = spec.name;
    this.logPath = spec.logPath;
    const log = openSync(spec.logPath, "a");
    try {
      this.#process = fork(spec.entry, [...spec.args], {
        env: spec.env,
        stdio: ["ignore", log, log, "ipc"],
      });
    } finally {
      closeSync(log);
    }
    this.pid = this.#process.pid ?? 0;
    this.exited = this.#watch();
  }

  get isRunning(): boolean {
    return this.#exit === undefined;
  }

  /** Exit code or signal; undefined while it runs. */
  get exit(): number | string | undefined {
    return this.#exit;
  }

  send(message: object): void {
    this.#process.send(message, () => {}); // A failed send shows as the child's exit.
  }

  onMessage(listener: (message: unknown) => void): void {
    this.#process.on("message", listener);
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }

  /** SIGTERM, then SIGKILL. Idempotent. */
  async stop(clock: Clock): Promise<void> {
    if (!this.isRunning) return;
    this.#process.kill("SIGTERM");
    const cancel = clock.after(stopGraceMs, () => this.kill());
    await this.exited;
    cancel();
  }

  /** The last lines of its log, for error messages. */
  logTail(): string {
    try {
      return readFileSync(this.logPath, "utf8").trimEnd().split("\n").slice(-tailLines).join("\n");
    } catch (error) {
      return `(no log: ${messageOf(error)})`;
    }
  }

  #watch(): Promise<number | string> {
    if (running.size === 0) process.on("exit", killAll);
    running.add(this.#process);
    return new Promise((resolve) => {
      const onEnd = (exit: number | string) => {
        if (this.#exit !== undefined) return;
        this.#exit = exit;
        running.delete(this.#process);
        if (running.size === 0) process.off("exit", killAll);
        resolve(exit);
      };
      this.#process.once("exit", (code, signal) => onEnd(code ?? signal ?? 0));
      this.#process.once("error", (error) => onEnd(messageOf(error)));
    });
  }
}

/** Variables for a child: this process's own without what would steer it elsewhere. */
export function childEnv(
  env: Readonly<Record<string, string | undefined>>,
): Record<string, string | undefined> {
  const kept = Object.entries(env).filter(([name]) => !/^(COXSWAIN|AWS)_/.test(name));
  return {
    ...Object.fromEntries(kept),
    // The embedded store checks no credentials, but the SDK signs nothing without some.
    AWS_ACCESS_KEY_ID: "demo",
    AWS_SECRET_ACCESS_KEY: "demo",
    AWS_REGION: "us-east-1",
  };
}

/** Throws with the end of the log when `child` has ended although it should not have. */
export function assertRunning(child: DemoChild): void {
  if (child.isRunning) return;
  throw new CoxswainError(
    "DEMO_FAILED",
    `${child.name} ended with ${child.exit}; the end of ${child.logPath}:\n${child.logTail()}`,
  );
}
