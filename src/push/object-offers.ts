/**
 * Lays ready, in an object store, what hosts should hold: contents, then manifests, then pointers.
 *
 * Whatever a pointer names was written before it. A pointer is replaced only by one with a newer fence,
 * and only as it was read (a lost race is read again), so an owner of yesterday cannot take back what
 * the owner of today wrote; a host that were to read an old one would refuse it all the same. What was
 * written is remembered and looked at again within an hour, which mends a store that lost something.
 * A store that fails rests: meanwhile every offer fails at once, so that hosts which are pushed to
 * wait for no deadline, and no host is blamed.
 */
import type { Clock } from "../kernel/clock.ts";
import { isCoxswainError, messageOf } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";
import type { Metrics } from "../kernel/metrics.ts";
import {
  conditionCheckKey,
  contentKey,
  decodePointer,
  encodeContent,
  encodeManifest,
  encodePointer,
  manifestKey,
  pointerKey,
  type HostPointer,
} from "../objects/object-layout.ts";
import type { ObjectStore, PutCondition } from "../objects/object-store.ts";
import type { Digest } from "../protocol/digest.ts";
import { equalFences, formatFence, goesBack, type Fence } from "../protocol/fence.ts";
import { limits } from "../protocol/limits.ts";
import type { Manifest } from "../protocol/manifest.ts";
import { ByteLru } from "./byte-lru.ts";
import { failed } from "./http-exchange.ts";
import type { HostOffers } from "./host-transport.ts";
import type { LeftReports } from "./left-reports.ts";
import type { ExchangeResult, HostRoute } from "./transport.ts";

export interface ObjectOffersPorts {
  readonly objects: ObjectStore;
  /** Bytes of a content; rejects where they cannot be read now. */
  readonly contents: (digest: Digest) => Promise<Uint8Array>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Pick<Metrics, "objectWritesTotal">;
  /** Reads what hosts leave there, at the pace of the offers. */
  readonly reports?: Pick<LeftReports, "look" | "stop"> | undefined;
  /** Version of the view that this node holds. */
  readonly view: () => number;
  /** Hosts of the whole fleet, about: their polls share one store. */
  readonly fleetHosts: () => number;
}

export interface ObjectOffersOptions {
  readonly cluster: string;
  readonly node: string;
  /** What hosts are told to wait between two polls, unless the fleet is too large for it. */
  readonly pollMs: number;
}

/** S3 carries 5,500 reads a second below one prefix. */
const readsPerSecondMax = 5_000;
/** Three polls fit into the time after which a silent host counts as unreachable. */
const pollMaxMs = 5 * 60_000;
const deadlineMs = 10_000;
const recheckMs = 60 * 60_000;
/**
 * At 20 ms a call these are 400 hosts a second. More would only delay beats: the SDK takes 1 to 4 ms of CPU a
 * host on the same event loop. The rest of a larger wave comes back at the pace of retries.
 */
const underWayMax = 16;
/** Offers for hosts that are reached in a better way leave room for those that are not. */
const keptUnderWayMax = 4;
const restMinMs = 1_000;
const restMaxMs = 30_000;
const racesMax = 3;
const rememberedHostsMax = 100_000;
const rememberedDigestsMax = 10_000;

interface Lying {
  readonly fence: Fence;
  readonly manifest: Digest;
  readonly untilMs: number;
}

const lying: ExchangeResult = { kind: "offered" };
const notNow = (message: string): ExchangeResult => failed("offers", message, false);

export class ObjectOffers implements HostOffers {
  readonly #ports: ObjectOffersPorts;
  readonly #options: ObjectOffersOptions;
  readonly #pointers = new ByteLru<Lying>(rememberedHostsMax);
  /** Sizes of what was written, by key. */
  readonly #written = new ByteLru<{ size: number; untilMs: number }>(rememberedDigestsMax);
  readonly #writing = new Map<string, Promise<number>>();
  readonly #underWay = new Set<Promise<ExchangeResult>>();
  readonly #stopping = new AbortController();
  #restMs = 0;
  #restUntilMs = -Infinity;
  #isConditionChecked = false;

  constructor(ports: ObjectOffersPorts, options: ObjectOffersOptions) {
    this.#ports = ports;
    this.#options = options;
  }

  offer(route: HostRoute): Promise<ExchangeResult> {
    if (this.#isLying(route)) {
      this.#ports.reports?.look(route);
      return Promise.resolve(lying);
    }
    return this.#start(route, underWayMax, true);
  }

