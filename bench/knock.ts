/**
 * What a knock costs the node beside a TCP connect and a TLS handshake, and what a flood of forged
 * ones does to its pushes.
 *
 * Costs are CPU time of this process (all its threads) for each event, callers in another process.
 * For the flood the baseline is the same flood to a socket that nobody reads, so that the sender's own
 * share of the machine is in both figures.
 */
import { fork, spawnSync, type ChildProcess } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { startKnockListener } from "../src/api/knock-listener.ts";
import { createSocketTransport } from "../src/push/socket-transport.ts";
import type { CallerOrder, CallerReport } from "./knock-caller.ts";
import { interleave, machine, markdownTable, median, medianRatio } from "./measure.ts";
import { hostAt, pusherSender, releaseOf } from "./push-senders.ts";
import { startSink } from "./start-sink.ts";

const secret = Buffer.alloc(32, 7);
const verifiesPerSecond = 5_000;
const costSeconds = 2;
const knocksPerSecond = 4_000;

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      rounds: { type: "string", default: "5" },
      hosts: { type: "string", default: "2000" },
      flood: { type: "string", default: "50000" },
    },
  });
  const rounds = Number(values.rounds);
  process.stdout.write(`${machine()}; load average ${loadavg()[0]?.toFixed(1)}\n\n`);
  process.stdout.write(`${markdownTable(await costs(rounds))}\n\n`);
  const flood = await floods(rounds, Number(values.hosts), Number(values.flood));
  process.stdout.write(`${markdownTable(flood)}\n`);
}

// --- cost of one event

async function costs(rounds: number): Promise<Record<string, string>[]> {
  const dir = await mkdtemp(join(tmpdir(), "coxswain-bench-"));
  const tls = await certificate(dir);
  const tcpServer = createServer((socket) => socket.on("error", () => {}).resume());
  const tlsServer = createTlsServer(tls, (socket) => socket.on("error", () => {}).resume());
  tlsServer.on("tlsClientError", () => {});
  const knocks = await listener(1_000_000);
  try {
    const tcpPort = await portOf(tcpServer);
    const tlsPort = await portOf(tlsServer);
    const orders = { knock: knocks.port, tcp: tcpPort, tls: tlsPort };
    const measured = await interleave(
      Object.entries(orders).map(([kind, port]) => ({
        name: kind,
        run: () => cpuPerEvent(kind as CallerOrder["kind"], port),
      })),
      rounds,
      { warmupRounds: 1 },
    );
    const base = measured.get("tcp") ?? [];
    return [...measured].map(([name, microseconds]) => ({
      event: { knock: "knock, verified", tcp: "TCP connect", tls: "TLS handshake" }[name] ?? name,
      "CPU µs at the node": median(microseconds).toFixed(1),
      "against TCP": medianRatio(microseconds, base).toFixed(2),
    }));
  } finally {
    await knocks.stop();
    tcpServer.close();
    tlsServer.close();
    await rm(dir, { recursive: true });
  }
}

async function cpuPerEvent(kind: CallerOrder["kind"], port: number): Promise<number> {
  const before = process.cpuUsage();
  const { made } = await call({ kind, port, perSecond: knocksPerSecond, seconds: costSeconds });
  const { user, system } = process.cpuUsage(before);
  return (user + system) / made;
}

// --- pushes under a flood

async function floods(
  rounds: number,
  hostCount: number,
  perSecond: number,
): Promise<Record<string, string>[]> {
  const sink = await startSink();
  const knocks = await listener(verifiesPerSecond);
  const unread = createSocket("udp4");
  unread.bind(0, "127.0.0.1");
  await once(unread, "listening");
  const hosts = Array.from({ length: hostCount }, (_, index) => hostAt(index, sink.port));
  const sender = pusherSender(createSocketTransport);
  let round = 0;
  let bytesBack = 0;
  const sent: number[] = [];
  const under = (port: number) => async () => {
    const flooding = call({ kind: "forged", port, perSecond, seconds: costSeconds });
    const endMs = performance.now() + costSeconds * 1_000;
    const startMs = performance.now();
    let pushes = 0;
    while (performance.now() < endMs) {
      await sender.send(hosts, releaseOf(round), round);
      round++;
      pushes += hosts.length;
    }
    const rate = pushes / ((performance.now() - startMs) / 1_000);
    const report = await flooding;
    bytesBack += report.bytesBack;
    sent.push(report.made / report.seconds);
    return rate;
  };
  try {
    const measured = await interleave(
      [
        { name: "nobody reads", run: under(unread.address().port) },
        { name: "the node's knock listener", run: under(knocks.port) },
      ],
      rounds,
      { warmupRounds: 1 },
    );
    const base = measured.get("nobody reads") ?? [];
    return [...measured].map(([name, rates]) => ({
      "flood goes to": name,
      "forged knocks/s": Math.round(median(sent)).toString(),
      "pushes/s": Math.round(median(rates)).toString(),
      ratio: medianRatio(rates, base).toFixed(2),
      "bytes sent back": bytesBack.toString(),
    }));
  } finally {
    await sender.close();
    await knocks.stop();
    unread.close();
    sink.stop();
  }
}

// --- parts

function listener(budget: number) {
  return startKnockListener(
    { host: "127.0.0.1", port: 0, secret, verifiesPerSecond: budget },
    { onKnocks: () => {}, onDropped: () => {}, onFailed: (message) => console.error(message) },
  );
}

async function call(order: Omit<CallerOrder, "secret">): Promise<CallerReport> {
  const path = fileURLToPath(new URL("knock-caller.ts", import.meta.url));
  const child: ChildProcess = fork(path, { stdio: "inherit" });
  child.send({ ...order, secret: secret.toString("hex") } satisfies CallerOrder);
  const [report]: unknown[] = await once(child, "message");
  await once(child, "exit");
  return report as CallerReport;
}

async function portOf(server: ReturnType<typeof createServer>): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new TypeError("Expected a port");
  return address.port;
}

async function certificate(dir: string): Promise<{ key: Buffer; cert: Buffer }> {
  const [key, cert] = [join(dir, "key.pem"), join(dir, "cert.pem")];
  const made = spawnSync(
    "openssl",
    `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=bench -keyout ${key} -out ${cert}`.split(
      " ",
    ),
  );
  if (made.status !== 0) throw new Error(`openssl: ${String(made.stderr)}`);
  return { key: await readFile(key), cert: await readFile(cert) };
}
