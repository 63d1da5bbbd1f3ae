/**
 * Carries out one change of one config: candidate, check, swap, reload, and back again on failure.
 *
 * The candidate stands beside its target under a dotted name, so that relative includes resolve and
 * patterns like `*.conf` do not match it. Before the swap the old file gets a second name (a hard
 * link), so that going back needs no free space; the caller calls `finish` once the change is
 * recorded durably, or `undo`. `recover` does the same for a change that a crash cut short.
 */
import { messageOf } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";
import type { Digest } from "../protocol/digest.ts";
import { limits } from "../protocol/limits.ts";
import type { CommandOutcome, CommandRunner } from "./command-runner.ts";
import { argvFor, targetOf, type ConfigTarget, type ConfigTargets } from "./config-target.ts";
import { besidePaths, DiskError, type Disk } from "./disk.ts";
import type { Intent, Outcome } from "./durable-state.ts";
import type { Change } from "./sync-plan.ts";
import { digestOrNone, messageFrom } from "./sync-reply.ts";

export interface AppliedChange {
  readonly outcome: Outcome;
  /** Brings back what stood there before, and reloads; absent where nothing was changed. */
  undo?(): Promise<void>;
  /** Gives up the way back. */
  finish?(): Promise<void>;
}

/** The digest of a file, undefined where there is none, or why it cannot be read. */
export type FileDigest =
  | { readonly kind: "read"; readonly digest: Digest | undefined }
  | { readonly kind: "unreadable"; readonly message: string };

export class ConfigApplier {
  readonly #disk: Disk;
  readonly #runner: CommandRunner;
  readonly #log: Logger;
  readonly #targets: ConfigTargets;

  constructor(ports: { disk: Disk; runner: CommandRunner; log: Logger }, targets: ConfigTargets) {
    this.#disk = ports.disk;
    this.#runner = ports.runner;
    this.#log = ports.log;
    this.#targets = targets;
  }

