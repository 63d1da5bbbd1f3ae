/**
 * What bad hosts cost the good ones: releases a second to the healthy 80 % of a fleet while the other
 * 20 % take connections and never answer (tarpit), refuse them (refused), or drop them (black hole),
 * each against calm, where the healthy hosts are alone. All four run in turn in every round.
 *
 * The first release, in which nobody knows yet which hosts are bad, counts on its own.
 */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { parseArgs } from "node:util";
import { createSocketTransport } from "../src/push/socket-transport.ts";
import { interleave, machine, markdownTable, median, medianRatio } from "./measure.ts";
import { hostAt, pusherSender, releaseOf, type Host } from "./push-senders.ts";
import { startSink } from "./start-sink.ts";

const badRatio = 0.2;
const variants = ["calm", "tarpit", "refused", "black hole"] as const;
type Variant = (typeof variants)[number];

export async function run(args: string[]): Promise<void> {
  if (args[0] === "--black-hole-here") {
    blackHoleHere();
    return;
  }
  const { values } = parseArgs({
    args,
    options: {
      hosts: { type: "string", default: "1000" },
      rounds: { type: "string", default: "3" },
      seconds: { type: "string", default: "5" },
      pace: { type: "string", default: "2000" },
      json: { type: "boolean", default: false },
    },
  });
  const hostsCount = Number(values.hosts);
  const sink = await startSink();
  const tarpit = await openTarpit();
  const hole = await openBlackHole();
  const refused = await freePort();
  const ports: Record<Variant, number> = {
    calm: 0,
    tarpit: tarpit.port,
    refused,
    "black hole": hole.port,
  };
  const goodCount = Math.round(hostsCount * (1 - badRatio));
  const firstMs = new Map<Variant, number[]>(variants.map((name) => [name, []]));
  const cpuSeconds = new Map<Variant, number[]>(variants.map((name) => [name, []]));
  const measure = async (name: Variant): Promise<number> => {
    const good = Array.from({ length: goodCount }, (_, index) => hostAt(index, sink.port));
    const bad: Host[] =
      name === "calm"
        ? []
        : Array.from({ length: hostsCount - goodCount }, (_, index) =>
            hostAt(goodCount + index, ports[name]),
          );
    // Every fifth host is bad: they come between the good ones, as in life.
    const hosts = spread(good, bad);
    const sender = pusherSender(createSocketTransport, { pushesPerSecond: Number(values.pace) });
    try {
      const firstStartMs = performance.now();
      await sender.send(hosts, releaseOf(0), 0, goodCount);
      firstMs.get(name)?.push(performance.now() - firstStartMs);
      const cpu = process.cpuUsage();
      const startMs = performance.now();
      let round = 1;
      for (; performance.now() - startMs < Number(values.seconds) * 1_000; round++) {
        await sender.send(hosts, releaseOf(round % 50), round, goodCount);
      }
      const { user, system } = process.cpuUsage(cpu);
      const pushes = (round - 1) * goodCount;
      cpuSeconds.get(name)?.push((user + system) / 1_000 / pushes);
      return (pushes * 1_000) / (performance.now() - startMs);
    } finally {
      await sender.close();
    }
  };
  try {
    const rates = await interleave(
      variants.map((name) => ({ name, run: () => measure(name) })),
      Number(values.rounds),
    );
    const calm = rates.get("calm") ?? [];
    const rows = variants.map((name) => {
      const rate = rates.get(name) ?? [];
      const first = firstMs.get(name) ?? [];
      return {
        "the other 20 %": name === "calm" ? "are not there" : name,
        "goodput/s": Math.round(median(rate)),
        ratio: medianRatio(rate, calm).toFixed(2),
        "first release, s": (median(first) / 1_000).toFixed(2),
        "first, ratio": medianRatio(firstMs.get("calm") ?? [], first).toFixed(2),
        "CPU s / 1,000": median(cpuSeconds.get(name) ?? []).toFixed(3),
      };
    });
    const text = values.json ? JSON.stringify(rows) : `${machine()}\n\n${markdownTable(rows)}`;
    process.stdout.write(`${text}\n`);
  } finally {
    tarpit.stop();
    hole.stop();
    sink.stop();
  }
}

function spread(good: readonly Host[], bad: readonly Host[]): Host[] {
  const every = bad.length === 0 ? Infinity : Math.floor(good.length / bad.length);
  const mixed: Host[] = [];
  let next = 0;
  for (const [index, host] of good.entries()) {
    mixed.push(host);
    const other = (index + 1) % every === 0 ? bad[next++] : undefined;
    if (other !== undefined) mixed.push(other);
  }
  return [...mixed, ...bad.slice(next)];
}

interface BadHosts {
  readonly port: number;
  readonly stop: () => void;
}

async function openTarpit(): Promise<BadHosts> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy()).on("close", () => sockets.delete(socket));
    socket.resume();
  });
  server.listen({ host: "0.0.0.0", port: 0, backlog: 4_096 });
  await once(server, "listening");
  return {
    port: portOf(server.address()),
    stop() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/**
 * A stopped process whose queue of connections is full: the kernel drops every further attempt, as a
 * host does that lost its power.
 */
async function openBlackHole(): Promise<BadHosts> {
  const main = new URL("main.ts", import.meta.url).pathname;
  const child: ChildProcess = fork(main, ["tarpit", "--black-hole-here"], { stdio: "inherit" });
  const [message]: unknown[] = await once(child, "message");
  const { port } = message as { port: number };
  child.kill("SIGSTOP");
  const fillers = Array.from({ length: 8 }, () => {
    const socket = connect({ host: "127.0.0.1", port });
    return socket.on("error", () => socket.destroy());
  });
  return {
    port,
    stop() {
      for (const socket of fillers) socket.destroy();
      child.kill("SIGKILL");
    },
  };
}

function blackHoleHere(): void {
  const server = createServer();
  server.listen({ host: "0.0.0.0", port: 0, backlog: 1 }, () => {
    process.send?.({ port: portOf(server.address()) });
  });
}

async function freePort(): Promise<number> {
  const server = createServer().listen({ host: "0.0.0.0", port: 0 });
  await once(server, "listening");
  const port = portOf(server.address());
  server.close();
  await once(server, "close");
  return port;
}

function portOf(address: unknown): number {
  return (address as { port: number }).port;
}
