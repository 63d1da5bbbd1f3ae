/**
 * One node as a process: options, store, listeners, node, signals.
 *
 * Both listeners have their addresses before the node joins, because they are what it joins with.
 * Told to stop, it drains: successors have the view before it goes. A node that was replaced by a newer
 * process of its slot ends with exit code 75.
 */
import type { AddressInfo } from "node:net";
import type { FastifyInstance } from "fastify";
import { systemClock } from "../kernel/clock.ts";
import { CoxswainError, isCoxswainError } from "../kernel/errors.ts";
import { createLogger, type Logger } from "../kernel/log.ts";
import { createMetrics, type Metrics } from "../kernel/metrics.ts";
import { readOpenFilesMax } from "../kernel/open-files.ts";
import { resolveOptions } from "../kernel/options.ts";
import { systemRandom } from "../kernel/random.ts";
import { watchLoopLag, type LoopLag } from "../node/loop-lag.ts";
import { createNode, type Node } from "../node/node.ts";
import { nodeOptionRules, nodeOptions, type NodeOptions } from "../node/options.ts";
import { createHttpPeers } from "../node/peers.ts";
import { createSelfCheck } from "../node/self-check.ts";
import type { ObjectStore } from "../objects/object-store.ts";
import { openObjectStore } from "../objects/open-objects.ts";
import { createSocketTransport } from "../push/socket-transport.ts";
import { checkMeta, readMeta, type Meta } from "../store/meta.ts";
import type { Store } from "../store/store.ts";
import { createApiServer } from "./api-server.ts";
import { makeRoomForLinks } from "./attach-server.ts";
import { connectStore } from "./connect-store.ts";
import { createFleetServer } from "./fleet-server.ts";
import { readHostSecret } from "./host-secret.ts";
import type { KnockListener } from "./knock-listener.ts";
import { listenForKnocks } from "./knocks.ts";
import { readOptionFile, type RawOptions } from "./raw-options.ts";
import { readTlsFiles, type TlsMaterial } from "./tls-files.ts";

const connectTimeoutMs = 2_000;
/** Above the sweep interval, so that a host's connection outlives the time between two sweeps. */
const keepAliveMs = 5 * 60_000;
const waitForStoreMs = 1_000;

/** Throws OPTION_INVALID and OPTION_UNKNOWN with the first thing that is wrong. */
export function resolveNodeOptions({ configFile, env, flags }: RawOptions): NodeOptions {
  return resolveOptions(
    nodeOptions,
    { file: readOptionFile(configFile), env, flags },
    nodeOptionRules,
  );
}

/** Runs a node until `stopping` aborts, then drains; resolves with the exit code. */
export async function runNode(
  raw: RawOptions,
  version: string,
  stopping: AbortSignal,
): Promise<number> {
  const options = resolveNodeOptions(raw);
  const tls = readTlsFiles(options);
  const hostSecret = readHostSecret(options.hostSecretFile);
  const log = createLogger(options.logLevel, { slot: options.slot });
  const metrics = createMetrics();
  const loopLag = watchLoopLag(metrics);
  const connected = await connectStore(options, (call, outcome, seconds, units, kind) => {
    metrics.storeSeconds.labels({ call, outcome }).observe(seconds);
    metrics.storeUnitsTotal.labels({ call, kind }).inc(units);
  });
  try {
    const meta = await waitForMeta(connected.store, options, log, stopping);
    const { store } = connected;
    const shared = {
      options,
      tls,
      hostSecret,
      store,
      meta,
      log,
      metrics,
      loopLag,
      version,
      stopping,
    };
    return await serve(shared);
  } catch (error) {
    if (stopping.aborted && error === stopping.reason) return 0;
    throw error;
  } finally {
    await connected.close();
    loopLag.stop();
  }
}

interface Process {
  readonly options: NodeOptions;
  readonly tls: TlsMaterial;
  readonly hostSecret: Buffer | undefined;
  readonly store: Store;
  readonly meta: Meta;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly loopLag: LoopLag;
  readonly version: string;
  readonly stopping: AbortSignal;
}

