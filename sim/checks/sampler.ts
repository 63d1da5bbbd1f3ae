/**
 * Checks that need a look at the nodes, once a second: views never go back (S5), slices do not shrink
 * while the store is away (S9), retries stay within their share and queues within the slice (S7),
 * reports of hosts are true (S4), and how long a partition was without a node that serves it (S5).
 */
import { isCoxswainError } from "../../src/kernel/errors.ts";
import type { HostsAnswer, CountsAnswer } from "../../src/node/peers.ts";
import { stackOf } from "../sim-host.ts";
import type { NodeProcess } from "../sim-node.ts";
import { partitionsCount, type World } from "../world.ts";

const everyMs = 1_000;
const reportsEveryTicks = 4;
/** What was decided just before an outage may still be carried out. */
const outageGraceMs = 3_000;
/** Retries that may start at once after a rest, and a place for rounding. */
const retrySlackCount = 2;
const retryShareRatio = 0.1;
const allPartitions = Array.from({ length: partitionsCount }, (_, partition) => partition);

interface Seen {
  /** End of the last moment in which the process was found frozen, or its start. */
  livingSinceMs: number;
  lastMs: number;
  view: { readonly generation: number; readonly version: number };
  /** Served when the outage had lasted for its grace. */
  servedInOutage: ReadonlySet<number> | undefined;
}

export class Sampler {
  readonly #world: World;
  readonly #seen = new Map<string, Seen>();
  readonly #uncoveredSinceMs = new Map<number, number>();
  #outageSinceMs: number | undefined;
  #ticks = 0;
  #isStopped = false;
  #areGapsAllowed = false;
  longestGapMs = 0;

  constructor(world: World) {
    this.#world = world;
  }

  start(): void {
    this.#world.timeline.after(everyMs, () => {
      if (this.#isStopped) return;
      void this.#tick();
      this.start();
    });
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** Nodes go for good from here on: gaps are measured and forbidden no longer. */
  allowGaps(): void {
    this.#areGapsAllowed = true;
  }

  async #tick(): Promise<void> {
    const { timeline, trouble, recorder, swarm } = this.#world;
    this.#ticks++;
    const isOut = trouble.isDown || trouble.isRefusing;
    const sinceMs = this.#outageSinceMs ?? timeline.nowMs;
    // Another outage may have begun since the last look: in between the store was heard.
    const isSame = this.#world.outageEndedMs <= sinceMs;
    this.#outageSinceMs = isOut ? (isSame ? sinceMs : timeline.nowMs) : undefined;
    const covered = new Set<number>();
    try {
      for (const process of this.#world.livingProcesses()) {
        const served = await servedBy(process);
        for (const partition of served) covered.add(partition);
        this.#checkView(process);
        this.#checkOutage(process, served);
        await this.#checkRetries(process);
        await this.#checkQueue(process);
        if (this.#ticks % reportsEveryTicks === 0) await this.#checkReports(process);
      }
    } catch (error) {
      if (!isCoxswainError(error)) recorder.fail("crash", "sampler", stackOf(error));
    }
    if (this.#areGapsAllowed) return;
    this.#measureGaps(covered);
    if (swarm.profile === "planned" && this.longestGapMs > 0) {
      recorder.fail("safety", "S5 coverage", "a planned move left a partition without an owner", [
        "node",
      ]);
    }
  }

  #checkView({ name, node }: NodeProcess): void {
    const { view } = node.readiness();
    const seen = this.#seen.get(name);
    const { nowMs } = this.#world.timeline;
    if (seen === undefined) {
      const fresh = { livingSinceMs: nowMs, lastMs: nowMs, view, servedInOutage: undefined };
      this.#seen.set(name, fresh);
      return;
    }
    if (nowMs - seen.lastMs > 1.5 * everyMs) seen.livingSinceMs = nowMs;
    seen.lastMs = nowMs;
    const goesBack =
      view.generation < seen.view.generation ||
      (view.generation === seen.view.generation && view.version < seen.view.version);
    if (goesBack) {
      const text = `${name} went from view ${JSON.stringify(seen.view)} to ${JSON.stringify(view)}`;
      this.#world.recorder.fail("safety", "S5 view", text, [name]);
    }
    seen.view = view;
  }

