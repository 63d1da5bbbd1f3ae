/**
 * Memory of a node per open host connection: the resident set before and after one exchange with
 * each of 5,000 hosts, all connections kept, after garbage collection.
 *
 * Each subject runs in a process of its own, because memory that one has taken is not given back for
 * the next. A few hundred hosts come first, so that code and pools that are needed anyway do not
 * count. The kernel's socket buffers are outside of the resident set for all alike.
 */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { systemClock } from "../src/kernel/clock.ts";
import { syncPath } from "../src/protocol/sync.ts";
import { createSocketTransport } from "../src/push/socket-transport.ts";
import { measureIdleHosts, reportIdleHosts } from "./idle-hosts.ts";
import { machine, markdownTable, median } from "./measure.ts";
import {
  eachInFlight,
  hostAt,
  rawSender,
  releaseOf,
  undiciSender,
  type CreateTransport,
  type Host,
  type Sender,
} from "./push-senders.ts";
import { measureReverseMemory, reportReverseMemory } from "./reverse-memory.ts";
import { startSink } from "./start-sink.ts";
import { createUndiciTransport } from "./undici-transport.ts";

const firstHosts = 300;
const settleMs = 300;

const subjects: Readonly<Record<string, () => Sender>> = {
  "raw sockets (bound)": rawSender,
  "socket transport": () => transportSender(createSocketTransport),
  "undici transport": () => transportSender(createUndiciTransport),
  "undici request": undiciSender,
};

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      hosts: { type: "string", default: "5000" },
      rounds: { type: "string", default: "2" },
      /** Measures this one, here. */
      subject: { type: "string" },
      /** Growth per idle host up to so many, instead of connections. */
      "idle-hosts": { type: "string" },
      /** Measures a node with so many idle hosts, here. */
      "idle-here": { type: "string" },
      /** Connections that hosts opened, instead of those that a node opened. */
      reverse: { type: "boolean", default: false },
      /** Measures so many of them, here. */
      "reverse-here": { type: "string" },
      "heap-snapshot": { type: "string" },
    },
  });
  if (values["reverse-here"] !== undefined) {
    await measureReverseMemory(Number(values["reverse-here"]));
    return;
  }
  if (values.reverse) {
    await reportReverseMemory(Number(values.hosts), Number(values.rounds));
    return;
  }
  if (values["idle-here"] !== undefined) {
    await measureIdleHosts(Number(values["idle-here"]), values["heap-snapshot"]);
    return;
  }
  if (values["idle-hosts"] !== undefined) {
    const large = Number(values["idle-hosts"]);
    await reportIdleHosts(large / 10, large, Number(values.rounds));
    return;
  }
  if (values.subject !== undefined) {
    const bytes = await measure(values.subject, Number(values.hosts));
    process.stdout.write(`${bytes}\n`);
    return;
  }
  const bytes = new Map<string, number[]>();
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const subject of Object.keys(subjects)) {
      bytes.set(subject, [
        ...(bytes.get(subject) ?? []),
        await measureAside(subject, values.hosts),
      ]);
    }
  }
  const rows = [...bytes].map(([subject, list]) => ({
    subject,
    "KB resident / connection": (median(list) / 1_024).toFixed(1),
    rounds: list.map((each) => (each / 1_024).toFixed(1)).join(" "),
  }));
  process.stdout.write(
    `${values.hosts} connections, ${values.rounds} rounds, medians\n${machine()}\n\n${markdownTable(rows)}\n`,
  );
}

async function measureAside(subject: string, hosts: string): Promise<number> {
  const main = fileURLToPath(new URL("main.ts", import.meta.url));
  const args = ["--expose-gc", main, "memory", "--subject", subject, "--hosts", hosts];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return Number(stdout);
}

async function measure(subject: string, hostCount: number): Promise<number> {
  const make = subjects[subject];
  if (make === undefined) throw new TypeError(`no subject ${subject}`);
  const { port, stop } = await startSink();
  const hosts = Array.from({ length: firstHosts + hostCount }, (_, index) => hostAt(index, port));
  const sender = make();
  try {
    // Host objects and their texts are the inventory's; each is used twice, so that they exist before.
    await sender.send(hosts.slice(0, firstHosts), releaseOf(0), 0);
    const before = await residentBytes();
    await sender.send(hosts.slice(firstHosts), releaseOf(0), 0);
    const after = await residentBytes();
    return (after - before) / hostCount;
  } finally {
    await sender.close();
    stop();
  }
}

function transportSender(create: CreateTransport): Sender {
  const transport = create(systemClock, {
    socketsMax: 1_000_000,
    keepAliveMs: 300_000,
    connectTimeoutMs: 5_000,
  });
  return {
    send: (hosts: readonly Host[], { body }) =>
      eachInFlight(hosts, async ({ id, address }) => {
        const headers = { "content-type": "application/json", "coxswain-host": id };
        const request = { origin: address, path: syncPath, headers, body, deadlineMs: 10_000 };
        const result = await transport.exchange(request);
        if (result.kind === "failed") throw new Error(result.message);
      }),
    close: () => transport.stop(),
  };
}

async function residentBytes(): Promise<number> {
  for (let turn = 0; turn < 4; turn++) {
    await globalThis.gc?.({ type: "major", execution: "async" });
    await systemClock.sleep(settleMs);
  }
  return process.memoryUsage.rss();
}
