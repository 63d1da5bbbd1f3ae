/**
 * Reads what hosts leave in the object store where no node hears them, at the pace at which they are
 * offered what they should hold.
 *
 * The object is a hint with one author, the host, and is believed as far as whoever may write the
 * store. It changes something only where it is new (a later serial of its process than the last one
 * read; the first one read by this node must be ahead of what was heard), does not go back behind
 * what was heard, answers nothing that was not wanted yet, and, where it refuses something, refuses what
 * is wanted now. Everything else is read and left. At most one conditional read a host and turn, a few
 * at once, fewer the longer nothing comes of it; a store that fails is left alone for a while.
 */
import type { Clock } from "../kernel/clock.ts";
import { messageOf } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";
import type { Metrics } from "../kernel/metrics.ts";
import type { HostId } from "../inventory/host.ts";
import { decodeStatus, statusKey, type LeftReport } from "../objects/object-layout.ts";
import type { ObjectReader } from "../objects/object-store.ts";
import { equalFences, formatFence, goesBack, parseFence } from "../protocol/fence.ts";
import { limits } from "../protocol/limits.ts";
import { ByteLru } from "./byte-lru.ts";
import { classifyReport, type LastWord, type ReportedReply } from "./fetching.ts";
import type { PushOutcome } from "./outcome.ts";
import type { HostRoute } from "./transport.ts";

export interface LeftReportsPorts {
  readonly objects: ObjectReader;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Pick<Metrics, "statusObjectsTotal">;
  /** What this node has heard of a host, and wants from it; undefined: not served here. */
  readonly lastWord: (id: HostId) => LastWord | undefined;
  readonly reported: (id: HostId, reply: ReportedReply) => void;
}

/** At 20 ms a read these are 400 hosts a second. */
const underWayMax = 8;
const deadlineMs = 10_000;
const restMs = 60_000;
/** A host that says nothing is asked at its next turn first, and within minutes at last. */
const quietMinMs = 1_000;
const quietMaxMs = 4 * 60_000;
const rememberedHostsMax = 100_000;

interface Known {
  /** Of the object that was read last; undefined: there was none. */
  readonly etag: string | undefined;
  readonly boot: string;
  readonly serial: number;
  /** What was wanted then. */
  readonly fence: string;
  readonly nextMs: number;
  readonly quietTurns: number;
}

export class LeftReports {
  readonly #ports: LeftReportsPorts;
  readonly #cluster: string;
  readonly #known = new ByteLru<Known>(rememberedHostsMax);
  readonly #underWay = new Map<string, Promise<void>>();
  readonly #stopping = new AbortController();
  #restUntilMs = -Infinity;
  #isFailing = false;

  constructor(ports: LeftReportsPorts, cluster: string) {
    this.#ports = ports;
    this.#cluster = cluster;
  }