  #checkOutage({ name, node, stopping }: NodeProcess, served: ReadonlySet<number>): void {
    const seen = this.#seen.get(name);
    if (seen === undefined) return;
    const outageMs = this.#outageSinceMs;
    // What had been answered before a process was frozen reaches it when it goes on.
    const sinceMs = outageMs === undefined ? undefined : Math.max(outageMs, seen.livingSinceMs);
    if (sinceMs === undefined || this.#world.timeline.nowMs - sinceMs < outageGraceMs) {
      seen.servedInOutage = undefined;
      return;
    }
    const before = seen.servedInOutage;
    seen.servedInOutage = served;
    const isLeaving = stopping.signal.aborted || node.readiness().member !== "active";
    const lost = [...(before ?? [])].filter((partition) => !served.has(partition));
    if (lost.length === 0 || isLeaving) return;
    const text = `${name} let go of partitions ${lost.join(" ")} while the store was away`;
    this.#world.recorder.fail("safety", "S9 slice", text, [name]);
  }

  async #checkRetries({ name, metrics, clock, startedLocalMs }: NodeProcess): Promise<void> {
    const { values } = await metrics.pushesTotal.get();
    let retries = 0;
    for (const { labels, value } of values) if (labels.lane === "retry") retries += value;
    const { pushesPerSecond } = this.#world.swarm;
    const perSecond = pushesPerSecond * retryShareRatio;
    const elapsedSeconds = (clock.monotonicMs() - startedLocalMs) / 1_000;
    const allowed = perSecond * elapsedSeconds + Math.max(1, perSecond * 0.05) + retrySlackCount;
    if (retries <= allowed) return;
    const text = `${name} made ${retries} retries in ${elapsedSeconds.toFixed(1)} s at a pace of ${pushesPerSecond}/s`;
    this.#world.recorder.fail("safety", "S7 retries", text, [name]);
  }

  async #checkQueue({ name, metrics }: NodeProcess): Promise<void> {
    const { values } = await metrics.pushQueueLength.get();
    const queued = values.reduce((sum, { value }) => sum + value, 0);
    const hostsCount = this.#world.hosts.size;
    if (queued <= hostsCount) return;
    const text = `${name} has ${queued} hosts queued of ${hostsCount} there are`;
    this.#world.recorder.fail("safety", "S7 queue", text, [name]);
  }

  async #checkReports({ name, node }: NodeProcess): Promise<void> {
    const ask = { partitions: allPartitions, limit: 1_000, isDetailed: false };
    const { hosts } = (await node.answerPeer("hosts", ask)) as HostsAnswer;
    for (const { id, sync, held } of hosts) {
      if (sync !== "applied" || held === null) continue;
      if (this.#world.hosts.get(id)?.said.has(held.manifest) === true) continue;
      const text = `${name} reports that ${id} has applied ${held.manifest}; it never said so`;
      this.#world.recorder.fail("safety", "S4 report", text, [name, id]);
    }
  }

  #measureGaps(covered: ReadonlySet<number>): void {
    const { nowMs } = this.#world.timeline;
    for (const partition of allPartitions) {
      if (covered.has(partition)) {
        this.#uncoveredSinceMs.delete(partition);
        continue;
      }
      const sinceMs = this.#uncoveredSinceMs.get(partition) ?? nowMs - everyMs;
      this.#uncoveredSinceMs.set(partition, sinceMs);
      this.longestGapMs = Math.max(this.longestGapMs, nowMs - sinceMs);
    }
  }
}

/** Partitions that a process serves. */
export async function servedBy({ node }: NodeProcess): Promise<Set<number>> {
  const { unserved } = (await node.answerPeer("counts", {
    partitions: allPartitions,
  })) as CountsAnswer;
  const missing = new Set(unserved);
  return new Set(allPartitions.filter((partition) => !missing.has(partition)));
}
