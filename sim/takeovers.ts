/**
 * How long hosts of a killed node are without an owner, and until their new owner knows them to hold
 * what they should: measured where one node dies and nothing else is wrong (profile `takeover`).
 */
import { partitionOf } from "../src/ring/hash.ts";
import { reportsOf } from "./checks/convergence.ts";
import { servedBy } from "./checks/sampler.ts";
import type { Observation } from "./observations.ts";
import { partitionsCount, type World } from "./world.ts";

const lookEveryMs = 50;

interface Takeover {
  readonly sinceMs: number;
  /** Partitions of the dead that nobody serves yet. */
  unserved: ReadonlySet<number>;
  /** Its hosts that no owner has reported as in order yet. */
  open: ReadonlySet<string>;
  isOwned: boolean;
}

export class TakeoverWatch {
  readonly name = "takeovers";
  /** Death to the moment when each of its partitions is served again, in virtual milliseconds. */
  readonly ownedMs: number[] = [];
  /** Death to the moment when each of its hosts is known to be in order. */
  readonly currentMs: number[] = [];
  readonly #world: World;
  #takeover: Takeover | undefined;
  #isStopped = false;

  constructor(world: World) {
    this.#world = world;
  }

  take(observation: Observation): void {
    if (observation.kind !== "note") return;
    if (observation.text === "healed") this.#isStopped = true;
    if (!observation.text.startsWith("nodeDeath: ") || this.#isStopped) return;
    this.#world.timeline.after(0, () => void this.#begin(this.#world.timeline.nowMs));
  }

  async #begin(sinceMs: number): Promise<void> {
    const unserved = await this.#unserved();
    if (unserved.size === 0) return;
    const ids = [...this.#world.hosts.keys()];
    const open = new Set(ids.filter((id) => unserved.has(partitionOf(id, partitionsCount))));
    this.#takeover = { sinceMs, unserved, open, isOwned: false };
    this.#lookSoon();
  }

  #lookSoon(): void {
    this.#world.timeline.after(lookEveryMs, () => {
      if (!this.#isStopped) void this.#look();
    });
  }

  async #look(): Promise<void> {
    const takeover = this.#takeover;
    if (takeover === undefined) return;
    const forMs = this.#world.timeline.nowMs - takeover.sinceMs;
    const unserved = await this.#unserved();
    if (!takeover.isOwned && unserved.size === 0) {
      takeover.isOwned = true;
      this.ownedMs.push(forMs);
    }
    if (!takeover.isOwned) {
      this.#lookSoon();
      return;
    }
    const reports = await reportsOf(this.#world.livingProcesses());
    takeover.open = new Set(
      [...takeover.open].filter((id) => {
        const report = reports.get(id);
        const sync = report?.sync;
        // A host that was deleted meanwhile is in no report of a partition that is served.
        if (sync === undefined) return unserved.has(partitionOf(id, partitionsCount));
        // What a host has tried and could not apply, its owner knows, and waits before it asks again.
        const isSettled = sync === "applied" || sync === "rejected";
        return !isSettled && report?.lastError?.class !== "failed";
      }),
    );
    if (takeover.isOwned && takeover.open.size === 0) {
      this.currentMs.push(forMs);
      this.#takeover = undefined;
    } else this.#lookSoon();
  }

  async #unserved(): Promise<Set<number>> {
    const unserved = new Set(Array.from({ length: partitionsCount }, (_, partition) => partition));
    for (const process of this.#world.livingProcesses()) {
      for (const partition of await servedBy(process)) unserved.delete(partition);
    }
    return unserved;
  }
}
