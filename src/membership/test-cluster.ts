/**
 * A cluster in one test: several memberships over one memory store and one virtual clock.
 *
 * Each node has its own clock and store behind gates, so that it can be killed (nothing of it runs
 * again, its address refuses), frozen (its timers and answers wait until it is thawed) or cut off.
 */
import { sleepWith, type Clock } from "../kernel/clock.ts";
import { CoxswainError } from "../kernel/errors.ts";
import { silentLogger } from "../kernel/log.ts";
import { ManualClock } from "../kernel/manual-clock.ts";
import { createMetrics } from "../kernel/metrics.ts";
import { createRandom } from "../kernel/random.ts";
import { MemoryStore } from "../store/memory-store.ts";
import type { Store } from "../store/store.ts";
import type { MemberProgress } from "./member.ts";
import { createMembership, type Membership } from "./membership.ts";
import { membershipDefaults, type MembershipOptions } from "./options.ts";
import { ensureView, readView } from "./view-store.ts";

type NodeState = "running" | "frozen" | "gone";

/** Callbacks wait while the node is frozen and are dropped once it is gone. */
class GatedClock implements Clock {
  readonly #inner: ManualClock;
  readonly #wallOffsetMs: number;
  readonly #cancels = new Set<() => void>();
  #waiting: (() => void)[] = [];
  state: NodeState = "running";

  constructor(inner: ManualClock, wallOffsetMs: number) {
    this.#inner = inner;
    this.#wallOffsetMs = wallOffsetMs;
  }

  monotonicMs(): number {
    return this.#inner.monotonicMs();
  }

  wallMs(): number {
    return this.#inner.wallMs() + this.#wallOffsetMs;
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return sleepWith(this, delayMs, signal);
  }

  after(delayMs: number, callback: () => void): () => void {
    let isCancelled = false;
    const run = () => {
      if (!isCancelled) callback();
    };
    const cancelInner = this.#inner.after(delayMs, () => {
      this.#cancels.delete(cancel);
      this.whenRunning(run);
    });
    const cancel = () => {
      isCancelled = true;
      cancelInner();
      this.#cancels.delete(cancel);
    };
    this.#cancels.add(cancel);
    return cancel;
  }

  whenRunning(callback: () => void): void {
    if (this.state === "running") callback();
    else if (this.state === "frozen") this.#waiting.push(callback);
  }

  become(state: NodeState): void {
    this.state = state;
    const waiting = this.#waiting;
    this.#waiting = [];
    if (state === "running") for (const callback of waiting) callback();
    if (state === "gone") for (const cancel of this.#cancels) cancel();
  }
}

export class TestNode {
  readonly slot: string;
  readonly membership: Membership;
  readonly clock: GatedClock;
  readonly metrics = createMetrics();
  /** What every store call of this node meets. */
  storeState: "reachable" | "failing" | "hanging" | "readOnly" = "reachable";
  /** Whether it can write back what a lost table lacks, and the rules it knows. */
  canRestore = true;
  fleetRevision = 7;
  /** What it reports of its pushing. */
  pushes = 0;
  queued = 0;
  /** Time to load a view before it is reported as seen. */
  loadMs = 0;
  /** False for a process that beats before its address answers. */
  isListening = true;
  readonly #cluster: TestCluster;
  #loaded: Pick<MemberProgress, "viewSeen" | "placementHash"> = {
    viewSeen: null,
    placementHash: null,
  };

  constructor(cluster: TestCluster, slot: string, seed: string) {
    this.slot = slot;
    this.#cluster = cluster;
    this.clock = new GatedClock(cluster.clock, cluster.wallOffsetsMs.get(slot) ?? 0);
    const fleetUrl = urlOf(slot);
    this.membership = createMembership(
      {
        store: this.#gatedStore(cluster.store),
        clock: this.clock,
        random: createRandom(`${seed}/${slot}`),
        log: silentLogger,
        metrics: this.metrics,
        probe: (url) => cluster.probe(url, this.clock),
        hintPeers: (urls) => cluster.hint(urls),
      },
      { slot, weight: 1, zone: "", url: fleetUrl, fleetUrl },
      cluster.options,
    );
    this.membership.subscribe(({ view, self, isStoreBehind }) => {
      const { generation, version } = view;
      if (isStoreBehind && this.canRestore) {
        const { fleetRevision } = this;
        this.membership.restored({ view: { generation, version }, fleetRevision });
      }
      cluster.placements.push(view.members.map((member) => `${member.slot}${member.state}`).join());
      cluster.note(`${slot} ${self.status} i${self.incarnation} v${version}`);
      const load = () => {
        this.#loaded = { viewSeen: { generation, version }, placementHash: `hash-${version}` };
        this.report();
      };
      if (this.loadMs === 0) load();
      else if (self.status !== "left" && self.status !== "replaced") {
        this.clock.after(this.loadMs, load);
      }
    });
  }

  /** What a node reports each second, in its present state. */
  report(): void {
    const { pushes, queued } = this;
    this.membership.report({ ...this.#loaded, hosts: 1, pushes, queued });
  }

  start(): Promise<void> {
    return this.membership.start(new AbortController().signal);
  }

  /** SIGKILL: nothing of it runs again and its address refuses connections. */
  kill(): void {
    this.clock.become("gone");
  }

  freeze(): void {
    this.clock.become("frozen");
  }

  thaw(): void {
    this.clock.become("running");
  }

  /** The first value of a gauge of this node. */
  async gauge(name: string): Promise<number> {
    const metrics = await this.metrics.registry.getMetricsAsJSON();
    const values = metrics.find((metric) => metric.name === name)?.values ?? [];
    return values[0]?.value ?? Number.NaN;
  }

  get status(): string {
    return this.membership.snapshot().self.status;
  }

  #gatedStore(inner: Store): Store {
    const gate = async <T>(isWrite: boolean, call: () => Promise<T>): Promise<T> => {
      await this.#pass();
      if (this.storeState === "hanging") return new Promise<T>(() => {});
      if (this.storeState === "failing" || (isWrite && this.storeState === "readOnly")) {
        throw new CoxswainError("STORE_UNAVAILABLE", "The test cut the store off");
      }
      const result = await call();
      await this.#pass();
      return result;
    };
    return {
      get: (key) => gate(false, () => inner.get(key)),
      getMany: (several) => gate(false, () => inner.getMany(several)),
      query: (pk, options) => gate(false, () => inner.query(pk, options)),
      put: (item, conditions) => gate(true, () => inner.put(item, conditions)),
      update: (key, change, conditions) => gate(true, () => inner.update(key, change, conditions)),
      delete: (key, conditions) => gate(true, () => inner.delete(key, conditions)),
      increment: (key, attribute, by) => gate(true, () => inner.increment(key, attribute, by)),
      close: () => inner.close(),
    };
  }

  /** Half a round trip; a frozen node's answers wait, a dead node's never come. */
  async #pass(): Promise<void> {
    await this.#cluster.clock.sleep(this.#cluster.latencyMs / 2);
    await new Promise<void>((resolve) => {
      this.clock.whenRunning(resolve);
    });
  }
}