  /** What the target of `name` holds now. */
  async digestOfTarget(name: string): Promise<FileDigest> {
    const { path } = targetOf(this.#targets, name);
    try {
      const bytes = await this.#disk.read(path, limits.contentBytesMax);
      return { kind: "read", digest: digestOrNone(bytes) };
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      return { kind: "unreadable", message: messageOf(error) };
    }
  }

  /** `before` is what the target holds now, as the durable intent says. */
  async apply(change: Change, before: Digest | undefined): Promise<AppliedChange> {
    const target = targetOf(this.#targets, change.name);
    const { candidate } = besidePaths(target.path);
    try {
      if (change.kind === "apply") {
        await this.#disk.write(candidate, change.bytes, target.attributes);
        const refused = await this.#check(change.name, target, candidate);
        if (refused !== undefined) {
          await this.#tidy(candidate);
          return { outcome: refused };
        }
      }
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      await this.#tidy(candidate);
      return { outcome: failed(change.name, messageOf(error)) };
    }
    return this.#swap(change, target, before);
  }

  /** Undoes a change that was cut short; a target changed by someone else is left alone. */
  async recover({ name, before, after }: Intent): Promise<void> {
    const target = targetOf(this.#targets, name);
    const { candidate, previous } = besidePaths(target.path);
    await this.#tidy(candidate);
    const now = await this.digestOfTarget(name);
    if (now.kind === "read" && now.digest === after && after !== before) {
      const wasPrevious =
        before === undefined || digestOrNone(await this.#readPrevious(previous)) === before;
      if (wasPrevious) {
        await this.#restore(target, before);
        this.#log.warn({ config: name, before, after }, "interrupted change undone");
        const reloaded = await this.#reload(target);
        if (reloaded !== undefined) {
          this.#log.warn({ config: name, message: reloaded }, "reload after recovery failed");
        }
        return;
      }
    }
    await this.#tidy(previous);
  }

  /** Removes what a crash after the record of a change left beside the target of `name`. */
  async tidyTarget(name: string): Promise<void> {
    const { candidate, previous } = besidePaths(targetOf(this.#targets, name).path);
    await this.#tidy(candidate);
    await this.#tidy(previous);
  }

  async #swap(
    change: Change,
    target: ConfigTarget,
    before: Digest | undefined,
  ): Promise<AppliedChange> {
    const { candidate, previous } = besidePaths(target.path);
    const { name } = change;
    try {
      if (before !== undefined) await this.#disk.link(target.path, previous);
      if (change.kind === "apply") await this.#disk.rename(candidate, target.path);
      else await this.#disk.remove(target.path);
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      await this.#restoreOrLog(name, target, before);
      await this.#tidy(candidate);
      return { outcome: failed(name, messageOf(error)) };
    }
    const trouble = await this.#reload(target);
    if (trouble !== undefined) {
      const back = await this.#goBack(name, target, before);
      return { outcome: failed(name, [trouble, back].filter(Boolean).join("\n")) };
    }
    return {
      outcome: { name, result: change.kind === "apply" ? "applied" : "removed" },
      undo: async () => {
        await this.#goBack(name, target, before);
      },
      finish: () => this.#tidy(previous),
    };
  }

  /** Restores and reloads; the text says what went wrong on the way back. */
  async #goBack(
    name: string,
    target: ConfigTarget,
    before: Digest | undefined,
  ): Promise<string | undefined> {
    const isRestored = await this.#restoreOrLog(name, target, before);
    if (!isRestored) return "The old content could not be restored; see the agent's log";
    const trouble = await this.#reload(target);
    if (trouble === undefined) return undefined;
    this.#log.error({ config: name, message: trouble }, "reload of the restored content failed");
    return `The old content was restored; its reload failed too: ${trouble}`;
  }

  async #restoreOrLog(
    name: string,
    target: ConfigTarget,
    before: Digest | undefined,
  ): Promise<boolean> {
    try {
      await this.#restore(target, before);
      return true;
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      this.#log.error({ config: name, error: messageOf(error) }, "old content not restored");
      return false;
    }
  }

  async #restore(target: ConfigTarget, before: Digest | undefined): Promise<void> {
    const { previous } = besidePaths(target.path);
    if (before === undefined) await this.#disk.remove(target.path);
    // Without a link the swap had not begun: the old file still stands at its own name.
    else if ((await this.#readPrevious(previous)) !== undefined) {
      await this.#disk.rename(previous, target.path);
      await this.#disk.discard(previous);
    }
  }

  #readPrevious(path: string): Promise<Uint8Array | undefined> {
    return this.#disk.read(path, limits.contentBytesMax);
  }

  async #check(
    name: string,
    target: ConfigTarget,
    candidate: string,
  ): Promise<Outcome | undefined> {
    if (target.check === undefined) return undefined;
    const outcome = await this.#runner.run({
      argv: argvFor(target.check, candidate),
      timeoutMs: target.checkTimeoutMs,
    });
    const trouble = troubleOf(outcome, "check", target.checkTimeoutMs);
    if (trouble === undefined) return undefined;
    // People know the target's name, not the candidate's.
    const message = messageFrom(trouble.replaceAll(candidate, target.path));
    return { name, result: outcome.kind === "exited" ? "rejected" : "failed", message };
  }

  async #reload(target: ConfigTarget): Promise<string | undefined> {
    if (target.reload === undefined) return undefined;
    const outcome = await this.#runner.run({
      argv: argvFor(target.reload, target.path),
      timeoutMs: target.reloadTimeoutMs,
    });
    const trouble = troubleOf(outcome, "reload", target.reloadTimeoutMs);
    return trouble === undefined ? undefined : messageFrom(trouble);
  }

  async #tidy(path: string): Promise<void> {
    try {
      await this.#disk.discard(path);
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      // A file left over costs space only: the next change of this config replaces it.
      this.#log.warn({ path, error: messageOf(error) }, "temporary file not removed");
    }
  }
}

/** Undefined where the command ended with exit code 0. */
function troubleOf(
  outcome: CommandOutcome,
  what: "check" | "reload",
  timeoutMs: number,
): string | undefined {
  switch (outcome.kind) {
    case "exited":
      if (outcome.code === 0) return undefined;
      return outcome.output.trim() || `The ${what} command ended with exit code ${outcome.code}`;
    case "killed":
      return `The ${what} command was ended by ${outcome.signal}\n${outcome.output}`;
    case "timedOut":
      return `The ${what} command did not end within ${timeoutMs} ms\n${outcome.output}`;
    case "notStarted":
      return `The ${what} command could not be started: ${outcome.message}`;
  }
}

function failed(name: string, message: string): Outcome {
  return { name, result: "failed", message: messageFrom(message) };
}
