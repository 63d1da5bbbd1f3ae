/**
 * The pushing control plane: renders at its pace and gives what is rendered to the product's pusher,
 * which carries it to the hosts: over connections of its own (push, knock) or the hosts' (reverse).
 *
 * In push and reverse it knows by itself when a host is due; in knock a signed datagram says so, received by the
 * product's knock listener. Nothing is rendered because somebody waits for it.
 */
import { startKnockListener, type KnockListener } from "../../api/knock-listener.ts";
import { parseHostId } from "../../inventory/host.ts";
import { systemClock } from "../../kernel/clock.ts";
import { silentLogger } from "../../kernel/log.ts";
import { createMetrics } from "../../kernel/metrics.ts";
import { createRandom } from "../../kernel/random.ts";
import { digestOf, manifestDigestOf, type Digest } from "../../protocol/digest.ts";
import { defaultPushOptions } from "../../push/push-options.ts";
import { createPusher, type Pusher } from "../../push/pusher.ts";
import { createSocketTransport, type SocketTransport } from "../../push/socket-transport.ts";
import type { Transport } from "../../push/transport.ts";
import { emptyView } from "../../ring/view.ts";
import { DueHosts } from "./due-hosts.ts";
import { frequencyFactor, hostIndex, hostName, isDuring, type Scene } from "./lab-scene.ts";
import type { Ports } from "./lab-messages.ts";
import { PacedRenderer, type RenderCounter } from "./paced-renderer.ts";
import type { Render } from "./renderer.ts";
import { ReverseLinks } from "./reverse-links.ts";

/** Signs nothing but datagrams that stay on this machine. */
export const labSecret = Buffer.alloc(32, "laboratory");
const verifiesPerSecond = 20_000;
const keepAliveMs = 300_000;
/** Hosts are visited because they are due, never by a sweep. */
const neverMs = 24 * 60 * 60 * 1_000;
const configName = "app.conf";

export class PushSide {
  readonly #scene: Scene;
  readonly #renderer: PacedRenderer;
  readonly #links: ReverseLinks | undefined = undefined;
  readonly #sockets: SocketTransport | undefined = undefined;
  readonly #pusher: Pusher;
  readonly #contents = new Map<Digest, Buffer>();
  /** Digest of each host's newest content. */
  readonly #newest = new Map<number, Digest>();
  #knocks: KnockListener | undefined;
  #hostPorts: readonly number[] = [];
  #release = 0;

  constructor(scene: Scene, render: Render, counter: RenderCounter) {
    this.#scene = scene;
    if (scene.shape === "reverse") {
      this.#links = new ReverseLinks();
      this.#pusher = this.#createPusher(this.#links);
    } else {
      this.#sockets = dialling(scene);
      this.#pusher = this.#createPusher(this.#sockets);
    }
    const due = new DueHosts(scene.hosts, scene.intervalMs);
    this.#renderer = new PacedRenderer(scene, {
      render,
      counter,
      deliver: (host, text) => this.#push(host, Buffer.from(text)),
      due: (atMs) => {
        if (scene.shape === "knock") return [];
        const isFrequent = isDuring(scene.trigger, "frequency", atMs);
        return due.take(atMs, isFrequent ? frequencyFactor : 1);
      },
    });
  }

  async listen(): Promise<Partial<Ports>> {
    if (this.#links !== undefined) return { http: await this.#links.listen() };
    if (this.#scene.shape !== "knock") return {};
    this.#knocks = await startKnockListener(
      { host: "127.0.0.1", port: 0, secret: labSecret, verifiesPerSecond },
      {
        onKnocks: (knocks) => {
          for (const { host } of knocks) this.#renderer.want(hostIndex(host));
        },
        onDropped: () => {}, // A lost knock is followed by the next one.
        onFailed: () => {}, // Shows as goodput of nothing.
      },
    );
    return { knock: this.#knocks.port };
  }

  start(startMs: number, hostPorts: readonly number[]): void {
    this.#hostPorts = hostPorts;
    this.#pusher.start();
    this.#renderer.start(startMs);
  }

  async stop(): Promise<void> {
    this.#renderer.stop();
    this.#links?.stop();
    await this.#knocks?.stop();
    await Promise.all([this.#pusher.stop(), this.#sockets?.stop()]);
  }

  #push(host: number, content: Buffer): void {
    const digest = digestOf(content);
    const old = this.#newest.get(host);
    if (old !== undefined) this.#contents.delete(old);
    this.#newest.set(host, digest);
    this.#contents.set(digest, content);
    const configs = [{ name: configName, digest }];
    this.#pusher.upsert(
      {
        id: parseHostId(hostName(host)),
        address: `http://127.0.0.1:${this.#hostPorts[host] ?? 1 + host}`,
        fence: { generation: 1, fleet: ++this.#release, host: 1 },
        manifest: { digest: manifestDigestOf(configs), configs },
      },
      "change",
    );
  }

  #createPusher(transport: Transport): Pusher {
    const { timeoutMs } = this.#scene;
    const ports = {
      clock: systemClock,
      random: createRandom(`lab ${this.#scene.number}`),
      transport,
      contents: (digest: Digest) => {
        const content = this.#contents.get(digest);
        return content === undefined
          ? Promise.reject(new Error("a newer content has replaced it"))
          : Promise.resolve(content);
      },
      log: silentLogger,
      metrics: createMetrics(),
      mayPush: () => true,
    };
    const options = {
      ...defaultPushOptions,
      deadlineMs: timeoutMs,
      sweepDeadlineMs: timeoutMs,
      sweepIntervalMs: neverMs,
    };
    return createPusher(ports, { cluster: "lab", node: "node-1", view: () => emptyView }, options, {
      onStatus: () => {},
      onStale: () => {},
      onNewerView: () => {},
      onReachability: () => {},
      onDrift: () => {},
    });
  }
}

function dialling({ hosts, timeoutMs }: Scene): SocketTransport {
  const socketsMax = hosts + 16;
  return createSocketTransport(systemClock, {
    socketsMax,
    keepAliveMs,
    connectTimeoutMs: timeoutMs,
  });
}
