/**
 * Hosts that ask what they should hold, and that say what became of it: let in where they arrive, answered
 * by their owner.
 *
 * A poll waits for its turn (admission-queue.ts), then is answered here or, one hop away, by the owner. A
 * report is the end of work that is done already: it goes ahead of polls and is refused only where the event
 * loop is far behind. What peers pass on was paced where it arrived.
 *
 * The ETag is made of the fence and the manifest that the host should hold. `unchanged` means that there is
 * nothing to do: the host was told just this, holds what its owner knows it to hold, and owes no report.
 */
import { parseHostId, type HostId } from "../inventory/host.ts";
import type { Clock } from "../kernel/clock.ts";
import { isCoxswainError } from "../kernel/errors.ts";
import type { Metrics } from "../kernel/metrics.ts";
import type { Random } from "../kernel/random.ts";
import { isDialled, type HostMode } from "../protocol/host-mode.ts";
import type { ReportedReply } from "../push/fetching.ts";
import type { Pusher } from "../push/pusher.ts";
import { AdmissionQueue, type Caller, type RefusalReason } from "./admission-queue.ts";
import type { NodeOptions } from "./options.ts";
import { ModeCount } from "./mode-count.ts";
import type { Peers } from "./peers.ts";
import { nextPollMs, pollMaxMs } from "./poll-interval.ts";
import type { PassedPoll, PollReply, ReportReply } from "./poll-calls.ts";
import type { Slice } from "./slice.ts";

export interface PollsPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: Metrics;
  readonly slot: string;
  readonly slice: () => Slice;
  readonly pusher: () => Pusher;
  readonly peers: Peers;
  readonly partitionOf: (id: HostId) => number;
  readonly options: Pick<NodeOptions, "pollsPerSecond" | "pollMinMs" | "hostSecretFile">;
  /** False after an own pause and once replaced: nothing is handed out. */
  readonly mayPush: () => boolean;
  /** How late the event loop is; undefined: nobody knows. */
  readonly lagMs: (() => number) | undefined;
}

/** One poll as it came from a host whose proof was checked. */
export interface HostPoll {
  readonly host: string;
  readonly etag: string | undefined;
  /** Digest of the manifest that the host holds. */
  readonly held: string | undefined;
  readonly timeoutMs: number;
  /** True once the caller has closed its connection. */
  isGone(): boolean;
}

interface Waiting extends Caller {
  go(reason: RefusalReason | undefined): void;
}

const runningMax = 64;
const waitingMax = 1_000;
const lagMaxMs = 200;
/** Of `lagMaxMs`, for what finishes work that is done already. */
const urgentLagFactor = 3;
const retryAfterMinMs = 1_000;
const relayTimeoutMs = 3_000;

export class Polls {
  readonly #ports: PollsPorts;
  readonly #queue: AdmissionQueue<Waiting>;
  readonly #waiting = new Set<Waiting>();
  /** Hosts served here that may poll. */
  readonly #pollers: ModeCount;
  #cancelWake: (() => void) | undefined;
  #isStopped = false;

