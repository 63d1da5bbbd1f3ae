/**
 * A TCP proxy whose link can be hurt, so that cuts are real without containers: everything between two
 * parts of a cluster passes here.
 *
 * `cut` resets and refuses; `silence` is half-open: connections live, bytes of one direction or of both
 * vanish, nobody is told; `hold` keeps what arrives and `deliverHeld` delivers it, however long ago its
 * sender gave up: the late packet that a fence is for. `pass` ends all of them for what comes next.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

/** Seen from whoever opened the connection. */
export type Direction = "requests" | "replies";

type Mode =
  | { readonly kind: "pass" | "cut" | "hold" }
  | { readonly kind: "silence"; readonly lost: ReadonlySet<Direction> };

export interface Target {
  readonly host: string;
  readonly port: number;
}

/** A request that arrived late, as text, and the reply's status; undefined where none came. */
export interface LateExchange {
  readonly request: string;
  readonly status: number | undefined;
}

/** One connection: both of its halves and what became of it. */
interface Passage {
  readonly client: Socket;
  readonly target: Socket;
  /** Bytes were lost: it cannot go on when the link heals. */
  isTorn: boolean;
  /** Request bytes kept; the sender no longer counts. */
  held: Buffer[] | undefined;
}

const lateReplyTimeoutMs = 5_000;
/** A held connection keeps a few small requests; more means that something else is held. */
const heldBytesMax = 8 * 1024 * 1024;
const pass: Mode = { kind: "pass" };

export class TcpProxy {
  readonly #target: Target;
  readonly #server: Server;
  readonly #passages = new Set<Passage>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #mode: Mode = pass;
  #delayMs = 0;
  #heldBytesCount = 0;

  private constructor(target: Target, server: Server) {
    this.#target = target;
    this.#server = server;
    server.on("connection", (client) => this.#accept(client));
  }

  static async open(target: Target): Promise<TcpProxy> {
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    const proxy = new TcpProxy(target, server);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The requests that are held at the moment, as text. */
  get held(): string[] {
    return [...this.#passages].flatMap(({ held }) =>
      held === undefined ? [] : [Buffer.concat(held).toString("latin1")],
    );
  }

  /** Resets every connection and refuses new ones. */
  cut(): void {
    this.#mode = { kind: "cut" };
    for (const { client, target } of this.#passages) {
      client.resetAndDestroy();
      target.resetAndDestroy();
    }
  }

  /** Loses what goes one way, or both, and tells nobody. */
  silence(...lost: readonly [Direction, ...Direction[]]): void {
    this.#mode = { kind: "silence", lost: new Set(lost) };
  }

  /** Keeps requests from now on; replies to earlier ones pass. */
  hold(): void {
    this.#mode = { kind: "hold" };
  }

  /** Every chunk takes this much longer, each way; order stays. 0 ends it. */
  delay(delayMs: number): void {
    this.#delayMs = delayMs;
  }

  /** Mends the link. Connections that lost bytes are reset; what is held stays held. */
  pass(): void {
    this.#mode = pass;
    this.#delayMs = 0;
    for (const { client, target, isTorn } of this.#passages) {
      if (!isTorn) continue;
      client.resetAndDestroy();
      target.resetAndDestroy();
    }
  }

  /** Sends everything that is held to the target, each on a new connection of its own. */
  async deliverHeld(): Promise<LateExchange[]> {
    const late = [...this.#passages].flatMap((passage) => {
      const { held, client, target } = passage;
      if (held === undefined) return [];
      client.destroy();
      target.destroy();
      this.#passages.delete(passage);
      return [Buffer.concat(held)];
    });
    this.#heldBytesCount = 0;
    return Promise.all(late.map((bytes) => this.#deliver(bytes)));
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const timer of this.#timers) clearTimeout(timer);
    for (const { client, target } of this.#passages) {
      client.destroy();
      target.destroy();
    }
    await closed;
  }

  #accept(client: Socket): void {
    if (this.#mode.kind === "cut") {
      client.resetAndDestroy();
      return;
    }
    const target = connect({ ...this.#target, allowHalfOpen: true, noDelay: true });
    const passage: Passage = { client, target, isTorn: false, held: undefined };
    this.#passages.add(passage);
    this.#carry(passage, "requests");
    this.#carry(passage, "replies");
  }

  #carry(passage: Passage, direction: Direction): void {
    const [from, to] =
      direction === "requests"
        ? [passage.client, passage.target]
        : [passage.target, passage.client];
    let dueMs = 0;
    /** Lets what comes after a delayed chunk wait for it. */
    const inTurn = (send: () => void) => {
      const nowMs = performance.now();
      dueMs = Math.max(dueMs, nowMs + this.#delayMs);
      if (dueMs <= nowMs) send();
      else this.#after(dueMs - nowMs, send);
    };
    from.on("data", (chunk: Buffer) => {
      if (this.#isKept(passage, direction, chunk)) return;
      inTurn(() => {
        if (to.destroyed || to.write(chunk)) return;
        from.pause();
        to.once("drain", () => from.resume());
      });
    });
    from.on("end", () => {
      if (!this.#isUnheard(passage, direction)) inTurn(() => to.end());
    });
    // A reset is an end like any other; `close` follows it.
    from.on("error", () => {});
    from.on("close", () => {
      if (this.#isUnheard(passage, direction)) return;
      inTurn(() => {
        to.destroy();
        this.#passages.delete(passage);
      });
    });
  }

  /** True where the chunk goes no further for now. */
  #isKept(passage: Passage, direction: Direction, chunk: Buffer): boolean {
    if (passage.held !== undefined || this.#mode.kind === "hold") {
      if (direction === "replies") return passage.held !== undefined;
      passage.held ??= [];
      passage.held.push(chunk);
      this.#heldBytesCount += chunk.length;
      assert(this.#heldBytesCount <= heldBytesMax, "a link holds more than anybody meant to hold");
      return true;
    }
    if (!this.#isSilent(direction)) return false;
    passage.isTorn = true;
    return true;
  }

  /** Nor does the far side hear that this side has gone. */
  #isUnheard(passage: Passage, direction: Direction): boolean {
    if (passage.held !== undefined) return true;
    if (this.#isSilent(direction)) passage.isTorn = true;
    return passage.isTorn && this.#mode.kind === "silence";
  }

  #isSilent(direction: Direction): boolean {
    return this.#mode.kind === "silence" && this.#mode.lost.has(direction);
  }

  async #deliver(bytes: Buffer): Promise<LateExchange> {
    const socket = connect({ ...this.#target, noDelay: true });
    const exchange = Promise.withResolvers<number | undefined>();
    socket.on("data", (chunk: Buffer) => {
      exchange.resolve(Number(/^HTTP\/1\.1 (\d{3})/.exec(chunk.toString("latin1"))?.[1]));
    });
    socket.on("error", () => exchange.resolve(undefined));
    socket.on("close", () => exchange.resolve(undefined));
    const timer = setTimeout(() => exchange.resolve(undefined), lateReplyTimeoutMs);
    socket.write(bytes);
    const status = await exchange.promise;
    clearTimeout(timer);
    socket.destroy();
    return { request: bytes.toString("latin1"), status };
  }

  #after(waitMs: number, send: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      send();
    }, waitMs);
    this.#timers.add(timer);
  }
}
