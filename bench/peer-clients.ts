/**
 * The least of two protocols that the comparison needs: NATS as text over a socket, etcd through its
 * JSON gateway. Servers are started here on free ports and data in a folder that is removed.
 */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { Agent, get, request as httpRequest } from "node:http";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

export interface PeerServer {
  readonly port: number;
  readonly pid: number;
  readonly stop: () => Promise<void>;
}

/** From the system, not from npm. */
export const programs = { nats: "nats-server", etcd: "etcd" } as const;

const startMaxMs = 15_000;

export function isInstalled(program: string): boolean {
  return spawnSync(program, ["--version"], { stdio: "ignore" }).error === undefined;
}

export async function startNats(): Promise<PeerServer> {
  const port = await freePort();
  const child = spawn(programs.nats, ["-a", "127.0.0.1", "-p", String(port)], { stdio: "ignore" });
  await untilOpen(port);
  return { port, pid: child.pid ?? 0, stop: () => ended(child) };
}

export async function startEtcd(): Promise<PeerServer> {
  const [port, peerPort] = [await freePort(), await freePort()];
  const dir = await mkdtemp(join(tmpdir(), "coxswain-etcd-"));
  const own = `http://127.0.0.1:${port}`;
  const peer = `http://127.0.0.1:${peerPort}`;
  const args = ["--data-dir", dir, "--listen-client-urls", own, "--advertise-client-urls", own];
  args.push("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer);
  args.push("--initial-cluster", `default=${peer}`, "--log-level", "error");
  const child = spawn(programs.etcd, args, { stdio: "ignore" });
  await untilOpen(port);
  // The election of a single member.
  await sleep(1_000);
  return {
    port,
    pid: child.pid ?? 0,
    async stop() {
      await ended(child);
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** A connection that subscribes to `subject` and answers every message. Resolves when it is subscribed. */
export async function natsReceiver(port: number, subject: string): Promise<Socket> {
  const socket = await natsConnect(port, `SUB ${subject} 1\r\n`);
  let pending = "";
  socket.on("data", (chunk: Buffer) => {
    pending += chunk.toString("latin1");
    pending = takeMessages(pending, (reply) => {
      if (reply !== undefined) socket.write(`PUB ${reply} 2\r\nok\r\n`);
    });
    if (pending.startsWith("PING\r\n")) {
      pending = pending.slice(6);
      socket.write("PONG\r\n");
    }
  });
  return socket;
}

/** Publishes to `subject` and counts the answers: `publish` resolves when there were `count`. */
export async function natsSender(port: number, subject: string) {
  const inbox = "_INBOX.bench";
  const socket = await natsConnect(port, `SUB ${inbox} 1\r\n`);
  let left = 0;
  let done: (() => void) | undefined;
  let pending = "";
  socket.on("data", (chunk: Buffer) => {
    pending = takeMessages(pending + chunk.toString("latin1"), () => {
      left--;
      if (left === 0) done?.();
    });
    if (pending.startsWith("PING\r\n")) {
      pending = pending.slice(6);
      socket.write("PONG\r\n");
    }
  });
  return {
    publish(content: string, count: number): Promise<void> {
      left = count;
      socket.write(`PUB ${subject} ${inbox} ${content.length}\r\n${content}\r\n`);
      return new Promise((resolve) => {
        done = resolve;
      });
    },
    close: () => socket.destroy(),
  };
}

async function natsConnect(port: number, first: string): Promise<Socket> {
  const socket = connect({ host: "127.0.0.1", port, noDelay: true });
  socket.on("error", () => socket.destroy());
  // INFO comes first; PONG says that all before it has been taken.
  await once(socket, "data");
  socket.write(`CONNECT {"verbose":false,"pedantic":false}\r\n${first}PING\r\n`);
  for (;;) {
    const [chunk] = (await once(socket, "data")) as [Buffer];
    if (chunk.includes("PONG")) return socket;
  }
}

/** Takes whole `MSG subject sid [reply] bytes` from the front; returns the rest. */
function takeMessages(text: string, take: (reply: string | undefined) => void): string {
  let rest = text;
  for (;;) {
    const lineEnd = rest.indexOf("\r\n");
    if (lineEnd === -1 || !rest.startsWith("MSG ")) return rest;
    const words = rest.slice(0, lineEnd).split(" ");
    const end = lineEnd + 2 + Number(words.at(-1)) + 2;
    if (rest.length < end) return rest;
    take(words.length === 5 ? words[3] : undefined);
    rest = rest.slice(end);
  }
}

const etcdKey = Buffer.from("config").toString("base64");

/** One watch, a connection of its own; `onChange` for every change. Resolves when it is watching. */
export async function etcdReceiver(port: number, onChange: () => void): Promise<() => void> {
  const agent = new Agent({ keepAlive: false });
  const watch = httpRequest({ host: "127.0.0.1", port, path: "/v3/watch", method: "POST", agent });
  watch.on("error", () => watch.destroy());
  watch.end(JSON.stringify({ create_request: { key: etcdKey } }));
  const [response] = (await once(watch, "response")) as [
    AsyncIterable<Buffer> & NodeJS.ReadableStream,
  ];
  await new Promise<void>((resolve) => {
    response.on("error", () => watch.destroy());
    response.on("data", (chunk: Buffer) => {
      const text = chunk.toString("latin1");
      if (text.includes('"created":true')) resolve();
      if (text.includes('"events"')) onChange();
    });
  });
  return () => watch.destroy();
}

export async function etcdPut(port: number, content: string): Promise<void> {
  const value = Buffer.from(content).toString("base64");
  const reply = await fetch(`http://127.0.0.1:${port}/v3/kv/put`, {
    method: "POST",
    body: JSON.stringify({ key: etcdKey, value }),
  });
  await reply.text();
  if (reply.status !== 200) throw new Error(`etcd put: ${reply.status}`);
}

async function untilOpen(port: number): Promise<void> {
  const endMs = performance.now() + startMaxMs;
  for (;;) {
    const isOpen = await new Promise<boolean>((resolve) => {
      const probe = get({ host: "127.0.0.1", port, path: "/version", timeout: 500 });
      probe.on("response", (reply) => {
        reply.resume();
        resolve(true);
      });
      // NATS answers HTTP with its own greeting: a parse error is an open port too.
      probe.on("error", (error: NodeJS.ErrnoException) => resolve(error.code !== "ECONNREFUSED"));
    });
    if (isOpen) return;
    if (performance.now() > endMs) throw new Error(`nothing listens on port ${port}`);
    await sleep(100);
  }
}

async function ended(child: ChildProcess): Promise<void> {
  const exit = once(child, "exit");
  child.kill("SIGKILL");
  await exit;
}

async function freePort(): Promise<number> {
  const server = createServer().listen({ host: "127.0.0.1", port: 0 });
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
