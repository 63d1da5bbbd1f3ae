/** A real node in this process over a fleet on paper (paper-store.ts), without listeners. */
import { createInventory, type Inventory } from "../src/inventory/inventory.ts";
import { systemClock } from "../src/kernel/clock.ts";
import { silentLogger } from "../src/kernel/log.ts";
import { createMetrics, type Metrics } from "../src/kernel/metrics.ts";
import { resolveOptions } from "../src/kernel/options.ts";
import { ensureView } from "../src/membership/view-store.ts";
import { createRandom, systemRandom } from "../src/kernel/random.ts";
import { createNode } from "../src/node/node.ts";
import { nodeOptions } from "../src/node/options.ts";
import { createHttpPeers } from "../src/node/peers.ts";
import { createSocketTransport } from "../src/push/socket-transport.ts";
import { partitionOf } from "../src/ring/hash.ts";
import { initialiseCluster } from "../src/store/meta.ts";
import type { Store } from "../src/store/store.ts";
import { releaseOf } from "./push-senders.ts";

const unusedUrl = "http://127.0.0.1:9";

export interface PaperNode {
  readonly metrics: Metrics;
  readonly stop: () => Promise<void>;
}

/** Puts a release of 1 KB on all hosts of the store. */
export async function rollOutToAll(store: Store, partitions: number, round = 0): Promise<void> {
  const inventory = inventoryOf(store, partitions);
  const config = `app-${round}.conf`;
  const at = { author: "bench", atIso: new Date().toISOString() };
  const { digest } = await inventory.releases.put(config, releaseOf(round).content, at);
  const started = { config, digest, selector: "", author: "bench", at: at.atIso };
  await inventory.rollouts.start(started);
}

/** `flags` as on the command line. */
export async function startPaperNode(
  store: Store,
  partitions: number,
  flags: Readonly<Record<string, string>>,
): Promise<PaperNode> {
  const random = systemRandom();
  const { meta } = await initialiseCluster(store, { partitions }, { clock: systemClock, random });
  await ensureView(store);
  const options = resolveOptions(nodeOptions, { flags });
  const metrics = createMetrics();
  const transport = createSocketTransport(systemClock, {
    socketsMax: options.sockets,
    keepAliveMs: 300_000,
    connectTimeoutMs: 2_000,
  });
  const peers = createHttpPeers(meta.clusterId);
  const node = createNode(
    { store, clock: systemClock, random, log: silentLogger, metrics, peers, transport },
    { meta, options, apiUrl: unusedUrl, fleetUrl: unusedUrl, version: "bench" },
  );
  const stopping = new AbortController();
  const running = node.run(stopping.signal);
  return {
    metrics,
    async stop() {
      stopping.abort(new Error("the benchmark is over"));
      await running;
      await Promise.all([peers.close(), transport.stop()]);
    },
  };
}

function inventoryOf(store: Store, partitions: number): Inventory {
  return createInventory({
    store,
    random: createRandom("bench"),
    partitionOf: (id) => partitionOf(id, partitions),
  });
}
