/**
 * A fleet in memory for the pusher's tests: hosts that follow the protocol and take orders to fail,
 * a transport on virtual time that counts what is under way, and a pusher with everything around it.
 */
import assert from "node:assert/strict";
import { gunzipSync } from "node:zlib";
import { silentLogger } from "../kernel/log.ts";
import { ManualClock } from "../kernel/manual-clock.ts";
import { createMetrics } from "../kernel/metrics.ts";
import { createRandom } from "../kernel/random.ts";
import type { HostId } from "../inventory/host.ts";
import { digestOf, manifestDigestOf, type Digest } from "../protocol/digest.ts";
import { formatFence, goesBack, parseFence, type Fence } from "../protocol/fence.ts";
import type { Manifest } from "../protocol/manifest.ts";
import { syncRequestSchema, type HeldConfig } from "../protocol/sync.ts";
import { emptyView } from "../ring/view.ts";
import type { HostCheckpoint } from "./host-checkpoint.ts";
import { createHostTransport } from "./host-transport.ts";
import { failed } from "./http-exchange.ts";
import type { FailureClass, ExchangeRequest, ExchangeResult, Transport } from "./transport.ts";
import { defaultPushOptions, type PushOptions } from "./push-options.ts";
import type { PushReason } from "./push-ports.ts";
import { createPusher, type PushTarget } from "./pusher.ts";

/** An agent in memory, as the protocol describes it, with faults to order. */
export class FakeHost {
  readonly id: HostId;
  held = new Map<string, string>();
  stored = new Set<string>();
  fence: Fence = { generation: 0, fleet: 0, host: 0 };
  boot = "boot-1";
  viewSeen = "0";
  latencyMs = 5;
  /** Instead of an answer. */
  fault: FailureClass | { readonly status: number; readonly retryAfterMs?: number } | undefined;
  /** Digests that its check refuses. */
  readonly refused = new Set<string>();
  /** Who answers, where that is another host. */
  answersAs: string | undefined;
  readonly requests: { atMs: number; isFull: boolean; contents: number; fence: string }[] = [];

  constructor(id: HostId) {
    this.id = id;
  }

  get manifest(): Digest {
    return manifestDigestOf([...this.held].map(([name, digest]) => ({ name, digest })));
  }

  answer(request: ExchangeRequest, atMs: number): ExchangeResult {
    const bytes = request.body ?? Buffer.alloc(0);
    const isGzip = request.headers["content-encoding"] === "gzip";
    const sync = syncRequestSchema.parse(JSON.parse(String(isGzip ? gunzipSync(bytes) : bytes)));
    const fenceText = request.headers["coxswain-fence"] ?? "";
    const contents = sync.configs?.filter(({ content }) => content !== undefined).length ?? 0;
    this.requests.push({ atMs, isFull: sync.configs !== undefined, contents, fence: fenceText });
    if (typeof this.fault === "string") {
      const sent = this.fault === "ambiguous";
      return { kind: "failed", failure: this.fault, message: this.fault, sent };
    }
    if (this.fault !== undefined) {
      const { status, retryAfterMs } = this.fault;
      return { kind: "reply", status, retryAfterMs, body: Buffer.alloc(0) };
    }
    const fence = parseFence(fenceText) ?? this.fence;
    if (goesBack(this.fence, fence)) return this.#reply(409, []);
    this.fence = fence;
    if (sync.configs === undefined) return this.#reply(200, []);
    const results = sync.configs.map(({ name, digest, content }): HeldConfig => {
      if (content !== undefined) this.stored.add(digest);
      if (this.held.get(name) === digest) return { name, result: "unchanged" };
      if (!this.stored.has(digest)) return { name, result: "missing" };
      if (this.refused.has(digest)) return { name, result: "rejected", message: "no" };
      this.held.set(name, digest);
      return { name, result: "applied" };
    });
    for (const name of this.held.keys()) {
      if (!sync.configs.some((config) => config.name === name)) this.held.delete(name);
    }
    return this.#reply(200, results);
  }

  #reply(status: number, results: HeldConfig[]): ExchangeResult {
    const configs = [...this.held].map(([name, digest]) => ({
      result: "unchanged",
      ...results.find((result) => result.name === name),
      name,
      digest,
    }));
    const others = results.filter(({ name }) => !this.held.has(name));
    const body = JSON.stringify({
      host: this.answersAs ?? this.id,
      boot: this.boot,
      agent: "fake/1",
      fence: formatFence(this.fence),
      view: this.viewSeen,
      manifest: this.manifest,
      configs: [...configs, ...others],
    });
    return { kind: "reply", status, retryAfterMs: undefined, body: Buffer.from(body) };
  }
}

/** Hosts by origin; counts what is under way. */
class FakeTransport implements Transport {
  readonly socketCount = 0;
  readonly clock: ManualClock;
  readonly hosts = new Map<string, FakeHost>();
  readonly dropped: string[] = [];
  readonly underWay = new Map<string, number>();
  mostPerHost = 0;
  mostAtOnce = 0;

  constructor(clock: ManualClock) {
    this.clock = clock;
  }

