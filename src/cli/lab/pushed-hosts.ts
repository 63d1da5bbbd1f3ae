/**
 * Hosts that are pushed to: they answer syncs on the connections the control plane opens (push, knock) or on
 * those they opened themselves (reverse), and count each config that is no older than the timeout.
 *
 * They apply nothing, and answer correctly: what they hold, by digest. A lost exchange is one that is not
 * answered. A host whose own connection ends opens another after up to a second; one that knocks does so
 * again after one to two timeouts until it is synced.
 */
import { createSocket, type Socket as DatagramSocket } from "node:dgram";
import { connect, createServer, type Server, type Socket } from "node:net";
import { manifestDigestOf } from "../../protocol/digest.ts";
import { hostKeyOf } from "../../protocol/host-key.ts";
import { encodeKnock, knockKeyOf } from "../../protocol/knock.ts";
import { DueHosts } from "./due-hosts.ts";
import type { SceneRun } from "./fleet-side.ts";
import { hostName, machineMs, renderedMsOf } from "./lab-scene.ts";
import { listenOnLoopback, portOf } from "./loopback.ts";
import { labSecret } from "./push-side.ts";
import { attachRequest } from "./reverse-links.ts";
import { readSync, syncReply } from "./sync-answer.ts";

const attachJitterMs = 1_000;
const attachesAtOnce = 100;
const nothingHeld = manifestDigestOf([]);

export class PushedHosts {
  readonly #run: SceneRun;
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();
  /** Manifest that each host holds. */
  readonly #held = new Map<number, string>();
  /** Hosts that knock until they are synced. */
  readonly #knocking = new Set<number>();
  #knocks: DatagramSocket | undefined;
  #attachPort = 0;

  constructor(run: SceneRun) {
    this.#run = run;
  }

  /** A port for each host, where hosts are dialled. */
  async listen(): Promise<readonly number[]> {
    const { shape, hosts } = this.#run.scene;
    if (shape === "reverse") return [];
    for (let host = 0; host < hosts; host++) {
      const server = createServer({ noDelay: true }, (socket) => this.#serve(host, socket));
      this.#servers.push(server);
    }
    await Promise.all(this.#servers.map((server) => listenOnLoopback(server)));
    return this.#servers.map(portOf);
  }

  /** Attaches all hosts where they are the ones that connect. */
  async connect(port: number): Promise<void> {
    const { shape, hosts } = this.#run.scene;
    if (shape !== "reverse") return;
    this.#attachPort = port;
    for (let first = 0; first < hosts; first += attachesAtOnce) {
      const count = Math.min(attachesAtOnce, hosts - first);
      await Promise.all(Array.from({ length: count }, (_, index) => this.#attach(first + index)));
    }
  }

  start(knockPort: number): void {
    const { shape, hosts, intervalMs } = this.#run.scene;
    const sendKnock = shape === "knock" ? this.#openKnocks(knockPort) : undefined;
    this.#run.eachDue(new DueHosts(hosts, intervalMs), 0, (host) => {
      this.#run.counter.offered();
      sendKnock?.(host);
    });
  }

  stop(): void {
    for (const server of this.#servers) server.close();
    for (const socket of this.#sockets) socket.destroy();
    this.#knocks?.close();
    this.#knocks = undefined;
  }

  #openKnocks(port: number): (host: number) => void {
    const keys = new Map<number, Buffer>();
    this.#knocks = createSocket("udp4");
    this.#knocks.on("error", () => {}); // A knock that cannot be sent is a lost one.
    let counter = 0n;
    const knock = (host: number) => {
      const key = keys.get(host) ?? knockKeyOf(hostKeyOf(labSecret, hostName(host)));
      keys.set(host, key);
      const manifest = this.#held.get(host) ?? nothingHeld;
      const datagram = encodeKnock({ host: hostName(host), counter: ++counter, manifest }, key);
      if (!this.#run.isLost()) this.#knocks?.send(datagram, port, "127.0.0.1");
      const delayMs = (1 + this.#run.random.next()) * this.#run.scene.timeoutMs;
      this.#run.after(delayMs, () => {
        if (this.#knocking.has(host)) knock(host);
      });
    };
    return (host) => {
      // Who is knocking already goes on by itself.
      if (this.#knocking.has(host)) return;
      this.#knocking.add(host);
      knock(host);
    };
  }

  /** Resolves when the host has attached, or could not and will try again. */
  #attach(host: number): Promise<void> {
    if (this.#run.isStopped) return Promise.resolve();
    const ended = Promise.withResolvers<void>();
    const socket = connect({ host: "127.0.0.1", port: this.#attachPort, noDelay: true });
    socket.on("connect", () => socket.write(attachRequest(hostName(host))));
    socket.once("data", (bytes: Buffer) => {
      if (bytes.toString("latin1").startsWith("HTTP/1.1 101")) this.#serve(host, socket);
      else socket.destroy();
      ended.resolve();
    });
    socket.on("error", () => socket.destroy()); // `close` follows.
    socket.on("close", () => {
      ended.resolve();
      this.#sockets.delete(socket);
      this.#run.after(this.#run.random.next() * attachJitterMs, () => void this.#attach(host));
    });
    this.#sockets.add(socket);
    return ended.promise;
  }

  #serve(host: number, socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => socket.destroy()); // `close` follows.
    socket.on("close", () => this.#sockets.delete(socket));
    let pending: Buffer = Buffer.alloc(0);
    socket.on("data", (bytes: Buffer) => {
      pending = pending.length === 0 ? bytes : Buffer.concat([pending, bytes]);
      const sync = readSync(pending);
      if (sync === undefined) return;
      pending = Buffer.alloc(0);
      this.#run.counter.tried();
      if (this.#run.isLost()) return;
      if (sync.isFull) this.#take(host, sync.manifest, sync.body);
      const manifest = this.#held.get(host) ?? nothingHeld;
      socket.write(syncReply(hostName(host), sync.fence, manifest));
    });
  }

  #take(host: number, manifest: string, body: string): void {
    const renderedMs = renderedMsOf(body);
    const isNew = this.#held.get(host) !== manifest;
    this.#held.set(host, manifest);
    this.#knocking.delete(host);
    if (renderedMs === undefined || !isNew) return;
    if (machineMs() - renderedMs <= this.#run.scene.timeoutMs) this.#run.counter.arrived();
  }
}
