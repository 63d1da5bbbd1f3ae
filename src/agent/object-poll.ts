/**
 * One look of a host at what lies for it in an object store, and what it makes of it.
 *
 * Everything is fetched and checked before the core hears of it, so a damaged, cut off, foreign or
 * missing object changes nothing. What is checked goes to the core as the sync that a node would have
 * sent: fence, apply and reload are the same in every mode. Where nothing is new, the short form makes
 * the core look at its files, which is what a node's sweep does for hosts that are pushed to.
 */
import type { Clock } from "../kernel/clock.ts";
import {
  contentKey,
  decodeContent,
  decodeManifest,
  decodePointer,
  manifestKey,
  pointerKey,
  type HostPointer,
  type ManifestEntry,
} from "../objects/object-layout.ts";
import type { ObjectReader } from "../objects/object-store.ts";
import type { Digest } from "../protocol/digest.ts";
import { equalFences, formatFence, goesBack, type Fence } from "../protocol/fence.ts";
import { limits } from "../protocol/limits.ts";
import { syncHeaders, type OfferedConfig, type SyncReply } from "../protocol/sync.ts";
import type { AgentCore, Held } from "./agent-core.ts";
import type { Answer } from "./sync-request.ts";

export type PollOutcome =
  | {
      /** The core's answer to what lies there; `isNews` where the host's owner should hear it soon. */
      readonly kind: "answered";
      readonly answer: Answer;
      readonly isNews: boolean;
      /** What was answered. */
      readonly pointer: HostPointer;
    }
  /** Nothing was changed. */
  | { readonly kind: "unusable"; readonly message: string };

export interface ObjectPollPorts {
  readonly clock: Clock;
  readonly core: AgentCore;
  readonly reader: ObjectReader;
}

interface Identity {
  readonly host: string;
  readonly cluster: string;
}

/** What came of a pointer that could not be applied whole. */
interface Settled {
  readonly fence: Fence;
  readonly manifest: Digest;
  readonly untilMs: number;
}

/** A full disk or a stuck reload may be over by then; a refused content is not. */
const failedRestMs = 5 * 60_000;
/** A compressed content is no longer than the content, or it is stored as it is. */
const contentObjectBytesMax = limits.contentBytesMax;

export class ObjectPoll {
  readonly #ports: ObjectPollPorts;
  readonly #identity: Identity;
  #known: { readonly pointer: HostPointer; readonly etag: string } | undefined;
  #settled: Settled | undefined;

  constructor(ports: ObjectPollPorts, identity: Identity) {
    this.#ports = ports;
    this.#identity = identity;
  }