  keep(route: HostRoute, isReached: boolean): void {
    if (!this.#isLying(route)) void this.#start(route, keptUnderWayMax, !isReached);
    else if (!isReached) this.#ports.reports?.look(route);
  }

  /** Aborts what is under way and waits for its end. Idempotent. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error("the node is stopping"));
    await Promise.all([...this.#underWay, this.#ports.reports?.stop()]);
  }

  /** What hosts are told to wait: longer where the whole fleet's polls would be too many. */
  nextPollMs(): number {
    const spreadMs = Math.ceil((this.#ports.fleetHosts() / readsPerSecondMax) * 1_000);
    return Math.min(pollMaxMs, Math.max(this.#options.pollMs, spreadMs));
  }

  #isLying({ host, fence, manifest }: HostRoute): boolean {
    const known = this.#pointers.get(host);
    return (
      known !== undefined &&
      known.manifest === manifest.digest &&
      equalFences(known.fence, fence) &&
      this.#ports.clock.monotonicMs() < known.untilMs
    );
  }

  #start(route: HostRoute, max: number, isWordWanted: boolean): Promise<ExchangeResult> {
    const isFailing = this.#restMs > 0;
    const isResting = this.#ports.clock.monotonicMs() < this.#restUntilMs;
    // After its rest a store that failed is asked by one, before all others ask again.
    const isFull = this.#underWay.size >= (isFailing ? 1 : max);
    if (this.#stopping.signal.aborted) return Promise.resolve(notNow("the node is stopping"));
    if (isResting) return Promise.resolve(notNow("the object store failed and rests"));
    if (isFull) return Promise.resolve(notNow("the object store has enough to do"));
    const started = this.#attempt(route).finally(() => {
      this.#underWay.delete(started);
      // A store that just failed is asked for nothing else.
      if (isWordWanted && this.#restMs === 0) this.#ports.reports?.look(route);
    });
    this.#underWay.add(started);
    return started;
  }

  async #attempt(route: HostRoute): Promise<ExchangeResult> {
    const { clock, log } = this.#ports;
    const deadline = new AbortController();
    const cancel = clock.after(deadlineMs, () => {
      deadline.abort(new Error(`not written within ${deadlineMs} ms`));
    });
    const signal = AbortSignal.any([this.#stopping.signal, deadline.signal]);
    try {
      await this.#writeManifest(route.manifest, signal);
      const result = await this.#writePointer(route, signal);
      if (this.#restMs > 0) log.info({}, "object store works again");
      this.#restMs = 0;
      return result;
    } catch (error) {
      const isStore = isCoxswainError(error, "OBJECTS_UNAVAILABLE", "OBJECTS_DENIED");
      if (isStore || deadline.signal.aborted) this.#rest(messageOf(error));
      return notNow(messageOf(error));
    } finally {
      cancel();
    }
  }

  #rest(message: string): void {
    if (this.#restMs === 0) this.#ports.log.warn({ error: message }, "object store fails");
    const atMs = this.#ports.clock.monotonicMs();
    // Many fail together: one outage is one step.
    if (atMs < this.#restUntilMs) return;
    this.#restMs = Math.min(restMaxMs, Math.max(restMinMs, this.#restMs * 2));
    this.#restUntilMs = atMs + this.#restMs;
  }

  async #writeManifest({ digest, configs }: Manifest, signal: AbortSignal): Promise<void> {
    const { cluster } = this.#options;
    await this.#writeOnce(manifestKey(cluster, digest), "manifest", async () => {
      const entries = [];
      for (const config of configs) {
        const size = await this.#writeContent(config.digest, signal);
        entries.push({ ...config, size });
      }
      const bytes = encodeManifest(digest, entries);
      await this.#put("manifest", manifestKey(cluster, digest), bytes, signal);
      return bytes.length;
    });
  }

  #writeContent(digest: Digest, signal: AbortSignal): Promise<number> {
    const key = contentKey(this.#options.cluster, digest);
    return this.#writeOnce(key, "content", async () => {
      const content = await this.#ports.contents(digest);
      await this.#put("content", key, encodeContent(content), signal);
      return content.length;
    });
  }

  /** Hosts of one rollout want the same objects at the same moment: one of them writes. */
  async #writeOnce(
    key: string,
    kind: "manifest" | "content",
    write: () => Promise<number>,
  ): Promise<number> {
    const { clock } = this.#ports;
    const known = this.#written.get(key);
    if (known !== undefined && clock.monotonicMs() < known.untilMs) return known.size;
    const started = this.#writing.get(key);
    if (started !== undefined) return started;
    const writing = write().finally(() => this.#writing.delete(key));
    this.#writing.set(key, writing);
    const size = await writing;
    // When a manifest is written again, so are its contents: their time is over first.
    const untilMs = clock.monotonicMs() + (kind === "manifest" ? recheckMs : recheckMs / 2);
    this.#written.set(key, { size, untilMs }, 1);
    return size;
  }

  async #writePointer(route: HostRoute, signal: AbortSignal): Promise<ExchangeResult> {
    const { cluster } = this.#options;
    await this.#checkConditions(signal);
    const key = pointerKey(cluster, route.host);
    for (let race = 1; race <= racesMax; race++) {
      const found = await this.#ports.objects.get(key, {
        bytesMax: limits.pointerBytesMax,
        signal,
      });
      const known =
        found.kind === "value"
          ? decodePointer(found.bytes, { cluster, host: route.host })
          : undefined;
      const verdict = judgePointer(known, route);
      if (verdict !== "write") return this.#leave(verdict, known, route);
      if (found.kind === "tooLarge") return notNow("what lies there is no pointer");
      const condition: PutCondition =
        found.kind === "value" ? { kind: "ifMatch", etag: found.etag } : { kind: "ifAbsent" };
      const isWritten = await this.#put("pointer", key, this.#encode(route), signal, condition);
      if (isWritten) return this.#remember(route);
    }
    return notNow("others write the same pointer");
  }

  #leave(
    verdict: "lies" | "newer" | "conflict",
    known: HostPointer | string | undefined,
    route: HostRoute,
  ): ExchangeResult {
    if (verdict === "lies") return this.#remember(route);
    const lies = typeof known === "object" ? formatFence(known.fence) : "";
    if (verdict === "newer") return notNow(`fence ${lies} lies there already`);
    const { host, manifest } = route;
    const fields = { host, fence: lies, manifest: manifest.digest };
    this.#ports.log.error(fields, "integrity: one fence with two manifests");
    return notNow(`fence ${lies} lies there with another manifest`);
  }

  #remember({ host, fence, manifest }: HostRoute): ExchangeResult {
    const untilMs = this.#ports.clock.monotonicMs() + recheckMs;
    this.#pointers.set(host, { fence, manifest: manifest.digest, untilMs }, 1);
    return lying;
  }

  #encode({ host, fence, manifest }: HostRoute): Uint8Array {
    const { cluster, node } = this.#options;
    const view = this.#ports.view();
    const whose = { cluster, host, fence, view, node };
    return encodePointer({ ...whose, manifest: manifest.digest, nextPollMs: this.nextPollMs() });
  }

  /** A store that ignores conditions would let an older pointer replace a newer one: said once. */
  async #checkConditions(signal: AbortSignal): Promise<void> {
    if (this.#isConditionChecked) return;
    this.#isConditionChecked = true;
    const condition = { kind: "ifMatch", etag: `"${"0".repeat(32)}"` } as const;
    const key = conditionCheckKey(this.#options.cluster);
    try {
      const { kind } = await this.#ports.objects.put(key, new Uint8Array(), { condition, signal });
      if (kind === "written") {
        this.#ports.log.error({}, "object store ignores conditions of writes");
      }
    } catch (error) {
      this.#isConditionChecked = false;
      throw error;
    }
  }

  async #put(
    kind: "content" | "manifest" | "pointer",
    key: string,
    bytes: Uint8Array,
    signal: AbortSignal,
    condition?: PutCondition,
  ): Promise<boolean> {
    const { objects, metrics } = this.#ports;
    try {
      const outcome = await objects.put(key, bytes, { condition, signal });
      const isWritten = outcome.kind === "written";
      metrics.objectWritesTotal.labels({ kind, outcome: isWritten ? "written" : "refused" }).inc();
      return isWritten;
    } catch (error) {
      metrics.objectWritesTotal.labels({ kind, outcome: "failed" }).inc();
      throw error;
    }
  }
}

/** What to do about the pointer that lies there; text and undefined: there is none that can be read. */
function judgePointer(
  known: HostPointer | string | undefined,
  { fence, manifest }: HostRoute,
): "write" | "lies" | "newer" | "conflict" {
  if (typeof known !== "object") return "write";
  if (equalFences(known.fence, fence)) {
    return known.manifest === manifest.digest ? "lies" : "conflict";
  }
  return goesBack(known.fence, fence) ? "newer" : "write";
}
