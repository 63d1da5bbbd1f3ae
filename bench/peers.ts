/**
 * One change to many receivers, beside NATS and etcd in the same run: from the sender's call until every
 * receiver has it and the sender knows. All receivers of a system live in one other process.
 *
 * They do not do the same work. Coxswain: a fenced request to each host's own address, a reply
 * that is read, believed and kept. Reverse: the same over connections that the hosts opened, with a whole
 * node process before it: from the call that starts a rollout, its commit to the store included, to the
 * last acknowledgement. NATS: one publish, the server fans out over connections that the
 * receivers opened, each answers; nothing is stored. etcd: a write through the log on disk, watches
 * fan out; receivers do not answer, so that the sender "knows" here because the process of the receivers says so.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { parseArgs } from "node:util";
import { createSocketTransport } from "../src/push/socket-transport.ts";
import { rollOut, untilHeld } from "./fleet-cluster.ts";
import { interleave, machine, markdownTable, median, medianRatio, timedMs } from "./measure.ts";
import {
  etcdPut,
  isInstalled,
  natsSender,
  programs,
  startEtcd,
  startNats,
} from "./peer-clients.ts";
import { contentBytes, hostAt, pusherSender, releaseOf } from "./push-senders.ts";
import { startReverseCluster } from "./reverse-cluster.ts";
import { startSink } from "./start-sink.ts";

const heldWaitMs = 120_000;

interface Subject {
  /** Sends once to everybody; ms, where that is not the time of the whole call. */
  readonly send: (round: number) => Promise<number | void>;
  readonly stop: () => Promise<void>;
}

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      receivers: { type: "string", default: "1000,5000" },
      rounds: { type: "string", default: "7" },
      json: { type: "boolean", default: false },
    },
  });
  const rows: Record<string, string | number>[] = [];
  for (const count of values.receivers.split(",").map(Number)) {
    rows.push(...(await compare(count, Number(values.rounds))));
  }
  const text = values.json ? JSON.stringify(rows) : `${machine()}\n\n${markdownTable(rows)}`;
  process.stdout.write(`${text}\n`);
}

async function compare(count: number, rounds: number): Promise<Record<string, string | number>[]> {
  const subjects = new Map<string, Subject>();
  try {
    subjects.set("coxswain", await startOwn(count));
    subjects.set("reverse", await startReverse(count));
    for (const [name, program, start] of [
      ["NATS", programs.nats, startNatsSubject],
      ["etcd", programs.etcd, startEtcdSubject],
    ] as const) {
      if (isInstalled(program)) subjects.set(name, await start(count));
      else console.error(`${program} is not installed: left out`);
    }
    let round = 0;
    const variants = [...subjects].map(([name, { send }]) => ({
      name,
      run: () => timed(() => send(++round)),
    }));
    const times = await interleave(variants, rounds, { warmupRounds: 2 });
    const own = times.get("coxswain") ?? [];
    const nats = times.get("NATS");
    return [...times].map(([name, ms]) => ({
      receivers: count,
      system: name,
      "ms to all": median(ms).toFixed(0),
      "receivers/s": Math.round((count * 1_000) / median(ms)),
      "time / coxswain's": medianRatio(ms, own).toFixed(2),
      ...(nats && { "time / NATS's": medianRatio(ms, nats).toFixed(2) }),
      rounds: ms.map((each) => each.toFixed(0)).join(" "),
    }));
  } finally {
    for (const { stop } of subjects.values()) await stop();
  }
}

async function timed(send: () => Promise<number | void>): Promise<number> {
  let own: number | void = undefined;
  const whole = await timedMs(async () => {
    own = await send();
  });
  return own ?? whole;
}

/** One node with a pace that is no limit, all of whose hosts have opened a connection. */
async function startReverse(count: number): Promise<Subject> {
  const flags = ["--links", String(count + 100), "--attaches-per-second", "5000"];
  const pace = ["--pushes-per-second", "100000", "--sweep-interval", "5m"];
  const plan = { isDirect: true, flags: [...flags, ...pace] };
  const fleet = await startReverseCluster(1, count, plan);
  const { cluster, sink } = fleet;
  const apiUrl = cluster.nodes[0]?.apiUrl ?? "";
  return {
    async send(round) {
      const { startMs, manifest } = await rollOut(apiUrl, contentOf(round));
      return (await untilHeld(sink, manifest, count, heldWaitMs)) - startMs;
    },
    stop: () => fleet.stop(),
  };
}

async function startOwn(count: number): Promise<Subject> {
  const sink = await startSink();
  const sender = pusherSender(createSocketTransport);
  const hosts = Array.from({ length: count }, (_, index) => hostAt(index, sink.port));
  return {
    send: (round) => sender.send(hosts, releaseOf(round), round),
    async stop() {
      await sender.close();
      sink.stop();
    },
  };
}

async function startNatsSubject(count: number): Promise<Subject> {
  const server = await startNats();
  const receivers = await startReceivers("nats", server.port, count);
  const sender = await natsSender(server.port, "config");
  return {
    send: (round) => sender.publish(contentOf(round), count),
    async stop() {
      sender.close();
      receivers.disconnect();
      await server.stop();
    },
  };
}

async function startEtcdSubject(count: number): Promise<Subject> {
  const server = await startEtcd();
  const receivers = await startReceivers("etcd", server.port, count);
  return {
    async send(round) {
      receivers.send("again");
      const received = once(receivers, "message");
      await etcdPut(server.port, contentOf(round));
      await received;
    },
    async stop() {
      receivers.disconnect();
      await server.stop();
    },
  };
}

async function startReceivers(kind: string, port: number, count: number) {
  const file = new URL("peer-receivers.ts", import.meta.url).pathname;
  const child = fork(file, [kind, String(port), String(count)], { stdio: "inherit" });
  await once(child, "message");
  return child;
}

function contentOf(round: number): string {
  return `${round} `.padEnd(contentBytes, "x");
}
