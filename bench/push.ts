/**
 * Pushing against its baseline: the pusher with all its bookkeeping beside a plain undici `request`
 * loop with the same number in flight, to the same distinct loopback origins.
 *
 * Cold is the first contact (connect, send 1 KB, read the reply); warm is the next release over the
 * kept connections. The hosts live in one other process (sink.ts). Rounds alternate; the ratio of
 * each round is what counts, the absolute figures depend on the machine and the minute.
 */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Agent, request } from "undici";
import type { HostId } from "../src/inventory/host.ts";
import { systemClock } from "../src/kernel/clock.ts";
import { silentLogger } from "../src/kernel/log.ts";
import { createMetrics } from "../src/kernel/metrics.ts";
import { createRandom } from "../src/kernel/random.ts";
import { digestOf, manifestDigestOf, type Digest } from "../src/protocol/digest.ts";
import type { Manifest } from "../src/protocol/manifest.ts";
import { syncPath } from "../src/protocol/sync.ts";
import { defaultPushOptions } from "../src/push/push-options.ts";
import { createPusher } from "../src/push/pusher.ts";
import { createUndiciTransport } from "../src/push/undici-transport.ts";
import { emptyView } from "../src/ring/view.ts";
import {
  interleave,
  machine,
  markdownTable,
  median,
  medianRatio,
  type Variant,
} from "./measure.ts";

const contentBytes = 1_024;
const inFlightMax = 256;
const warmPasses = 4;

interface Release {
  readonly content: Buffer;
  readonly manifest: Manifest;
  /** The full sync request, as the baseline sends it. */
  readonly body: Buffer;
}

interface Host {
  readonly id: HostId;
  readonly address: string;
}

/** Sends one release to every host, any number of times; `close` ends its connections. */
interface Sender {
  send(release: Release, round: number): Promise<void>;
  close(): Promise<void>;
}

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      hosts: { type: "string", default: "5000" },
      rounds: { type: "string", default: "5" },
    },
  });
  const hostCount = Number(values.hosts);
  const rounds = Number(values.rounds);
  const { child, port } = await startSink();
  try {
    const hosts = Array.from({ length: hostCount }, (_, index) => hostAt(index, port));
    const cpuSeconds = new Map<string, number[]>();
    const variants = [
      ...variantsOf("undici request", () => plainSender(hosts), hostCount, cpuSeconds),
      ...variantsOf("pusher", () => pusherSender(hosts), hostCount, cpuSeconds),
    ];
    const rates = await interleave(variants, rounds, { warmupRounds: 1 });
    for (const [name, list] of cpuSeconds) cpuSeconds.set(name, list.slice(-rounds));
    report(hostCount, rounds, rates, cpuSeconds);
  } finally {
    child.disconnect();
  }
}

function report(
  hostCount: number,
  rounds: number,
  rates: ReadonlyMap<string, readonly number[]>,
  cpuSeconds: ReadonlyMap<string, readonly number[]>,
): void {
  const rows = ["cold", "warm"].flatMap((phase) =>
    ["undici request", "pusher"].map((name) => {
      const rate = rates.get(`${name}, ${phase}`) ?? [];
      const baseline = rates.get(`undici request, ${phase}`) ?? [];
      return {
        variant: `${name}, ${phase}`,
        "pushes/s": Math.round(median(rate)),
        ratio: medianRatio(rate, baseline).toFixed(2),
        "ratio, rounds": rate
          .map((value, round) => (value / (baseline[round] ?? Number.NaN)).toFixed(2))
          .join(" "),
        "CPU s / 1,000 pushes": median(cpuSeconds.get(`${name}, ${phase}`) ?? [0]).toFixed(3),
      };
    }),
  );
  process.stdout.write(
    `${hostCount} distinct origins, ${contentBytes} bytes of config, ${inFlightMax} in flight, ` +
      `${rounds} rounds, medians\n${machine()}\n\n${markdownTable(rows)}\n`,
  );
}

function variantsOf(
  name: string,
  makeSender: () => Sender,
  hostCount: number,
  cpuSeconds: Map<string, number[]>,
): Variant[] {
  const measured = async (label: string, pushes: number, work: () => Promise<void>) => {
    const cpuBefore = process.cpuUsage();
    const startMs = performance.now();
    await work();
    const seconds = (performance.now() - startMs) / 1_000;
    const cpu = process.cpuUsage(cpuBefore);
    const list = cpuSeconds.get(label) ?? [];
    list.push((cpu.user + cpu.system) / 1_000 / pushes);
    cpuSeconds.set(label, list);
    return pushes / seconds;
  };
  return [
    {
      name: `${name}, cold`,
      async run() {
        const sender = makeSender();
        const rate = await measured(`${name}, cold`, hostCount, () => sender.send(releaseOf(0), 0));
        await sender.close();
        return rate;
      },
    },
    {
      name: `${name}, warm`,
      async run() {
        const sender = makeSender();
        await sender.send(releaseOf(0), 0);
        const rate = await measured(`${name}, warm`, hostCount * warmPasses, async () => {
          for (let pass = 1; pass <= warmPasses; pass++) await sender.send(releaseOf(pass), pass);
        });
        await sender.close();
        return rate;
      },
    },
  ];
}

