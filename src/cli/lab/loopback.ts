/** Servers of the laboratory: on 127.0.0.1 alone, on any free port, with room for a herd at the door. */
import { once } from "node:events";
import type { Server } from "node:net";

/** Connections that wait to be accepted; the kernel may allow fewer. */
const backlog = 4_096;

export async function listenOnLoopback(server: Server): Promise<void> {
  server.listen({ host: "127.0.0.1", port: 0, backlog });
  await once(server, "listening");
}

export function portOf(server: Server): number {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}
