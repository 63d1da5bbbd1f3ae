/**
 * Hosts of a benchmark that open their connections themselves, as the agent does: nodes in a random order,
 * after a loss at a random moment of the time that the node gave, a busy node left alone for as long as it says, one
 * that does not answer for longer each time. Runs in the sink's process; what comes over the connections is answered
 * by the sink.
 */
import { connect, type Socket } from "node:net";

export type FleetQuestion =
  /** Answered when all `ids` are attached. */
  | {
      readonly ask: "attach";
      readonly urls: readonly string[];
      readonly ids: readonly string[];
      readonly cluster: string;
      readonly isDirect?: boolean;
    }
  /** How many are attached now, and asks and refusals since the start. */
  | { readonly ask: "links" };

export interface FleetLinks {
  readonly attached: number;
  readonly asks: number;
  readonly refusals: number;
}

interface Host {
  readonly id: string;
  readonly urls: readonly string[];
  readonly request: string;
  readonly restUntilMs: Map<string, number>;
  /** How often in a row each node has failed. */
  readonly failures: Map<string, number>;
  next: number;
  lossCount: number;
  lossSpreadMs: number;
  socket: Socket | undefined;
}

type Answer = (socket: Socket, bytes: Buffer) => Buffer | undefined;

const backoffMinMs = 500;
const backoffMaxMs = 30_000;
const nextNodeMs = 200;
const directLine = "coxswain-direct: 1\r\n";
const headEnd = "\r\n\r\n";

export class ReverseFleet {
  readonly #answer: Answer;
  #attached = 0;
  #asks = 0;
  #refusals = 0;
  #lost: string[] = [];
  #waiting: { count: number; resolve: () => void }[] = [];

  constructor(answer: Answer) {
    this.#answer = answer;
  }

  async take(question: FleetQuestion): Promise<FleetLinks> {
    if (question.ask === "attach") {
      const { urls, ids, cluster, isDirect } = question;
      const all = this.#attached + ids.length;
      const done = new Promise<void>((resolve) => {
        this.#waiting.push({ count: all, resolve });
      });
      for (const id of ids) this.#start(id, urls, cluster, isDirect === true);
      await done;
    }
    return { attached: this.#attached, asks: this.#asks, refusals: this.#refusals };
  }

  /** Hosts whose connection ended since the last call. */
  takeLost(): string[] {
    return this.#lost.splice(0);
  }

  #start(id: string, urls: readonly string[], cluster: string, isDirect: boolean): void {
    const direct = isDirect ? directLine : "";
    const request =
      `GET /coxswain/v1/attach HTTP/1.1\r\nhost: node\r\nconnection: Upgrade\r\n` +
      `upgrade: coxswain-reverse\r\ncoxswain-cluster: ${cluster}\r\ncoxswain-host: ${id}\r\n` +
      `coxswain-boot: b1\r\n${direct}\r\n`;
    const order = urls
      .map((url) => ({ url, draw: Math.random() }))
      .toSorted((a, b) => a.draw - b.draw)
      .map(({ url }) => url);
    const maps = { restUntilMs: new Map(), failures: new Map() };
    const counts = { next: 0, lossCount: 0, lossSpreadMs: backoffMinMs };
    this.#ask({ id, urls: order, request, ...maps, ...counts, socket: undefined });
  }

