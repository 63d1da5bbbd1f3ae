import type { AddressInfo } from "node:net";
import { get, type IncomingMessage } from "node:http";
import { connect } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { FastifyInstance } from "fastify";
import { ManualClock } from "../kernel/manual-clock.ts";
import { silentLogger } from "../kernel/log.ts";
import { systemClock } from "../kernel/clock.ts";
import { ClusterEvents } from "../node/cluster-events.ts";
import { EventLog } from "../node/events.ts";
import { createHttpPeers } from "../node/peers.ts";
import { until } from "./api-fixture.ts";
import { streamEvents } from "./event-stream.ts";
import { createHttpServer } from "./http-server.ts";

/** An event log that counts its readers. */
class WatchedLog extends EventLog {
  readerCount = 0;

  override subscribe(listener: Parameters<EventLog["subscribe"]>[0]): () => void {
    this.readerCount += 1;
    const forget = super.subscribe(listener);
    return () => {
      this.readerCount -= 1;
      forget();
    };
  }
}

let server: FastifyInstance;
let events: WatchedLog;
let port: number;
let errors: Error[];

beforeEach(async () => {
  events = new WatchedLog(new ManualClock(0), "n1");
  const cluster = new ClusterEvents({
    clock: systemClock,
    peers: createHttpPeers("test"),
    log: events,
    slot: "n1",
    members: () => [],
  });
  server = createHttpServer(silentLogger);
  errors = [];
  server.get("/events", (_request, reply) => {
    reply.raw.on("error", (error) => errors.push(error));
    streamEvents(cluster, reply);
  });
  await server.listen({ host: "127.0.0.1", port: 0 });
  ({ port } = server.server.address() as AddressInfo);
});

afterEach(() => server.close());

function open(): Promise<{ reply: IncomingMessage; text: () => string }> {
  return new Promise((resolve, reject) => {
    const request = get({ host: "127.0.0.1", port, path: "/events" }, (reply) => {
      let text = "";
      reply.setEncoding("utf8");
      reply.on("data", (chunk: string) => {
        text += chunk;
      });
      // The server closing the stream is an end like any other here.
      reply.on("error", () => {});
      resolve({ reply, text: () => text });
    });
    request.on("error", reject);
  });
}

const block = (host: string) =>
  `event: host.drift\ndata: {"type":"host.drift","at":"1970-01-01T00:00:00.000Z","node":"n1","host":"${host}"}\n\n`;

test("a reader gets the recent events, then each new one, also after a while", async () => {
  events.emit("host.drift", { host: "before" });
  const { reply, text } = await open();
  expect(reply.headers["content-type"]).toBe("text/event-stream");
  await until(() => text().includes("before"));
  await new Promise((resolve) => {
    setTimeout(resolve, 100);
  });
  events.emit("host.drift", { host: "after" });
  await until(() => text().includes("after"));
  expect(text()).toBe(`: recent events, then new ones\n\n${block("before")}${block("after")}`);
  reply.destroy();
  await until(() => events.readerCount === 0);
});

test("stopping the server ends the stream and leaves no reader behind", async () => {
  const { reply } = await open();
  const closed = new Promise((resolve) => {
    reply.on("close", resolve);
  });
  expect(events.readerCount).toBe(1);
  await server.close();
  await closed;
  await until(() => events.readerCount === 0);
});

test("a reader that does not read is cut off in the middle of a burst", async () => {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  socket.pause();
  socket.write("GET /events HTTP/1.1\r\nhost: a\r\n\r\n");
  await until(() => events.readerCount === 1);
  for (let count = 0; count < 2_000; count++) {
    events.emit("host.drift", { host: "x".repeat(10_000) });
  }
  await until(() => events.readerCount === 0);
  expect(errors).toEqual([]);
  socket.destroy();
});
