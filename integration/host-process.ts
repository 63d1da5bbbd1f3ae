/**
 * One process with many hosts: the entry of the chaos suite's host containers, started on this machine.
 *
 * Its agents keep the apply logs that the checker reads. What a host says and what lies on its disk is
 * read from the files, so that it can be asked of hosts whose process is dead.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { digestOf, type Digest } from "../src/protocol/digest.ts";
import { parseApplyLog, type ApplyRecord } from "./chaos/checker.ts";
import type { FleetPlan, PlannedHost } from "./chaos/fleet-plan.ts";
import { endWithParent, eventually } from "./test-cluster.ts";

const entry = join(import.meta.dirname, "chaos", "agent-fleet.ts");
/** Patience: a busy machine starts hundreds of agents slowly. */
const startTimeoutMs = 60_000;
const complaintCharsMax = 4_000;

export class HostProcess {
  readonly plan: FleetPlan;
  readonly #process: ChildProcess;
  readonly #exited: Promise<unknown[]>;
  #output = "";

  private constructor(plan: FleetPlan) {
    this.plan = plan;
    this.#process = spawn(process.execPath, ["--import", endWithParent, entry], {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, CHAOS_FLEET: JSON.stringify(plan) },
    });
    this.#exited = once(this.#process, "exit");
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream?.on("data", (chunk: Buffer) => {
        this.#output = (this.#output + chunk.toString()).slice(-complaintCharsMax);
      });
    }
  }

  /** A new process for `plan`; it is not listening yet. */
  static spawn(plan: FleetPlan): HostProcess {
    return new HostProcess(plan);
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  get isRunning(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** Resolves when every agent listens. */
  async listening(): Promise<void> {
    await eventually("every agent listens", startTimeoutMs, async () => {
      if (!this.isRunning) throw new Error(`hosts ended: ${this.#output}`);
      return this.#output.includes("agents listening") ? true : undefined;
    });
  }

  /** SIGKILL; resolves when the process is gone. */
  async kill(): Promise<void> {
    if (!this.isRunning) return;
    this.#process.kill("SIGKILL");
    await this.#exited;
  }
}

/** A host that nodes dial and that proves nothing. */
export function dialledHost(id: string): PlannedHost {
  return { id, mode: "dial", key: "0".repeat(64), isDirect: false };
}

export function idsOf({ hosts }: FleetPlan): string[] {
  return hosts.map(({ id }) => id);
}

/** The apply log of each host; empty for one that wrote none. */
export function readApplyLogs(plan: FleetPlan): Map<string, ApplyRecord[]> {
  return new Map(
    idsOf(plan).map((host) => {
      const text = readIfThere(join(plan.logFolder, `${host}.jsonl`));
      return [host, parseApplyLog(text?.toString() ?? "")];
    }),
  );
}

/** The digest of the file of `config` on each host's disk; hosts without one are left out. */
export function readConfigFiles(
  plan: FleetPlan,
  config: string,
  hosts: readonly string[] = idsOf(plan),
): Map<string, Digest> {
  const files = hosts.flatMap((host) => {
    const bytes = readIfThere(join(plan.dataFolder, host, "configs", config));
    return bytes === undefined ? [] : [[host, digestOf(bytes)] as const];
  });
  return new Map(files);
}

/** At once: for a thousand small files that costs a tenth of what a thousand promises do. */
function readIfThere(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