  /** It is the host's turn: reads what it left, in the background, where a word of it is wanted. */
  look({ host, fence }: Pick<HostRoute, "host" | "fence">): void {
    const { clock, lastWord } = this.#ports;
    const atMs = clock.monotonicMs();
    if (this.#stopping.signal.aborted || atMs < this.#restUntilMs) return;
    if (this.#underWay.size >= underWayMax || this.#underWay.has(host)) return;
    const known = this.#known.get(host);
    if (known !== undefined) {
      if (lastWord(host as HostId)?.isWanted !== true) return;
      // After a change the host has something to say.
      if (known.fence === formatFence(fence) && atMs < known.nextMs) return;
    }
    const reading = this.#read(host as HostId, known).finally(() => this.#underWay.delete(host));
    this.#underWay.set(host, reading);
  }

  /** Aborts what is under way and waits for its end. Idempotent. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error("the node is stopping"));
    await Promise.all(this.#underWay.values());
  }

  /** Never rejects. */
  async #read(host: HostId, known: Known | undefined): Promise<void> {
    const { objects, clock, log } = this.#ports;
    const deadline = new AbortController();
    const cancel = clock.after(deadlineMs, () => {
      deadline.abort(new Error(`not read within ${deadlineMs} ms`));
    });
    const signal = AbortSignal.any([this.#stopping.signal, deadline.signal]);
    try {
      const key = statusKey(this.#cluster, host);
      const ifNoneMatch = known?.etag;
      const found = await objects.get(key, {
        bytesMax: limits.statusBytesMax,
        ifNoneMatch,
        signal,
      });
      if (this.#isFailing) log.info({}, "reports in the object store can be read again");
      this.#isFailing = false;
      if (this.#stopping.signal.aborted) return;
      if (found.kind !== "value") {
        const isGone = found.kind === "missing";
        this.#count(
          host,
          known,
          isGone ? undefined : known?.etag,
          isGone ? "missing" : "unchanged",
        );
      } else this.#take(host, known, found);
    } catch (error) {
      if (this.#stopping.signal.aborted) return;
      if (!this.#isFailing) {
        log.warn({ error: messageOf(error) }, "reports in the object store cannot be read");
      }
      this.#isFailing = true;
      this.#restUntilMs = clock.monotonicMs() + restMs;
      this.#ports.metrics.statusObjectsTotal.labels({ outcome: "failed" }).inc();
    } finally {
      cancel();
    }
  }

  #take(
    host: HostId,
    known: Known | undefined,
    { bytes, etag }: { readonly bytes: Uint8Array; readonly etag: string },
  ): void {
    const word = this.#ports.lastWord(host);
    if (word === undefined) return;
    const left = decodeStatus(bytes, { cluster: this.#cluster, host });
    const reply = typeof left === "string" ? undefined : replyOf(left);
    const said = reply && classifyReport(reply, host, word.manifest);
    if (typeof left === "string" || said === undefined || !isMeaningful(said.kind)) {
      this.#count(host, known, etag, "ignored");
      return;
    }
    const { boot, serial } = left;
    const isTaken = isNews(left, said, known, word) && isInPlace(left, said, word);
    const isOlder = known?.boot === boot && serial <= known.serial;
    const seen = isOlder ? known : { boot, serial };
    this.#count(host, known, etag, isTaken ? "taken" : "ignored", seen);
    if (isTaken && reply !== undefined) this.#ports.reported(host, reply);
  }

  #count(
    host: HostId,
    known: Known | undefined,
    etag: string | undefined,
    outcome: "taken" | "unchanged" | "missing" | "ignored",
    seen: { readonly boot: string; readonly serial: number } | undefined = known,
  ): void {
    const { clock, metrics, lastWord } = this.#ports;
    metrics.statusObjectsTotal.labels({ outcome }).inc();
    const word = lastWord(host);
    if (word === undefined) return;
    const fence = formatFence(word.fence);
    const quietTurns = outcome === "taken" || known?.fence !== fence ? 0 : known.quietTurns + 1;
    const quietMs = Math.min(quietMaxMs, quietMinMs * 2 ** Math.min(quietTurns, 16));
    const nextMs = clock.monotonicMs() + quietMs;
    const { boot = "", serial = 0 } = seen ?? {};
    this.#known.set(host, { etag, boot, serial, fence, nextMs, quietTurns }, 1);
  }
}

function replyOf({ status, reply }: LeftReport): ReportedReply {
  return { status, body: Buffer.from(JSON.stringify(reply)) };
}

/** What a host that answers its pointer can say: no object puts a host into quarantine or out of reach. */
function isMeaningful(kind: PushOutcome["kind"]): boolean {
  return kind === "synced" || kind === "differs" || kind === "stale" || isVerdict(kind);
}

function isVerdict(kind: PushOutcome["kind"]): boolean {
  return (
    kind === "missing" ||
    kind === "rejected" ||
    kind === "failed" ||
    kind === "tooLarge" ||
    kind === "unprocessable"
  );
}

/** It was made after what this node has heard, as far as that can be told. */
function isNews(
  { boot, serial, fence }: LeftReport,
  { reply }: PushOutcome,
  known: Known | undefined,
  { heardFence, fence: wanted }: LastWord,
): boolean {
  if (known?.boot === boot && serial <= known.serial) return false;
  // Of a reply it is the host's own fence, as it was heard before; of a refusal, the pointer's.
  const said = (reply && parseFence(reply.fence)) ?? fence;
  // What is ahead of everything that was ever wanted is no measure: nothing true could pass it.
  if (heardFence === undefined || goesBack(heardFence, wanted)) return true;
  if (goesBack(heardFence, said)) return false;
  return known !== undefined || !equalFences(heardFence, said);
}

/** It answers something that was wanted, and refuses nothing but what is wanted now. */
function isInPlace(left: LeftReport, said: PushOutcome, { fence, manifest }: LastWord): boolean {
  if (goesBack(left.fence, fence)) return false;
  if (said.kind === "stale") return said.hostFence !== undefined && goesBack(said.hostFence, fence);
  return !isVerdict(said.kind) || left.manifest === manifest;
}