  /** Rejects as the reader does. */
  async look(signal: AbortSignal): Promise<PollOutcome> {
    const { cluster, host } = this.#identity;
    const found = await this.#ports.reader.get(pointerKey(cluster, host), {
      bytesMax: limits.pointerBytesMax,
      ifNoneMatch: this.#known?.etag,
      signal,
    });
    if (found.kind === "notModified" && this.#known !== undefined) {
      return this.#take(this.#known.pointer, signal, false);
    }
    if (found.kind === "missing") return unusable("nothing lies there for this host");
    if (found.kind !== "value") return unusable("the pointer is too large");
    const pointer = decodePointer(found.bytes, this.#identity);
    if (typeof pointer === "string") return unusable(`the pointer cannot be used: ${pointer}`);
    const outcome = await this.#take(pointer, signal, true);
    // Only now: what could not be used yet is news when it can, although the pointer is the same.
    if (outcome.kind === "answered") this.#known = { pointer, etag: found.etag };
    return outcome;
  }

  async #take(pointer: HostPointer, signal: AbortSignal, isNew: boolean): Promise<PollOutcome> {
    const { clock, core } = this.#ports;
    const answered = (answer: Answer, isNews: boolean): PollOutcome =>
      answer.status === 503
        ? unusable("other syncs are waiting for this host")
        : { kind: "answered", answer, isNews, pointer };
    const isSettled = this.#isSettled(pointer, clock.monotonicMs());
    if (isSettled || isShortEnough(core.held(), pointer)) {
      const answer = await this.#sync(pointer, { manifest: pointer.manifest });
      const isHeld = heldBy(answer) === pointer.manifest;
      // A pointer that lags behind what was pushed is no news to anyone.
      if (answer.status !== 200) return answered(answer, false);
      if (isHeld || isSettled) return answered(answer, isNew);
    }
    const configs = await this.#fetch(pointer, signal);
    if (typeof configs === "string") return unusable(configs);
    const answer = await this.#sync(pointer, { manifest: pointer.manifest, configs });
    this.#settle(pointer, answer, clock.monotonicMs());
    return answered(answer, true);
  }

  /** The full form with every content that is not held, or why it cannot be had. */
  async #fetch(
    { manifest }: HostPointer,
    signal: AbortSignal,
  ): Promise<readonly OfferedConfig[] | string> {
    const { cluster } = this.#identity;
    const options = { bytesMax: limits.manifestBytesMax, signal };
    const found = await this.#ports.reader.get(manifestKey(cluster, manifest), options);
    if (found.kind !== "value") return `the manifest is ${found.kind}`;
    const entries = decodeManifest(found.bytes, manifest);
    if (entries === undefined) return "the manifest is damaged";
    const held = new Map(this.#ports.core.held().configs.map(({ name, digest }) => [name, digest]));
    const configs: OfferedConfig[] = [];
    for (const entry of entries) {
      const content =
        held.get(entry.name) === entry.digest ? undefined : await this.#content(entry, signal);
      if (typeof content === "string") return content;
      configs.push(content === undefined ? entry : withContent(entry, content));
    }
    return configs;
  }

  async #content(
    { name, digest }: ManifestEntry,
    signal: AbortSignal,
  ): Promise<Uint8Array | string> {
    const key = contentKey(this.#identity.cluster, digest);
    const options = { bytesMax: contentObjectBytesMax, signal };
    const found = await this.#ports.reader.get(key, options);
    if (found.kind !== "value") return `the content of ${name} is ${found.kind}`;
    return decodeContent(found.bytes, digest) ?? `the content of ${name} is damaged`;
  }

  #sync(pointer: HostPointer, body: object): Promise<Answer> {
    const { cluster, host, node, view, fence } = pointer;
    const headers = {
      [syncHeaders.cluster]: cluster,
      [syncHeaders.node]: node,
      [syncHeaders.view]: String(view),
      [syncHeaders.host]: host,
      [syncHeaders.fence]: formatFence(fence),
    };
    return this.#ports.core.handleSync({ headers, body, via: "object" });
  }

  #isSettled({ fence, manifest }: HostPointer, atMs: number): boolean {
    const settled = this.#settled;
    return (
      settled !== undefined &&
      settled.manifest === manifest &&
      equalFences(settled.fence, fence) &&
      atMs < settled.untilMs
    );
  }

  /** A refused content is not tried again while it is the one that is wanted; a failed one rests. */
  #settle({ fence, manifest }: HostPointer, answer: Answer, atMs: number): void {
    const results = answer.status === 200 ? (answer.body as SyncReply).configs : [];
    const isRejected = results.some(({ result }) => result === "rejected");
    const isHeld = heldBy(answer) === manifest;
    const untilMs = isRejected ? Infinity : atMs + failedRestMs;
    this.#settled = isHeld ? undefined : { fence, manifest, untilMs };
  }
}

/** True where nothing needs to be fetched, or the core will refuse it. */
function isShortEnough(held: Held, pointer: HostPointer): boolean {
  if (held.manifest === pointer.manifest) return true;
  return held.fence !== undefined && goesBack(held.fence, pointer.fence);
}

function heldBy({ status, body }: Answer): string | undefined {
  return status === 200 ? (body as SyncReply).manifest : undefined;
}

function withContent(entry: ManifestEntry, content: Uint8Array): OfferedConfig {
  const base64 = Buffer.from(content.buffer, content.byteOffset, content.length).toString("base64");
  return { ...entry, content: base64, encoding: "base64" };
}

function unusable(message: string): PollOutcome {
  return { kind: "unusable", message };
}
