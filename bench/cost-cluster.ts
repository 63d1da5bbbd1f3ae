/**
 * A cluster of the shipped nodes in this process, for what it costs the store: real node code with a
 * store client each, hosts that answer at once in memory, peers called directly.
 *
 * `real` runs on the system clock against DynamoDB's wire protocol; `virtual` on simulated time over a
 * store in memory, which is how a hundred nodes fit on one machine.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { parseHostId } from "../src/inventory/host.ts";
import { systemClock, type Clock } from "../src/kernel/clock.ts";
import { CoxswainError } from "../src/kernel/errors.ts";
import { silentLogger } from "../src/kernel/log.ts";
import { createMetrics } from "../src/kernel/metrics.ts";
import { resolveOptions } from "../src/kernel/options.ts";
import { createRandom } from "../src/kernel/random.ts";
import { ensureView } from "../src/membership/view-store.ts";
import { createNode, type Node } from "../src/node/node.ts";
import { nodeOptions } from "../src/node/options.ts";
import type { Peers } from "../src/node/peers.ts";
import { FakeHost } from "../src/push/fake-fleet.ts";
import type { ExchangeRequest, ExchangeResult, Transport } from "../src/push/transport.ts";
import { createTable } from "../src/store/create-table.ts";
import { MemoryStore } from "../src/store/memory-store.ts";
import { initialiseCluster, type Meta } from "../src/store/meta.ts";
import { openStore, withDefaults } from "../src/store/open-store.ts";
import type { Store } from "../src/store/store.ts";
import { ProcessClock } from "../sim/process-clock.ts";
import { Timeline } from "../sim/timeline.ts";
import { CountedStore, UnitCounts } from "./counted-store.ts";

export const storeLatencyMs = 4;
const peerLatencyMs = 1;
const hostLatencyMs = 2;
/** Nodes start over one period of the slowest poll, so that their polls are spread as in real life. */
const startSpreadMs = 10_000;
const settleMaxMs = 120_000;

/** Where time passes and the table is. */
export interface Ground {
  readonly clock: Clock;
  openStore(counts: UnitCounts): Store;
  /** Lets time pass until `work` is done. */
  during<T>(work: Promise<T>): Promise<T>;
  advance(durationMs: number): Promise<void>;
  stop(): Promise<void>;
}

export async function realGround(endpoint: string, table: string): Promise<Ground> {
  const options = withDefaults({ table, endpoint, requestTimeoutMs: 5_000 }, {});
  await createTable(options);
  const stores: Store[] = [];
  return {
    clock: systemClock,
    openStore(counts) {
      const store = openStore(
        {
          ...options,
          kind: "dynamodb",
          socketsMax: 16,
          onCall: (call, _outcome, seconds, units, kind) =>
            counts.add(/^get|^query/.test(call) ? "read" : "write", kind, units, seconds),
        },
        {},
      );
      stores.push(store);
      return store;
    },
    during: (work) => work,
    advance: (durationMs) => sleep(durationMs),
    async stop() {
      await Promise.all(stores.map((store) => store.close()));
    },
  };
}

export function virtualGround(): Ground {
  const timeline = new Timeline();
  const inner = new MemoryStore();
  const clock = new ProcessClock(timeline);
  return {
    clock,
    openStore: (counts) => new CountedStore(inner, clock, counts, storeLatencyMs),
    async during(work) {
      let isDone = false;
      void Promise.allSettled([work]).then(() => (isDone = true));
      await timeline.run(timeline.nowMs + 10 * settleMaxMs, () => isDone);
      return work;
    },
    advance: (durationMs) => timeline.run(timeline.nowMs + durationMs, () => false),
    stop: async () => {},
  };
}

class MemoryHosts implements Transport {
  readonly socketCount = 0;
  readonly #clock: Clock;
  readonly #hosts = new Map<string, FakeHost>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  drop(): void {}

  async exchange(request: ExchangeRequest): Promise<ExchangeResult> {
    await this.#clock.sleep(hostLatencyMs);
    const id = request.headers["coxswain-host"] ?? "";
    let host = this.#hosts.get(id);
    if (host === undefined) this.#hosts.set(id, (host = new FakeHost(parseHostId(id))));
    host.requests.length = 0;
    return host.answer(request, this.#clock.monotonicMs());
  }
}

export interface CostPlan {
  readonly nodes: number;
  readonly partitions: number;
  readonly hosts: number;
}

export class CostCluster {
  readonly counts = new UnitCounts();
  readonly #ground: Ground;
  readonly #nodes = new Map<string, Node>();
  readonly #running: Promise<unknown>[] = [];
  readonly #stopping = new AbortController();

