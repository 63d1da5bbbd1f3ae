/**
 * The ways of pushing that bench/push.ts compares: bare sockets, undici `request`, and the pusher
 * with all its bookkeeping over each transport. All keep one connection a host and the same number
 * in flight.
 */
import { connect, type Socket } from "node:net";
import { Agent, request } from "undici";
import type { HostId } from "../src/inventory/host.ts";
import { systemClock, type Clock } from "../src/kernel/clock.ts";
import { silentLogger } from "../src/kernel/log.ts";
import { createMetrics } from "../src/kernel/metrics.ts";
import { createRandom } from "../src/kernel/random.ts";
import { digestOf, manifestDigestOf, type Digest } from "../src/protocol/digest.ts";
import type { Manifest } from "../src/protocol/manifest.ts";
import { syncPath } from "../src/protocol/sync.ts";
import { defaultPushOptions, type PushOptions } from "../src/push/push-options.ts";
import { createPusher } from "../src/push/pusher.ts";
import type { SocketTransport, SocketTransportOptions } from "../src/push/socket-transport.ts";
import { emptyView } from "../src/ring/view.ts";

export const contentBytes = 1_024;
export const inFlightMax = 256;
const keepAliveMs = 300_000;
/** Of a line of a release. */
const lineBytesMin = 25;

export interface Release {
  readonly content: Buffer;
  readonly manifest: Manifest;
  /** The full sync request, as the baselines send it. */
  readonly body: Buffer;
}

export interface Host {
  readonly id: HostId;
  readonly address: string;
}

/** Sends one release to hosts, any number of times; `close` ends its connections. */
export interface Sender {
  send(hosts: readonly Host[], release: Release, round: number): Promise<void>;
  close(): Promise<void>;
}

export interface PusherSender extends Sender {
  /** `awaitedCount`: of all hosts, as many as will answer. */
  send(
    hosts: readonly Host[],
    release: Release,
    round: number,
    awaitedCount?: number,
  ): Promise<void>;
}

export type CreateTransport = (clock: Clock, options: SocketTransportOptions) => SocketTransport;

/** The least that can be done: prepared bytes out, a look at the first bytes that come back. */
export function rawSender(): Sender {
  const sockets = new Map<Host, { readonly socket: Socket; onReply: () => void }>();
  const open = async (host: Host) => {
    const { hostname, port } = new URL(host.address);
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    const opened = { socket, onReply: () => {} };
    socket.on("data", (bytes: Buffer) => {
      if (bytes.includes("\r\n\r\n")) opened.onReply();
    });
    socket.on("error", () => {});
    // The hosts close what was idle between two rounds; one that is lost in the middle counts as answered.
    socket.once("close", () => {
      sockets.delete(host);
      opened.onReply();
    });
    await new Promise((resolve) => {
      socket.once("connect", resolve);
    });
    return opened;
  };
  return {
    send: (hosts, { body }) =>
      eachInFlight(hosts, async (host) => {
        const known = sockets.get(host) ?? (await open(host));
        sockets.set(host, known);
        const head =
          `POST ${syncPath} HTTP/1.1\r\nhost: ${host.address.slice(7)}\r\n` +
          `coxswain-host: ${host.id}\r\ncontent-length: ${body.length}\r\n\r\n`;
        await new Promise<void>((resolve) => {
          known.onReply = resolve;
          known.socket.cork();
          known.socket.write(head, "latin1");
          known.socket.write(body);
          known.socket.uncork();
        });
      }),
    close() {
      for (const { socket } of sockets.values()) socket.destroy();
      return Promise.resolve();
    },
  };
}

/** The baseline: undici as its documentation says, one connection a host. */
export function undiciSender(): Sender {
  const agent = new Agent({ connections: 1, pipelining: 1, keepAliveTimeout: keepAliveMs });
  return {
    send: (hosts, release) =>
      eachInFlight(hosts, async (host) => {
        const { body } = await request(host.address + syncPath, {
          method: "POST",
          headers: { "content-type": "application/json", "coxswain-host": host.id },
          body: release.body,
          dispatcher: agent,
        });
        await body.dump();
      }),
    close: () => agent.destroy(),
  };
}

