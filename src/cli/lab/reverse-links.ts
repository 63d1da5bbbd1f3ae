/**
 * Connections that hosts have opened to the control plane, as a transport for the product's pusher: what
 * is sent over them is what would be sent over a dialled one.
 *
 * A host has one link; a new one replaces it. A reply that does not come in time costs the link, and the
 * host attaches again.
 */
import { createServer, type Server, type Socket } from "node:net";
import { systemClock } from "../../kernel/clock.ts";
import { failed, HttpConnection, requestHead } from "../../push/http-exchange.ts";
import type { ExchangeRequest, ExchangeResult, Transport } from "../../push/transport.ts";
import { listenOnLoopback, portOf } from "./loopback.ts";

const attachPattern = /^GET \/coxswain\/v1\/attach HTTP\/1\.1\r\n.*?coxswain-host: (\S+)\r\n\r\n$/s;
const attachBytesMax = 1_024;
const switched =
  "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: coxswain-reverse\r\n\r\n";

export function attachRequest(host: string): string {
  return (
    "GET /coxswain/v1/attach HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: upgrade\r\n" +
    `upgrade: coxswain-reverse\r\ncoxswain-host: ${host}\r\n\r\n`
  );
}

interface Link {
  readonly connection: HttpConnection;
  /** Ends the exchange under way. */
  finish: ((result: ExchangeResult) => void) | undefined;
}

export class ReverseLinks implements Transport {
  readonly #links = new Map<string, Link>();
  readonly #server: Server = createServer({ noDelay: true }, (socket) => this.#accept(socket));
  readonly #sockets = new Set<Socket>();

  get socketCount(): number {
    return this.#links.size;
  }

  async listen(): Promise<number> {
    await listenOnLoopback(this.#server);
    return portOf(this.#server);
  }

  stop(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  drop(): void {
    // A link is its host's to close.
  }

  exchange(request: ExchangeRequest): Promise<ExchangeResult> {
    const host = request.headers["coxswain-host"] ?? "";
    const link = this.#links.get(host);
    if (link === undefined || link.finish !== undefined) {
      return Promise.resolve(failed("detached", `${host} has no free connection open`, false));
    }
    const made = requestHead(request, host);
    if ("reason" in made) return Promise.resolve(failed("local", made.reason, false));
    return new Promise((resolve) => {
      const cancel = systemClock.after(request.deadlineMs, () => {
        link.connection.destroy();
        this.#end(host, link, failed("ambiguous", "no reply in time", true));
      });
      link.finish = (result) => {
        cancel();
        link.finish = undefined;
        resolve(result);
      };
      link.connection.send(made.head, request.body);
    });
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => socket.destroy()); // The host has gone; `close` follows.
    let text = "";
    const onData = (bytes: Buffer) => {
      text += bytes.toString("latin1");
      const host = attachPattern.exec(text)?.[1];
      if (host === undefined) {
        if (text.length > attachBytesMax) socket.destroy();
        return;
      }
      socket.off("data", onData);
      socket.write(switched);
      this.#attach(host, socket);
    };
    socket.on("data", onData);
  }

  #attach(host: string, socket: Socket): void {
    const link: Link = {
      finish: undefined,
      connection: new HttpConnection(socket, {
        onResult: (result, reuse) => {
          if (reuse === undefined) this.#end(host, link, result);
          else link.finish?.(result);
        },
        onClosed: () => this.#end(host, link, failed("detached", "closed", false)),
      }),
    };
    // A connection that is destroyed here says nothing more, so what ends is always the newest.
    const old = this.#links.get(host);
    this.#links.set(host, link);
    old?.connection.destroy();
    old?.finish?.(failed("ambiguous", "the host attached anew", true));
  }

  #end(host: string, link: Link, result: ExchangeResult): void {
    this.#links.delete(host);
    link.finish?.(result);
  }
}
