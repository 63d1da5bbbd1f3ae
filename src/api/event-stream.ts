/** Server-sent events: the recent ones first, then each as it happens. */
import type { FastifyReply } from "fastify";
import type { ClusterEvents } from "../node/cluster-events.ts";
import type { NodeEvent } from "../node/events.ts";

const bufferedBytesMax = 1024 * 1024;
const keepAliveEveryMs = 15_000;

/**
 * Answers with a stream that ends when either side closes. A reader too slow to keep up is
 * cut off: it may connect again and starts with the recent events.
 */
export function streamEvents(events: ClusterEvents, reply: FastifyReply): void {
  reply.hijack();
  const { raw } = reply;
  raw.writeHead(200, {
    "content-type": "text/event-stream",
    "cache-control": "no-store",
    connection: "keep-alive",
  });
  const send = (event: NodeEvent) => {
    raw.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
    if (raw.writableLength > bufferedBytesMax) raw.destroy();
  };
  raw.write(": recent events, then new ones\n\n");
  const closed = new AbortController();
  events.follow(send, closed.signal).catch((error: Error) => raw.destroy(error));
  const keepAlive = setInterval(() => raw.write(": still here\n\n"), keepAliveEveryMs);
  raw.on("close", () => {
    clearInterval(keepAlive);
    closed.abort();
  });
}