/** The product: queue, pace, fences, status, metrics, and a reply that is read and believed. */
export function pusherSender(
  create: CreateTransport,
  options: Partial<PushOptions> = {},
  metrics = createMetrics(),
): PusherSender {
  const transport = create(systemClock, {
    socketsMax: 1_000_000,
    keepAliveMs,
    connectTimeoutMs: 5_000,
  });
  const contents = new Map<Digest, Buffer>();
  let wanted: Digest | undefined;
  let missingCount = 0;
  let done: (() => void) | undefined;
  const pusher = createPusher(
    {
      clock: systemClock,
      random: createRandom("bench"),
      transport,
      contents: (digest) => Promise.resolve(contents.get(digest) ?? Buffer.alloc(0)),
      log: silentLogger,
      metrics,
      mayPush: () => true,
    },
    { cluster: "bench", node: "node-1", view: () => emptyView },
    {
      ...defaultPushOptions,
      pushesPerSecond: 1_000_000,
      inFlightMax,
      rollbackReserveRatio: 0,
      ...options,
    },
    {
      onStatus(id) {
        if (pusher.status(id)?.held?.manifest !== wanted) return;
        missingCount--;
        if (missingCount === 0) done?.();
      },
      onStale: (id) => {
        throw new Error(`stale: ${id}`);
      },
      onNewerView: () => {},
      onReachability: () => {},
      onDrift: () => {},
    },
  );
  pusher.start();
  return {
    async send(hosts, { content, manifest }, round, awaitedCount = hosts.length) {
      contents.set(digestOf(content), content);
      wanted = manifest.digest;
      missingCount = awaitedCount;
      const finished = new Promise<void>((resolve) => {
        done = resolve;
      });
      // One for all, as the node has it (CurrentRules.fenceOf).
      const fence = { generation: 1, fleet: 1 + round, host: 1 };
      for (const { id, address } of hosts) {
        pusher.upsert({ id, address, fence, manifest }, "change");
      }
      await finished;
    },
    async close() {
      await pusher.stop();
      await transport.stop();
    },
  };
}

/** As many loops as may be in flight, each taking the next host. */
export async function eachInFlight(
  hosts: readonly Host[],
  work: (host: Host) => Promise<void>,
): Promise<void> {
  let next = 0;
  const loop = async () => {
    for (let host = hosts[next++]; host !== undefined; host = hosts[next++]) await work(host);
  };
  await Promise.all(Array.from({ length: inFlightMax }, loop));
}

/** Host number `index`: each has an address, and so an origin, of its own. */
export function hostAt(index: number, port: number): Host {
  const row = Math.floor(index / 250);
  const [high, middle, low] = [1 + Math.floor(row / 250), 1 + (row % 250), 1 + (index % 250)];
  return { id: `host-${index}` as HostId, address: `http://127.${high}.${middle}.${low}:${port}` };
}

export function releaseOf(round: number, bytes = contentBytes): Release {
  const random = createRandom(`release ${round}`);
  const line = () => `setting_${Math.floor(random.next() * 1e9)} = ${random.next()};\n`;
  const lines = Array.from({ length: Math.ceil(bytes / lineBytesMin) }, line);
  const content = Buffer.from(lines.join("")).subarray(0, bytes);
  const name = "app.conf";
  const digest = digestOf(content);
  const manifest: Manifest = {
    digest: manifestDigestOf([{ name, digest }]),
    configs: [{ name, digest }],
  };
  const text = content.toString("utf8");
  const offered = { name, digest, size: content.length, content: text, encoding: "utf8" };
  const body = Buffer.from(JSON.stringify({ manifest: manifest.digest, configs: [offered] }));
  return { content, manifest, body };
}
