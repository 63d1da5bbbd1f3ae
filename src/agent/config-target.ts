/**
 * Where a config of a given name lives on this machine, and which commands guard it.
 *
 * The machine's owner decides that, in the agent's own configuration; the control plane sends names
 * and contents only. A name that is not listed there goes to `<folder>/configs/<name>` with no
 * commands, or is rejected where `acceptUnlisted` is off.
 */
import { join } from "node:path";
import type { FileAttributes } from "./disk.ts";

export interface ConfigTarget {
  /** Absolute path of the file that the program reads. */
  readonly path: string;
  readonly attributes: FileAttributes;
  /** Exit code 0 accepts the candidate; `{path}` in an argument is the candidate's path. */
  readonly check?: readonly string[];
  readonly checkTimeoutMs: number;
  /** Run after the file has changed; `{path}` in an argument is the target's path. */
  readonly reload?: readonly string[];
  readonly reloadTimeoutMs: number;
}

export interface ConfigTargets {
  /** The agent's folder, absolute. */
  readonly folder: string;
  readonly listed: ReadonlyMap<string, ConfigTarget>;
  readonly acceptUnlisted: boolean;
}

/** Long enough for a program that resolves names while it checks. */
export const commandTimeoutDefaultMs = 10_000;

export function targetOf(targets: ConfigTargets, name: string): ConfigTarget {
  return (
    targets.listed.get(name) ?? {
      path: join(targets.folder, "configs", name),
      attributes: { mode: 0o644 },
      checkTimeoutMs: commandTimeoutDefaultMs,
      reloadTimeoutMs: commandTimeoutDefaultMs,
    }
  );
}

export function isAccepted(targets: ConfigTargets, name: string): boolean {
  return targets.acceptUnlisted || targets.listed.has(name);
}

/** The argument vector with `{path}` filled in. */
export function argvFor(argv: readonly string[], path: string): string[] {
  return argv.map((argument) => argument.replaceAll("{path}", path));
}