  private constructor(ground: Ground) {
    this.#ground = ground;
  }

  /** Nodes that have joined one view, and hosts that are registered and synced. */
  static async start(ground: Ground, plan: CostPlan): Promise<CostCluster> {
    const cluster = new CostCluster(ground);
    const store = ground.openStore(new UnitCounts());
    const { clock } = ground;
    const wanted = { partitions: plan.partitions, clusterId: "cost" };
    const setUp = initialiseCluster(store, wanted, { clock, random: createRandom("init") });
    const { meta } = await ground.during(setUp);
    await ground.during(ensureView(store));
    const transport = new MemoryHosts(clock);
    for (let index = 0; index < plan.nodes; index++) {
      cluster.#startNode(index, meta, transport);
      await ground.advance(startSpreadMs / plan.nodes);
    }
    await cluster.#settled(plan.nodes);
    await cluster.#addHosts(plan.hosts);
    return cluster;
  }

  /** Any node: all can do everything. */
  get node(): Node {
    const [first] = this.#nodes.values();
    if (first === undefined) throw new Error("no node");
    return first;
  }

  during<T>(work: Promise<T>): Promise<T> {
    return this.#ground.during(work);
  }

  advance(durationMs: number): Promise<void> {
    return this.#ground.advance(durationMs);
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error("the measurement is over"));
    await this.#ground.during(Promise.allSettled(this.#running));
    await this.#ground.stop();
  }

  #startNode(index: number, meta: Meta, transport: Transport): void {
    const { clock } = this.#ground;
    const slot = `node-${index + 1}`;
    const address = `10.20.${Math.floor(index / 250)}.${(index % 250) + 1}`;
    const fleetUrl = `http://${address}:7401`;
    const ports = {
      store: this.#ground.openStore(this.counts),
      clock,
      random: createRandom(slot),
      log: silentLogger,
      metrics: createMetrics(),
      peers: this.#peers(),
      transport,
    };
    const options = resolveOptions(nodeOptions, { flags: { slot, drainTimeout: "1s" } });
    const setup = { meta, options, apiUrl: `http://${address}:7400`, fleetUrl, version: "bench" };
    const node = createNode(ports, setup);
    this.#nodes.set(fleetUrl, node);
    this.#running.push(node.run(this.#stopping.signal));
  }

  #peers(): Peers {
    const { clock } = this.#ground;
    return {
      call: async (fleetUrl, name, ask) => {
        await clock.sleep(peerLatencyMs);
        const node = this.#nodes.get(fleetUrl);
        if (node === undefined) throw new CoxswainError("MEMBER_UNREACHABLE", "no such node");
        return (await node.answerPeer(name, ask)) as never;
      },
      probe: async (fleetUrl) => {
        await clock.sleep(peerLatencyMs);
        return this.#nodes.get(fleetUrl)?.isMember() === true ? "answered" : "refused";
      },
      close: async () => {},
    };
  }

  async #settled(count: number): Promise<void> {
    for (let waitedMs = 0; waitedMs < settleMaxMs; waitedMs += 1_000) {
      await this.#ground.advance(1_000);
      const all = [...this.#nodes.values()].map((node) => node.readiness());
      const versions = new Set(all.map(({ view }) => view.version));
      if (all.filter(({ isReady }) => isReady).length === count && versions.size === 1) return;
    }
    throw new Error(`${count} nodes did not agree on a view in ${settleMaxMs} ms`);
  }

  async #addHosts(count: number): Promise<void> {
    const lines = Array.from({ length: count }, (_, index) =>
      JSON.stringify({
        id: `host-${String(index).padStart(6, "0")}`,
        address: `http://10.${100 + Math.floor(index / 62_500)}.${Math.floor(index / 250) % 250}.${(index % 250) + 1}:9000`,
        labels: { role: "edge", zone: `z${index % 3}` },
      }),
    );
    for (let start = 0; start < count; start += 1_000) {
      const body = Buffer.from(lines.slice(start, start + 1_000).join("\n"));
      const options = { onExisting: "update", dryRun: false } as const;
      const report = await this.during(this.node.operations.importHosts(body, options, "bench"));
      if (report.failed > 0) throw new Error(`import: ${JSON.stringify(report.errors[0])}`);
    }
  }
}
