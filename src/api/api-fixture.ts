/**
 * A real node for the tests of both listeners: memory store, the machine's clock, real sockets to
 * hosts and peers, timings short enough to join in half a second.
 */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { gunzipSync } from "node:zlib";
import type { FastifyInstance } from "fastify";
import { systemClock } from "../kernel/clock.ts";
import { CoxswainError } from "../kernel/errors.ts";
import { silentLogger } from "../kernel/log.ts";
import { createMetrics } from "../kernel/metrics.ts";
import { resolveOptions } from "../kernel/options.ts";
import { createRandom } from "../kernel/random.ts";
import { ensureView } from "../membership/view-store.ts";
import { createNode, type Node } from "../node/node.ts";
import { nodeOptionRules, nodeOptions } from "../node/options.ts";
import { createHttpPeers } from "../node/peers.ts";
import { createSelfCheck } from "../node/self-check.ts";
import { manifestDigestOf } from "../protocol/digest.ts";
import { syncHeaders, type SyncReply, type SyncRequest } from "../protocol/sync.ts";
import { createSocketTransport } from "../push/socket-transport.ts";
import { MemoryStore } from "../store/memory-store.ts";
import { initialiseCluster } from "../store/meta.ts";
import { createApiServer } from "./api-server.ts";
import { createFleetServer } from "./fleet-server.ts";

const flags = {
  beatInterval: "50ms",
  joinQuiet: "0ms",
  drainTimeout: "1s",
  fleetPoll: "50ms",
  headPoll: "100ms",
  checkpointInterval: "100ms",
  pushDeadline: "500ms",
};

export interface TestNode {
  readonly store: MemoryStore;
  readonly node: Node;
  readonly api: FastifyInstance;
  readonly fleet: FastifyInstance;
  readonly fleetUrl: string;
  stop(): Promise<void>;
}

export const cluster = "test";

const openFilesMax = async () => 1_024;

/** A node that has joined or, where the store is away, one that is waiting for it. */
export async function startTestNode(
  availability: "present" | "away" = "present",
  more: {
    readonly flags?: Readonly<Record<string, string>>;
    readonly hostSecret?: Buffer;
  } = {},
): Promise<TestNode> {
  const store = new MemoryStore();
  const random = createRandom("api");
  const wanted = { partitions: 64, clusterId: cluster };
  const { meta } = await initialiseCluster(store, wanted, { clock: systemClock, random });
  await ensureView(store);
  const metrics = createMetrics();
  const log = silentLogger;
  let node: Node | undefined = undefined;
  const peers = createHttpPeers(cluster);
  const options = resolveOptions(
    nodeOptions,
    { flags: { ...flags, ...more.flags } },
    nodeOptionRules,
  );
  const version = "0.0.0-test";
  const members = () => node?.operations.members().members ?? [];
  const selfCheck = createSelfCheck({
    clock: systemClock,
    peers,
    options,
    version,
    members,
    openFilesMax,
  });
  const api = createApiServer({ node: () => node, selfCheck, log, metrics, version });
  const fleet = createFleetServer(() => node, log, more.hostSecret);
  await fleet.listen({ host: "127.0.0.1", port: 0 });
  const fleetUrl = urlOf(fleet.server);
  const transport = createSocketTransport(systemClock, {
    socketsMax: 64,
    keepAliveMs: 10_000,
    connectTimeoutMs: 500,
  });
  node = createNode(
    {
      store,
      clock: systemClock,
      random,
      log,
      metrics,
      peers,
      transport,
      ...(more.hostSecret && { hostSecret: more.hostSecret }),
    },
    { meta, options, apiUrl: "http://127.0.0.1:1", fleetUrl, version },
  );
  const stopping = new AbortController();
  if (availability === "away") {
    store.faults = {
      before: () => {
        throw new CoxswainError("STORE_UNAVAILABLE", "the store is away");
      },
    };
  }
  const reason = new Error("the test is over");
  const ended = node.run(stopping.signal).catch((error: unknown) => {
    // Stopping while it waits is how the run of a node without a store ends.
    if (error !== reason) throw error;
  });
  if (availability === "present") await until(() => node?.readiness().isReady ?? false);
  return {
    store,
    node,
    api,
    fleet,
    fleetUrl,
    async stop() {
      stopping.abort(reason);
      await ended;
      await Promise.all([api.close(), fleet.close(), peers.close(), transport.stop()]);
    },
  };
}

/** Polls a condition of the real node until it holds. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = systemClock.monotonicMs() + 5_000;
  while (!(await condition())) {
    if (systemClock.monotonicMs() > endMs) throw new Error("the condition did not come true");
    await systemClock.sleep(10);
  }
}

function urlOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

export interface TestHost {
  readonly address: string;
  /** Requests taken so far. */
  syncCount(): number;
  stop(): Promise<void>;
}

/** A host that takes whatever it is given, and refuses the configs named. */
export async function startTestHost(refused: readonly string[] = []): Promise<TestHost> {
  let held: { name: string; digest: string }[] = [];
  let count = 0;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      count += 1;
      const raw = Buffer.concat(chunks);
      const body = request.headers["content-encoding"] === "gzip" ? gunzipSync(raw) : raw;
      const { configs } = JSON.parse(body.toString()) as SyncRequest;
      const taken = configs?.filter(({ name }) => !refused.includes(name));
      if (taken !== undefined) held = taken.map(({ name, digest }) => ({ name, digest }));
      const reply: SyncReply = {
        host: String(request.headers[syncHeaders.host]),
        boot: "b1",
        agent: "test",
        fence: String(request.headers[syncHeaders.fence]),
        view: String(request.headers[syncHeaders.view]),
        manifest: manifestDigestOf(held),
        configs: [
          ...held.map((config) => ({ ...config, result: "applied" as const })),
          ...(configs ?? [])
            .filter(({ name }) => refused.includes(name))
            .map(({ name }) => ({
              name,
              result: "rejected" as const,
              message: "it does not parse",
            })),
        ],
        state: { load: 1 },
      };
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify(reply));
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  return {
    address: urlOf(server),
    syncCount: () => count,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
