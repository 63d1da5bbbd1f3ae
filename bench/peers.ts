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
 * Raw sockets are the floor for one process that writes to each receiver and reads its answer: prepared
 * bytes, no deadline, nothing read of the reply or kept.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { parseArgs } from "node:util";
import { createSocketTransport } from "../src/push/socket-transport.ts";
import { watchCommits } from "./commit-watch.ts";
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
import { cpuMsOf } from "./process-cpu.ts";
import {
  contentBytes,
  hostAt,
  pusherSender,
  rawSender,
  releaseOf,
  type Sender,
} from "./push-senders.ts";
import { startReverseCluster } from "./reverse-cluster.ts";
import { startSink } from "./start-sink.ts";

const heldWaitMs = 120_000;
const warmupRounds = 2;

interface Subject {
  /** Sends once to everybody; ms, where that is not the time of the whole call. */
  readonly send: (round: number) => Promise<number | void>;
  /** Of all processes that take part, besides this one. */
  readonly pids: readonly number[];
  /** The same from when the change was durable, where it is made durable first. */
  readonly committedMs?: readonly number[];
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
    const pushers = pusherSender(createSocketTransport);
    subjects.set("coxswain", await startSender(pushers, count));
    subjects.set("raw sockets", await startSender(rawSender(), count));
    subjects.set("reverse", await startReverse(count));
    for (const [name, program, start] of [
      ["NATS", programs.nats, startNatsSubject],
      ["etcd", programs.etcd, startEtcdSubject],
    ] as const) {
      if (isInstalled(program)) subjects.set(name, await start(count));
      else console.error(`${program} is not installed: left out`);
    }
    let round = 0;
    const cpuUs = new Map([...subjects.keys()].map((name) => [name, [] as number[]]));
    const variants = [...subjects].map(([name, { send, pids }]) => ({
      name,
      async run() {
        const all = [process.pid, ...pids];
        const beforeMs = cpuMsOf(all);
        const ms = await timed(() => send(++round));
        cpuUs.get(name)?.push(((cpuMsOf(all) - beforeMs) * 1_000) / count);
        return ms;
      },
    }));
    const times = await interleave(variants, rounds, { warmupRounds });
    const own = times.get("coxswain") ?? [];
    const nats = times.get("NATS");
    return [...times].map(([system, ms]) => ({
      receivers: count,
      system,
      "ms to all": median(ms).toFixed(0),
      "receivers/s": Math.round((count * 1_000) / median(ms)),
      "CPU us / receiver": median(cpuUs.get(system)?.slice(warmupRounds) ?? []).toFixed(0),
      "time / coxswain's": medianRatio(ms, own).toFixed(2),
      ...(nats && { "time / NATS's": medianRatio(ms, nats).toFixed(2) }),
      "from the commit, ms": fromCommit(subjects.get(system), nats),
      rounds: ms.map((each) => each.toFixed(0)).join(" "),
    }));
  } finally {
    for (const { stop } of subjects.values()) await stop();
  }
}

/** The median, and what that is of NATS's whole time. */
function fromCommit(subject: Subject | undefined, nats: readonly number[] | undefined): string {
  const ms = subject?.committedMs?.slice(warmupRounds);
  if (ms === undefined) return "";
  return median(ms).toFixed(0) + (nats ? ` (${medianRatio(ms, nats).toFixed(2)})` : "");
}

async function timed(send: () => Promise<number | void>): Promise<number> {
  let own: number | void = undefined;
  const whole = await timedMs(async () => {
    own = await send();
  });
  return own ?? whole;
}

/**
 * One node with a pace that is no limit, all of whose hosts have opened a connection. What it writes of a
 * rollout 5 s after it is put off: rounds follow each other faster, and it would fall into anybody's time.
 */
async function startReverse(count: number): Promise<Subject> {
  const flags = ["--links", String(count + 100), "--attaches-per-second", "5000"];
  const pace = ["--pushes-per-second", "100000", "--sweep-interval", "5m"];
  const checkpoints = ["--checkpoint-interval", "10m"];
  const plan = { isDirect: true, flags: [...flags, ...pace, ...checkpoints] };
  const fleet = await startReverseCluster(1, count, plan);
  const { cluster, sink } = fleet;
  const [node] = cluster.nodes;
  const apiUrl = node?.apiUrl ?? "";
  const committedMs: number[] = [];
  const commits = watchCommits();
  return {
    pids: [sink.pid, node?.pid ?? 0],
    committedMs,
    async send(round) {
      const { startMs, manifest } = await rollOut(apiUrl, contentOf(round));
      const heldMs = await untilHeld(sink, manifest, count, heldWaitMs);
      committedMs.push(heldMs - commits.since(startMs));
      return heldMs - startMs;
    },
    stop: () => {
      commits.stop();
      return fleet.stop();
    },
  };
}

/** A sender of this process, with receivers that it dials. */
async function startSender(sender: Sender, count: number): Promise<Subject> {
  const sink = await startSink();
  const hosts = Array.from({ length: count }, (_, index) => hostAt(index, sink.port));
  return {
    pids: [sink.pid],
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
    pids: [server.pid, receivers.pid ?? 0],
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
    pids: [server.pid, receivers.pid ?? 0],
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