/** The baseline: as many loops as may be in flight, each taking the next host. */
function plainSender(hosts: readonly Host[]): Sender {
  const agent = new Agent({ connections: 1, pipelining: 1, keepAliveTimeout: 300_000 });
  return {
    async send(release) {
      let next = 0;
      const loop = async () => {
        for (let host = hosts[next++]; host !== undefined; host = hosts[next++]) {
          const { body } = await request(host.address + syncPath, {
            method: "POST",
            headers: { "content-type": "application/json", "coxswain-host": host.id },
            body: release.body,
            dispatcher: agent,
          });
          await body.dump();
        }
      };
      await Promise.all(Array.from({ length: inFlightMax }, loop));
    },
    close: () => agent.destroy(),
  };
}

function pusherSender(hosts: readonly Host[]): Sender {
  const transport = createUndiciTransport(systemClock, {
    socketsMax: hosts.length + 100,
    keepAliveMs: 300_000,
    connectTimeoutMs: 5_000,
  });
  const contents = new Map<Digest, Buffer>();
  let wanted: Digest | undefined;
  let missingCount = 0;
  let done: (() => void) | undefined;
  const pusher = createPusher(
    {
      clock: systemClock,
      random: createRandom("bench"),
      transport,
      contents: (digest) => Promise.resolve(contents.get(digest) ?? Buffer.alloc(0)),
      log: silentLogger,
      metrics: createMetrics(),
      mayPush: () => true,
    },
    { cluster: "bench", node: "node-1", view: () => emptyView },
    { ...defaultPushOptions, pushesPerSecond: 1_000_000, inFlightMax, rollbackReserveRatio: 0 },
    {
      onStatus(id) {
        if (pusher.status(id)?.held?.manifest !== wanted) return;
        missingCount--;
        if (missingCount === 0) done?.();
      },
      onStale: (id) => {
        throw new Error(`stale: ${id}`);
      },
      onNewerView: () => {},
      onReachability: () => {},
      onDrift: () => {},
    },
  );
  pusher.start();
  return {
    async send({ content, manifest }, round) {
      contents.set(digestOf(content), content);
      wanted = manifest.digest;
      missingCount = hosts.length;
      const finished = new Promise<void>((resolve) => {
        done = resolve;
      });
      for (const { id, address } of hosts) {
        const fence = { generation: 1, fleet: 1 + round, host: 1 };
        pusher.upsert({ id, address, fence, manifest }, "change");
      }
      await finished;
    },
    async close() {
      await pusher.stop();
      await transport.stop();
    },
  };
}

function hostAt(index: number, port: number): Host {
  const [high, low] = [1 + Math.floor(index / 250), 1 + (index % 250)];
  return { id: `host-${index}` as HostId, address: `http://127.1.${high}.${low}:${port}` };
}

function releaseOf(round: number): Release {
  const random = createRandom(`release ${round}`);
  const line = () => `setting_${Math.floor(random.next() * 1e9)} = ${random.next()};\n`;
  const content = Buffer.from(Array.from({ length: 40 }, line).join("")).subarray(0, contentBytes);
  const name = "app.conf";
  const digest = digestOf(content);
  const manifest: Manifest = {
    digest: manifestDigestOf([{ name, digest }]),
    configs: [{ name, digest }],
  };
  const text = content.toString("utf8");
  const offered = { name, digest, size: content.length, content: text, encoding: "utf8" };
  const body = Buffer.from(JSON.stringify({ manifest: manifest.digest, configs: [offered] }));
  return { content, manifest, body };
}

async function startSink(): Promise<{ readonly child: ChildProcess; readonly port: number }> {
  const child = fork(fileURLToPath(new URL("sink.ts", import.meta.url)), { stdio: "inherit" });
  const [message]: unknown[] = await once(child, "message");
  if (typeof message !== "object" || message === null || !("port" in message)) {
    throw new TypeError("the sink did not say its port");
  }
  return { child, port: Number(message.port) };
}