export class TestCluster {
  readonly store = new MemoryStore();
  readonly clock = new ManualClock();
  readonly options: MembershipOptions;
  readonly nodes = new Map<string, TestNode>();
  /** Offset of each node's wall clock, by slot. */
  readonly wallOffsetsMs: ReadonlyMap<string, number>;
  latencyMs = 10;
  /** Hints sent so far, by all nodes. */
  hintCount = 0;
  /** Probes under way, by address asked, and the most there ever were at once of one. */
  readonly #probesCount = new Map<string, number>();
  probesCountMax = 0;
  /** What the members of every snapshot were: placement is a function of these. */
  readonly placements: string[] = [];
  /** One line for every change of what a node sees. */
  readonly transcript: string[] = [];
  readonly #seed: string;

  constructor(
    settings: {
      readonly seed?: string;
      readonly options?: Partial<MembershipOptions>;
      readonly wallOffsetsMs?: ReadonlyMap<string, number>;
    } = {},
  ) {
    this.options = { ...membershipDefaults, ...settings.options };
    this.wallOffsetsMs = settings.wallOffsetsMs ?? new Map();
    this.#seed = settings.seed ?? "seed";
  }

  /** A node that is built but not started; an earlier one of the slot is forgotten. */
  add(slot: string, life = 1): TestNode {
    const node = new TestNode(this, slot, `${this.#seed}/${life}`);
    this.nodes.set(slot, node);
    return node;
  }

  node(slot: string): TestNode {
    const node = this.nodes.get(slot);
    if (node === undefined) throw new Error(`No node ${slot}`);
    return node;
  }

  /** Starts nodes at the same moment and waits until all are active. */
  async form(slots: readonly string[]): Promise<void> {
    await ensureView(this.store);
    const started = slots.map((slot) => this.add(slot).start());
    await this.until(() => slots.every((slot) => this.node(slot).status === "active"), 10_000);
    await Promise.all(started);
    await this.clock.advance(2_000);
  }

  /** Advances step by step until `isDone`; returns the time it took; throws after `maxMs`. */
  async until(
    isDone: () => boolean | Promise<boolean>,
    maxMs: number,
    stepMs = 10,
  ): Promise<number> {
    for (let elapsedMs = 0; elapsedMs <= maxMs; elapsedMs += stepMs) {
      if (await isDone()) return elapsedMs;
      await this.clock.advance(stepMs);
    }
    throw new Error(`Not reached within ${maxMs} ms`);
  }

  async storedSlots(): Promise<string[]> {
    return ((await readView(this.store))?.members ?? []).map((member) => member.slot);
  }

  async storedVersion(): Promise<number | undefined> {
    return (await readView(this.store))?.version;
  }

  async stop(): Promise<void> {
    const stopped = [...this.nodes.values()]
      .filter((node) => node.clock.state === "running")
      .map((node) => node.membership.stop());
    await this.clock.advance(1_000);
    await Promise.all(stopped);
  }

  async probe(url: string, clock: Clock): Promise<"answered" | "refused" | "unknown"> {
    const count = (this.#probesCount.get(url) ?? 0) + 1;
    this.#probesCount.set(url, count);
    this.probesCountMax = Math.max(this.probesCountMax, count);
    await clock.sleep(1);
    const answer = await this.#answer(url, clock);
    this.#probesCount.set(url, (this.#probesCount.get(url) ?? 0) - 1);
    return answer;
  }

  async #answer(url: string, clock: Clock): Promise<"answered" | "refused" | "unknown"> {
    const target = [...this.nodes.values()].find((node) => urlOf(node.slot) === url);
    if (target === undefined || !target.isListening || target.clock.state === "gone") {
      return "refused";
    }
    if (target.clock.state === "running") return "answered";
    await clock.sleep(this.options.probeTimeoutMs - 10);
    return "unknown";
  }

  hint(urls: readonly string[]): void {
    this.hintCount++;
    for (const node of this.nodes.values()) {
      if (!urls.includes(urlOf(node.slot))) continue;
      if (node.clock.state === "running") node.membership.wake();
    }
  }

  note(line: string): void {
    if (this.transcript.at(-1)?.endsWith(` ${line}`) !== true) {
      this.transcript.push(`${this.clock.monotonicMs()} ${line}`);
    }
  }
}

function urlOf(slot: string): string {
  return `http://${slot}.test`;
}