async function serve(process: Process): Promise<number> {
  const { options, tls, hostSecret, store, meta, log, metrics, loopLag, version, stopping } =
    process;
  let node: Node | undefined;
  let objects: ObjectStore | undefined;
  let knocks: KnockListener | undefined;
  const current = () => node;
  const fleet = createFleetServer(current, log.child({ component: "fleet" }), hostSecret);
  const peers = createHttpPeers(meta.clusterId);
  const selfCheck = createSelfCheck({
    clock: systemClock,
    peers,
    options,
    version,
    members: () => node?.operations.members().members ?? [],
    openFilesMax: readOpenFilesMax,
  });
  const api = createApiServer({
    node: current,
    selfCheck,
    log: log.child({ component: "api" }),
    metrics,
    version,
  });
  const transport = createSocketTransport(systemClock, {
    socketsMax: options.sockets,
    keepAliveMs,
    connectTimeoutMs: Math.min(options.pushDeadlineMs, connectTimeoutMs),
    tls,
  });
  try {
    makeRoomForLinks(fleet.server, options.links);
    await fleet.listen({ host: options.fleetHost, port: options.fleetPort });
    await api.listen({ host: options.apiHost, port: options.apiPort });
    const apiUrl = options.apiUrl || urlOf(api);
    const fleetUrl = options.fleetUrl || urlOf(fleet);
    const random = systemRandom();
    objects = await openObjects(options);
    const ports = {
      store,
      clock: systemClock,
      random,
      log,
      metrics,
      peers,
      transport,
      ...(objects && { objects }),
      lagMs: () => loopLag.lagMs(),
      ...(hostSecret && { hostSecret }),
    };
    node = createNode(ports, { meta, options, apiUrl, fleetUrl, version });
    knocks = await listenForKnocks(options, hostSecret, { node, log, metrics });
    warnOfOpenListeners(options, log);
    log.info({ apiUrl, fleetUrl, cluster: meta.clusterId }, "listening");
    const ended = await node.run(stopping);
    log.info({ ended }, "node stopped");
    if (ended === "left") return 0;
    throw new CoxswainError(
      "MEMBER_REPLACED",
      `Another process has taken slot ${options.slot}: this one has stopped pushing`,
    );
  } finally {
    const listeners = [api.close(), fleet.close(), knocks?.stop() ?? Promise.resolve()];
    await Promise.all([...listeners, peers.close(), transport.stop()]);
    objects?.close();
  }
}

async function openObjects(options: NodeOptions): Promise<ObjectStore | undefined> {
  const { objects: url, objectsEndpoint: endpoint, objectsRegion: region } = options;
  return url === "" ? undefined : openObjectStore({ url, endpoint, region }, systemClock);
}

/** A node never starts on a guess: it waits for the store, however long that takes. */
async function waitForMeta(
  store: Store,
  options: NodeOptions,
  log: Logger,
  signal: AbortSignal,
): Promise<Meta> {
  let lastMessage: string | undefined;
  for (;;) {
    try {
      const meta = await readMeta(store);
      checkMeta(meta, options.cluster === "" ? {} : { clusterId: options.cluster });
      return meta;
    } catch (error) {
      if (!isCoxswainError(error, "STORE_UNAVAILABLE", "STORE_THROTTLED")) throw error;
      if (error.message !== lastMessage) log.warn({ err: error.message }, "waiting for the store");
      lastMessage = error.message;
      await systemClock.sleep(waitForStoreMs, signal);
    }
  }
}

function warnOfOpenListeners(options: NodeOptions, log: Logger): void {
  if (!options.allowInsecureBind) return;
  log.warn(
    { apiHost: options.apiHost, fleetHost: options.fleetHost },
    "listeners have no authentication: whoever reaches them can steer the fleet",
  );
}

function urlOf(server: FastifyInstance): string {
  const { address, family, port } = server.server.address() as AddressInfo;
  return `http://${family === "IPv6" ? `[${address}]` : address}:${port}`;
}
