/** Servers on loopback for the transports' tests; `closeServers` ends all with their connections. */
import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createTcpServer, type AddressInfo, type Socket } from "node:net";

const closers: (() => Promise<void>)[] = [];

/** Starts `server`; its origin, with `http:`. */
export async function listen(
  server: Server | ReturnType<typeof createTcpServer>,
  address = "127.0.0.1",
): Promise<string> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
  });
  server.listen(0, address);
  await once(server, "listening");
  closers.push(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => {
      server.close(resolve);
    });
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** An HTTP server's origin. */
export const httpOrigin = (handler: RequestListener) => listen(createServer(handler));

/** A server that answers every connection's first bytes with `bytes`. */
export const rawOrigin = (bytes: string, thenEnd = false) =>
  listen(
    createTcpServer((socket) => {
      socket.once("data", () => (thenEnd ? socket.end(bytes) : socket.write(bytes)));
    }),
  );

export async function closeServers(): Promise<void> {
  for (const close of closers.splice(0)) await close();
}
