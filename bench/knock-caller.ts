/**
 * The other side of bench/knock.ts, in a process of its own: sends knocks, good or forged, or opens
 * connections, and says how many it made and how many bytes came back.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect as connectTcp } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { digestOf } from "../src/protocol/digest.ts";
import { hostKeyOf } from "../src/protocol/host-key.ts";
import { encodeKnock, knockKeyOf } from "../src/protocol/knock.ts";

/** What the caller is told to do, as its first message. */
export interface CallerOrder {
  readonly kind: "knock" | "forged" | "tcp" | "tls";
  readonly port: number;
  readonly secret: string;
  readonly perSecond: number;
  readonly seconds: number;
}

export interface CallerReport {
  readonly made: number;
  readonly seconds: number;
  readonly bytesBack: number;
}

const sliceMs = 5;
const connectionsAtOnce = 16;
const distinctKnocks = 4_096;

process.once("message", (order: CallerOrder) => {
  const isUdp = order.kind === "knock" || order.kind === "forged";
  void tell(isUdp ? knock(order) : dial(order));
});

async function tell(report: Promise<CallerReport>): Promise<void> {
  process.send?.(await report);
  process.disconnect();
}

async function knock({
  kind,
  port,
  secret,
  perSecond,
  seconds,
}: CallerOrder): Promise<CallerReport> {
  const socket = createSocket("udp4");
  let bytesBack = 0;
  socket.on("message", (bytes) => (bytesBack += bytes.length));
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  const datagrams = makeKnocks(
    kind === "forged" ? Buffer.alloc(32, 1) : Buffer.from(secret, "hex"),
  );
  const startMs = performance.now();
  let made = 0;
  for (;;) {
    const elapsedMs = performance.now() - startMs;
    if (elapsedMs >= seconds * 1_000) break;
    const due = Math.floor((elapsedMs / 1_000) * perSecond);
    for (; made < due; made++) {
      socket.send(datagrams[made % datagrams.length] ?? "", port, "127.0.0.1", () => {});
    }
    await sleep(sliceMs);
  }
  await sleep(200);
  socket.close();
  return { made, seconds, bytesBack };
}

function makeKnocks(secret: Buffer): Buffer[] {
  const manifest = digestOf(Buffer.from("bench"));
  return Array.from({ length: distinctKnocks }, (_, index) => {
    const host = `host-${index}`;
    return encodeKnock({ host, counter: 1n, manifest }, knockKeyOf(hostKeyOf(secret, host)));
  });
}

async function dial({ kind, port, seconds }: CallerOrder): Promise<CallerReport> {
  const startMs = performance.now();
  let made = 0;
  const loop = async () => {
    while (performance.now() - startMs < seconds * 1_000) {
      const socket =
        kind === "tcp"
          ? connectTcp(port, "127.0.0.1")
          : connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false });
      await once(socket, kind === "tcp" ? "connect" : "secureConnect");
      made++;
      socket.destroy();
      await once(socket, "close");
    }
  };
  await Promise.all(Array.from({ length: connectionsAtOnce }, loop));
  return { made, seconds: (performance.now() - startMs) / 1_000, bytesBack: 0 };
}