  /** `pointedBy`: the node that pointed to `redirected`; it takes the host where that one does not. */
  #ask(host: Host, redirected?: string, pointedBy?: string): void {
    const url = redirected ?? this.#takeUrl(host);
    if (url === undefined) {
      const waitMs = Math.min(...host.restUntilMs.values()) - performance.now();
      this.#later(host, Math.max(0, waitMs));
      return;
    }
    this.#asks++;
    const { hostname, port } = new URL(url);
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    let head = "";
    let isAttached = false;
    let isSettled = false;
    let pending: Buffer | undefined;
    socket.on("error", () => socket.destroy());
    // Whom the owner does not take goes on as one that cannot be pointed anywhere.
    socket.on("connect", () => {
      const { request } = host;
      socket.write(redirected === undefined ? request : request.replace(directLine, ""));
    });
    socket.on("data", (bytes: Buffer) => {
      if (isAttached) {
        const whole = pending === undefined ? bytes : Buffer.concat([pending, bytes]);
        if (whole.includes("POST /coxswain/v1/detach")) this.#move(host, socket);
        pending = this.#answer(socket, whole);
        return;
      }
      head += bytes.toString("latin1");
      const end = head.indexOf(headEnd);
      if (end === -1) return;
      isSettled = true;
      if (head.startsWith("HTTP/1.1 101")) {
        isAttached = true;
        this.#count(1);
        host.failures.delete(url);
        host.lossSpreadMs = Number(
          /\r\ncoxswain-loss-spread-ms: (\d+)/i.exec(head)?.[1] ?? backoffMinMs,
        );
        host.socket?.destroy();
        host.socket = socket;
        const rest = Buffer.from(head.slice(end + headEnd.length), "latin1");
        if (rest.length > 0) pending = this.#answer(socket, rest);
        return;
      }
      socket.destroy();
      if (pointedBy === undefined) this.#refused(host, url, head);
      else this.#ask(host, pointedBy);
    });
    socket.on("close", () => {
      if (isAttached) {
        this.#count(-1);
        this.#lost.push(host.id);
      }
      if (host.socket === socket) host.socket = undefined;
      else if (isAttached) return;
      if (!isSettled && pointedBy !== undefined) this.#ask(host, pointedBy);
      else if (isAttached) this.#backOff(host);
      else if (!isSettled) this.#onSilence(host, url);
    });
  }

  #refused(host: Host, url: string, head: string): void {
    const location = /\r\nlocation: (\S+)/i.exec(head)?.[1];
    if (head.startsWith("HTTP/1.1 307") && location !== undefined) {
      this.#ask(host, location, url);
      return;
    }
    this.#refusals++;
    const seconds = Number(/\r\nretry-after: (\d+)/i.exec(head)?.[1] ?? 1);
    host.failures.delete(url);
    host.restUntilMs.set(url, performance.now() + (seconds + Math.random()) * 1_000);
    this.#later(host, Math.random() * nextNodeMs);
  }

  /** The old connection stays until the new one stands. */
  #move(host: Host, socket: Socket): void {
    if (host.socket === socket) this.#later(host, Math.random() * 500);
  }

  #takeUrl(host: Host): string | undefined {
    for (let step = 0; step < host.urls.length; step++) {
      const url = host.urls[host.next++ % host.urls.length] ?? "";
      if ((host.restUntilMs.get(url) ?? -Infinity) <= performance.now()) return url;
    }
    return undefined;
  }

  /** A node that does not answer rests, and is followed by the next soon. */
  #onSilence(host: Host, url: string): void {
    const count = host.failures.get(url) ?? 0;
    host.failures.set(url, count + 1);
    host.restUntilMs.set(url, performance.now() + Math.random() * backoffBoundMs(count));
    this.#later(host, Math.random() * nextNodeMs);
  }

  #backOff(host: Host): void {
    const boundMs = Math.max(host.lossSpreadMs, backoffBoundMs(host.lossCount++));
    this.#later(host, Math.random() * boundMs);
  }

  #later(host: Host, waitMs: number): void {
    setTimeout(() => this.#ask(host), waitMs);
  }

  #count(by: number): void {
    this.#attached += by;
    for (const { resolve } of this.#waiting.filter(({ count }) => this.#attached >= count)) {
      resolve();
    }
    this.#waiting = this.#waiting.filter(({ count }) => this.#attached < count);
  }
}

function backoffBoundMs(count: number): number {
  return Math.min(backoffMaxMs, backoffMinMs * 2 ** Math.min(count, 16));
}