  async exchange(request: ExchangeRequest): Promise<ExchangeResult> {
    const host = this.hosts.get(request.origin);
    if (host === undefined) {
      return { kind: "failed", failure: "refused", message: "nobody", sent: false };
    }
    this.#count(host.id, 1);
    await this.clock.sleep(Math.min(host.latencyMs, request.deadlineMs));
    this.#count(host.id, -1);
    if (host.latencyMs > request.deadlineMs) {
      return { kind: "failed", failure: "ambiguous", message: "deadline", sent: true };
    }
    return host.answer(request, this.clock.monotonicMs());
  }

  drop(origin: string): void {
    this.dropped.push(origin);
  }

  #count(id: string, by: number): void {
    const count = (this.underWay.get(id) ?? 0) + by;
    this.underWay.set(id, count);
    this.mostPerHost = Math.max(this.mostPerHost, count);
    let all = 0;
    for (const each of this.underWay.values()) all += each;
    this.mostAtOnce = Math.max(this.mostAtOnce, all);
  }
}

const running: { stop(): Promise<void> }[] = [];

const addressOf = (id: string) => `http://${id}:1`;

/** A started pusher over an empty fleet; `stopAll` ends it. */
export function setUp(options: Partial<PushOptions> = {}) {
  const clock = new ManualClock();
  const transport = new FakeTransport(clock);
  const contents = new Map<Digest, Uint8Array>();
  const metrics = createMetrics();
  const log: string[] = [];
  /** Hosts that have opened a connection. */
  const links = new Map<string, FakeHost>();
  /** What was laid ready, as `host fence`. */
  const offered: string[] = [];
  /** What was laid ready for hosts that are reached in another way. */
  const kept: string[] = [];
  const state = { mayPush: true, contentsMs: 0, areOffersDown: false };
  const pusher = createPusher(
    {
      clock,
      random: createRandom("pusher"),
      transport: createHostTransport({
        sockets: transport,
        links: {
          exchange: (request, { host }) => {
            const linked = links.get(host);
            return linked && Promise.resolve(linked.answer(request, clock.monotonicMs()));
          },
          linkCount: 0,
        },
        offers: {
          offer: async ({ host, fence }) => {
            offered.push(`${host} ${formatFence(fence)}`);
            if (state.areOffersDown) return failed("offers", "down", false);
            return { kind: "offered" };
          },
          keep: ({ host, fence }) => kept.push(`${host} ${formatFence(fence)}`),
        },
      }),
      contents: async (digest) => {
        if (state.contentsMs > 0) await clock.sleep(state.contentsMs);
        const bytes = contents.get(digest);
        if (bytes === undefined) throw new Error("gone");
        return bytes;
      },
      log: silentLogger,
      metrics,
      mayPush: () => state.mayPush,
    },
    { cluster: "c1", node: "n1", view: () => emptyView },
    { ...defaultPushOptions, ...options },
    {
      onStatus: (id) => log.push(`status ${id}`),
      onStale: (id, fence) => log.push(`stale ${id} ${fence ? formatFence(fence) : "?"}`),
      onNewerView: (version) => log.push(`view ${version}`),
      onReachability: (id, from, to) => log.push(`reach ${id} ${from}>${to}`),
      onDrift: (id) => log.push(`drift ${id}`),
    },
  );
  running.push({
    stop: async () => {
      const stopping = pusher.stop();
      await clock.advance(60_000);
      await stopping;
      assert.equal(clock.timerCount, 0, "Expected a stopped pusher to leave no timer");
    },
  });
  let fleet = 0;
  const release = (text: string): Manifest => {
    const bytes = Buffer.from(text);
    contents.set(digestOf(bytes), bytes);
    const configs = [{ name: "app.conf", digest: digestOf(bytes) }];
    return { digest: manifestDigestOf(configs), configs };
  };
  const host = (id: string): FakeHost => {
    const made = new FakeHost(id as HostId);
    transport.hosts.set(addressOf(id), made);
    return made;
  };
  const target = (of: FakeHost, manifest: Manifest, parts: Partial<PushTarget> = {}) => ({
    id: of.id,
    address: addressOf(of.id),
    fence: { generation: 1, fleet: ++fleet, host: 1 },
    manifest,
    ...parts,
  });
  const push = (
    of: FakeHost,
    manifest: Manifest,
    reason: PushReason = "change",
    known?: HostCheckpoint,
  ) => pusher.upsert(target(of, manifest), reason, known);
  const metric = async (name: string) =>
    (await metrics.registry.getSingleMetric(`coxswain_${name}`)?.get())?.values ?? [];
  pusher.start();
  const shown = { log, links, offered, kept, state, contents };
  return { clock, transport, pusher, ...shown, release, host, target, push, metric };
}

/** Hosts `prefix0`, `prefix1`… that answer in 5 ms. */
export const manyHosts = (set: ReturnType<typeof setUp>, count: number, prefix = "h") =>
  Array.from({ length: count }, (_, index) => set.host(`${prefix}${index}`));

/** Stops every pusher of the test; fails where one leaves a timer behind. */
export async function stopAll(): Promise<void> {
  for (const each of running.splice(0)) await each.stop();
}
