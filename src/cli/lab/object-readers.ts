/**
 * Hosts that read their object: once an interval, a little after it is due to be written, and again a
 * moment later as long as it is not new. What counts is a config that the host did not have. Reads are
 * synchronous: they take some ten microseconds, and a thread for each would cost more than that.
 */
import { readFileSync, statSync } from "node:fs";
import { DueHosts } from "./due-hosts.ts";
import type { SceneRun } from "./fleet-side.ts";
import { renderedMsOf, rereadMsOf } from "./lab-scene.ts";
import { objectPath } from "./object-side.ts";

export class ObjectReaders {
  readonly #run: SceneRun;
  /** When the object that a host read last was written. */
  readonly #seenMs = new Map<number, number>();
  /** Hosts that will look again by themselves. */
  readonly #looking = new Set<number>();

  constructor(run: SceneRun) {
    this.#run = run;
  }

  start(): void {
    const { hosts, intervalMs, timeoutMs } = this.#run.scene;
    const behindMs = Math.min(timeoutMs, intervalMs) / 2;
    const wanted = new DueHosts(hosts, intervalMs);
    this.#run.eachDue(wanted, 0, () => this.#run.counter.offered());
    this.#run.eachDue(new DueHosts(hosts, intervalMs), behindMs, (host) => {
      if (!this.#looking.has(host)) this.#look(host);
    });
  }

  #look(host: number): void {
    this.#looking.add(host);
    if (this.#isNew(host)) {
      this.#looking.delete(host);
      return;
    }
    const jitter = 0.5 + this.#run.random.next() / 2;
    const delayMs = jitter * rereadMsOf(this.#run.scene.timeoutMs);
    this.#run.after(delayMs, () => this.#look(host));
  }

  #isNew(host: number): boolean {
    const { counter, scene } = this.#run;
    counter.tried();
    if (this.#run.isLost()) return false;
    const path = objectPath(scene.dir, host);
    // As with an ETag: what has not changed is not read.
    const writtenMs = statSync(path, { throwIfNoEntry: false })?.mtimeMs;
    if (writtenMs === undefined || writtenMs === this.#seenMs.get(host)) return false;
    this.#seenMs.set(host, writtenMs);
    const renderedMs = renderedMsOf(readFileSync(path, "latin1"));
    if (renderedMs === undefined) return false;
    counter.arrived();
    return true;
  }
}
