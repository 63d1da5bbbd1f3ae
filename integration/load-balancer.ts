/**
 * A load balancer as hosts see one: an address whose connections go to the targets in turn, with no idea
 * of who owns what. A target that refuses is passed over.
 */
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

export class LoadBalancer {
  readonly #server: Server;
  readonly #urls: () => readonly string[];
  readonly #sockets = new Set<Socket>();
  #next = 0;

  private constructor(server: Server, urls: () => readonly string[]) {
    this.#server = server;
    this.#urls = urls;
    server.on("connection", (client) => this.#serve(client, this.#urls().length));
  }

  /** `urls` is asked anew for each connection. */
  static async open(urls: () => readonly string[]): Promise<LoadBalancer> {
    const server = createServer({ noDelay: true });
    const balancer = new LoadBalancer(server, urls);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return balancer;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #serve(client: Socket, triesLeft: number): void {
    const urls = this.#urls();
    const url = urls[this.#next++ % Math.max(1, urls.length)];
    if (url === undefined || triesLeft === 0) {
      client.destroy();
      return;
    }
    const { hostname, port } = new URL(url);
    const target = connect({ host: hostname, port: Number(port), noDelay: true });
    let isConnected = false;
    this.#sockets.add(client).add(target);
    const end = () => {
      this.#sockets.delete(client);
      this.#sockets.delete(target);
      client.destroy();
      target.destroy();
    };
    client.on("error", end).on("close", end);
    target.on("connect", () => {
      isConnected = true;
      client.pipe(target);
      target.pipe(client);
    });
    target.on("error", () => {
      if (isConnected || client.destroyed) return end();
      client.removeAllListeners("error").removeAllListeners("close");
      this.#sockets.delete(target);
      return this.#serve(client, triesLeft - 1);
    });
    target.on("close", () => isConnected && end());
  }
}
