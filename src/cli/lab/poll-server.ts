/**
 * The polled control plane: a server that renders on request, plain or hardened.
 *
 * It speaks just enough HTTP for one GET a connection. Requests are read as they come, rendered one at a
 * time. Plain: an endless queue, and nobody looks whether the client still waits. Hardened: a request says
 * how long its client waits; a full queue refuses at once with 503, and a job that is too late or whose client
 * has gone is dropped unrendered. The deadline travels as a time of the machine's clock, which both
 * processes share; between machines it would be a duration, and a little less exact.
 */
import { createServer, type Server, type Socket } from "node:net";
import { configText, hostIndex, machineMs, type Scene } from "./lab-scene.ts";
import { listenOnLoopback, portOf } from "./loopback.ts";
import type { RenderCounter } from "./paced-renderer.ts";
import type { Render } from "./renderer.ts";
import { hardenedQueue, plainQueue, RenderQueue } from "./render-queue.ts";

interface PollJob {
  readonly host: number;
  readonly deadlineMs: number;
  readonly socket: Socket;
  isGone: boolean;
}

const busyReply = "HTTP/1.1 503 Busy\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
const requestPattern = /^GET \/config\/(host-\d+) HTTP\/1\.1\r\ndeadline: ([\d.]+)\r\n\r\n$/;
/** A request is one short line and one header. */
const requestBytesMax = 256;

export function pollRequest(host: string, deadlineMs: number): string {
  return `GET /config/${host} HTTP/1.1\r\ndeadline: ${deadlineMs.toFixed(3)}\r\n\r\n`;
}

export class PollServer {
  readonly #queue: RenderQueue<PollJob>;
  readonly #render: Render;
  readonly #counter: RenderCounter;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #startMs = 0;
  #isWorking = false;
  #isStopped = false;

  constructor(scene: Scene, render: Render, counter: RenderCounter) {
    this.#render = render;
    this.#counter = counter;
    const { shape, capacityPerSecond, timeoutMs } = scene;
    this.#queue = new RenderQueue(
      shape === "hardened" ? hardenedQueue(capacityPerSecond, timeoutMs) : plainQueue,
    );
    this.#server = createServer({ noDelay: true }, (socket) => this.#accept(socket));
  }

  /** The port it listens on. */
  async listen(): Promise<number> {
    await listenOnLoopback(this.#server);
    return portOf(this.#server);
  }

  start(startMs: number): void {
    this.#startMs = startMs;
  }

  stop(): void {
    this.#isStopped = true;
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    let job: PollJob | undefined;
    let text = "";
    socket.on("error", () => socket.destroy()); // The client has given up; `close` follows.
    socket.on("close", () => {
      this.#sockets.delete(socket);
      if (job !== undefined) job.isGone = true;
    });
    socket.on("data", (bytes: Buffer) => {
      if (job !== undefined) return;
      text += bytes.toString("latin1");
      job = jobOf(text, socket);
      if (job !== undefined) this.#offer(job);
      else if (text.length > requestBytesMax) socket.destroy();
    });
  }

  #offer(job: PollJob): void {
    if (!this.#queue.offer(job)) {
      job.socket.end(busyReply);
      return;
    }
    if (this.#isWorking) return;
    this.#isWorking = true;
    setImmediate(() => this.#work());
  }

  #work(): void {
    const job = this.#isStopped
      ? undefined
      : this.#queue.take(machineMs(), ({ socket }) => socket.destroy());
    if (job === undefined) {
      this.#isWorking = false;
      return;
    }
    const renderedMs = machineMs();
    this.#render(() => {
      this.#counter.count(machineMs() - this.#startMs);
      const body = configText(job.host, renderedMs);
      if (job.socket.writable) {
        job.socket.end(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
      }
      setImmediate(() => this.#work());
    });
  }
}

function jobOf(text: string, socket: Socket): PollJob | undefined {
  const [, host, deadlineMs] = requestPattern.exec(text) ?? [];
  if (host === undefined) return undefined;
  return { host: hostIndex(host), deadlineMs: Number(deadlineMs), socket, isGone: false };
}