  constructor(ports: PollsPorts) {
    this.#ports = ports;
    this.#pollers = new ModeCount(ports, "poll");
    this.#queue = new AdmissionQueue({
      perSecond: ports.options.pollsPerSecond,
      runningMax,
      waitingMax,
      lagMaxMs,
      retryAfterMinMs,
      retryAfterMaxMs: pollMaxMs,
    });
  }

  /** The cheap look, before anything of the request counts; undefined: go on. */
  refusal(): Extract<PollReply, { kind: "busy" }> | undefined {
    if (this.#isStopped) return this.#refused("late");
    if (this.#lagMs < lagMaxMs && this.#queue.waitingCount < waitingMax) return undefined;
    return this.#refused(this.#lagMs < lagMaxMs ? "full" : "lag");
  }

  /** Throws HOST_INVALID. */
  async poll(call: HostPoll): Promise<PollReply> {
    const { clock } = this.#ports;
    const id = parseHostId(call.host);
    const deadlineMs = clock.monotonicMs() + call.timeoutMs;
    const reason = await this.#turn(deadlineMs, () => call.isGone());
    if (reason !== undefined) return this.#refused(reason);
    const startedMs = clock.monotonicMs();
    try {
      const answer = await this.#answer(id, call, deadlineMs - startedMs);
      this.#count(answer.kind);
      return answer;
    } finally {
      this.#queue.ended(clock.monotonicMs() - startedMs);
      this.#serve();
    }
  }

  /** A poll that a peer let in. */
  async passed({ host, etag, held }: PassedPoll): Promise<PollReply> {
    if (this.#lagMs >= urgentLagFactor * lagMaxMs) return this.#refused("lag");
    const id = parseHostId(host);
    const partition = this.#ports.partitionOf(id);
    return this.#ports.slice().isServed(partition)
      ? this.#own(id, partition, etag, held)
      : this.#notNow();
  }

  /** What a host says became of a sync. Throws HOST_INVALID. */
  async report(host: string, reply: ReportedReply): Promise<ReportReply> {
    const id = parseHostId(host);
    const { slice, partitionOf } = this.#ports;
    const partition = partitionOf(id);
    let answer: ReportReply;
    if (this.#lagMs >= urgentLagFactor * lagMaxMs) answer = this.#notNow();
    else if (slice().isServed(partition)) answer = this.#take(id, partition, reply);
    else answer = await this.#passReport(id, partition, reply);
    this.#ports.metrics.reportsTotal.labels({ outcome: answer.kind }).inc();
    return answer;
  }

  /** A report that came to a peer. */
  passedReport(host: string, reply: ReportedReply): ReportReply {
    const id = parseHostId(host);
    const partition = this.#ports.partitionOf(id);
    const isServed = this.#ports.slice().isServed(partition);
    return isServed ? this.#take(id, partition, reply) : this.#notNow();
  }

  /** Answers everybody who waits; nobody is let in afterwards by a timer. Idempotent. */
  stop(): void {
    this.#isStopped = true;
    this.#cancelWake?.();
    this.#cancelWake = undefined;
    for (const each of this.#waiting) each.go("late");
  }

  #turn(deadlineMs: number, isGone: () => boolean): Promise<RefusalReason | undefined> {
    if (this.#isStopped) return Promise.resolve("late");
    const { promise, resolve } = Promise.withResolvers<RefusalReason | undefined>();
    const waiting: Waiting = {
      deadlineMs,
      isGone,
      go: (reason) => {
        this.#waiting.delete(waiting);
        resolve(reason);
      },
    };
    const refused = this.#queue.offer(waiting, this.#ports.clock.monotonicMs(), this.#lagMs);
    if (refused === undefined) this.#waiting.add(waiting);
    else resolve(refused);
    this.#serve();
    return promise;
  }

  #serve(): void {
    if (this.#isStopped) return;
    const { clock, metrics } = this.#ports;
    const { run, dropped } = this.#queue.next(clock.monotonicMs());
    for (const each of run) each.go(undefined);
    for (const each of dropped) each.go("late");
    metrics.pollsWaiting.set(this.#queue.waitingCount);
    this.#cancelWake?.();
    const wakeInMs = this.#queue.wakeInMs();
    this.#cancelWake =
      wakeInMs === undefined ? undefined : clock.after(wakeInMs, () => this.#serve());
  }

  async #answer(id: HostId, call: HostPoll, leftMs: number): Promise<PollReply> {
    const { slice, partitionOf, peers } = this.#ports;
    const partition = partitionOf(id);
    if (slice().isServed(partition)) return this.#own(id, partition, call.etag, call.held);
    const fleetUrl = this.#peerOf(partition);
    if (fleetUrl === undefined) return this.#notNow();
    const { etag = "", held = "" } = call;
    try {
      const timeoutMs = Math.max(1, Math.floor(Math.min(leftMs, relayTimeoutMs)));
      return await peers.call(fleetUrl, "poll", { host: id, etag, held }, timeoutMs);
    } catch (error) {
      // The owner is away or does not know of its host yet: the next poll finds it or its successor.
      if (isCoxswainError(error)) return this.#notNow();
      throw error;
    }
  }

  async #own(
    id: HostId,
    partition: number,
    etag: string | undefined,
    held: string | undefined,
  ): Promise<PollReply> {
    const { pusher, mayPush, options, random } = this.#ports;
    const refused = this.#refusedHost(id, partition, ["poll"]);
    if (refused !== undefined) return { kind: refused, nextPollMs: pollMaxMs };
    const standing = pusher().polled(id);
    if (standing === undefined || !mayPush()) return this.#notNow();
    const every = nextPollMs(this.#pollers.get(), options, random.next());
    const current = etagOf(standing.fence, standing.manifest);
    if (!standing.needsSync && etag === current && held === standing.acknowledged) {
      return { kind: "unchanged", etag: current, nextPollMs: every };
    }
    try {
      const rendered = await pusher().render(id);
      if (rendered === undefined || !mayPush()) return this.#notNow();
      const { headers, body, manifest } = rendered;
      const rendersEtag = etagOf(headers["coxswain-fence"] ?? "", manifest);
      const base64 = body.toString("base64");
      return { kind: "sync", headers, body: base64, etag: rendersEtag, nextPollMs: every };
    } catch (error) {
      // Contents cannot be read now: this node's own trouble.
      if (isCoxswainError(error)) return this.#notNow();
      throw error;
    }
  }

  #take(id: HostId, partition: number, reply: ReportedReply): ReportReply {
    const refused = this.#refusedHost(id, partition, ["poll", "object"]);
    if (refused !== undefined) return { kind: refused };
    const taken = this.#ports.pusher().reported(id, reply);
    return taken === undefined ? this.#notNow() : { kind: "taken", needsSync: taken.needsSync };
  }

  async #passReport(id: HostId, partition: number, reply: ReportedReply): Promise<ReportReply> {
    const fleetUrl = this.#peerOf(partition);
    if (fleetUrl === undefined) return this.#notNow();
    try {
      const { status, body } = reply;
      const ask = { host: id, status, body: body.toString() };
      return await this.#ports.peers.call(fleetUrl, "report", ask, relayTimeoutMs);
    } catch (error) {
      // The host reports again with its next poll.
      if (isCoxswainError(error)) return this.#notNow();
      throw error;
    }
  }

  /** A mode that the record does not list is none that the host may fall back to, nor is one without a proof. */
  #refusedHost(
    id: HostId,
    partition: number,
    needed: readonly HostMode[],
  ): "unknownHost" | "unproven" | undefined {
    const record = this.#ports.slice().record(partition, id);
    if (record === undefined || !needed.some((mode) => record.modes.includes(mode))) {
      return "unknownHost";
    }
    const isDialledSafely = isDialled(record.modes) && record.address.startsWith("https:");
    return isDialledSafely && this.#ports.options.hostSecretFile === "" ? "unproven" : undefined;
  }

  /** Where another node owns the partition: its fleet address. */
  #peerOf(partition: number): string | undefined {
    const { slice, slot } = this.#ports;
    const owner = slice().placement.ownerOf(partition);
    if (owner === slot) return undefined;
    return slice().view.members.find((member) => member.slot === owner)?.fleetUrl;
  }

  #refused(reason: RefusalReason): Extract<PollReply, { kind: "busy" }> {
    this.#count(reason);
    return this.#notNow();
  }

  #notNow(): { kind: "busy"; retryAfterMs: number } {
    return { kind: "busy", retryAfterMs: this.#queue.retryAfterMs(this.#ports.random.next()) };
  }

  #count(outcome: PollReply["kind"] | RefusalReason): void {
    this.#ports.metrics.pollsTotal.labels({ outcome }).inc();
  }

  get #lagMs(): number {
    return this.#ports.lagMs?.() ?? 0;
  }
}

function etagOf(fence: string, manifest: string): string {
  return `"${fence}/${manifest}"`;
}
