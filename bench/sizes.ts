/**
 * What the size of a content costs a push, and so the most that deltas could save: a change of one line would
 * travel like the smallest content here, whatever the config's size, and that without counting what making and
 * applying it takes. Warm pushes of the product's pusher over kept connections; a release of each size in turn.
 */
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import { createSocketTransport } from "../src/push/socket-transport.ts";
import { interleave, machine, markdownTable, median, medianRatio, timedMs } from "./measure.ts";
import { hostAt, pusherSender, releaseOf } from "./push-senders.ts";
import { startSink } from "./start-sink.ts";

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      hosts: { type: "string", default: "1000" },
      kilobytes: { type: "string", default: "1,4,20,100,1000" },
      rounds: { type: "string", default: "7" },
    },
  });
  const sizes = values.kilobytes.split(",").map((text) => Number(text) * 1_024);
  const sink = await startSink();
  const sender = pusherSender(createSocketTransport);
  try {
    const hosts = Array.from({ length: Number(values.hosts) }, (_, at) => hostAt(at, sink.port));
    const cpuUs = new Map(sizes.map((bytes) => [bytes, [] as number[]]));
    let round = 0;
    const variants = sizes.map((bytes) => ({
      name: String(bytes),
      async run() {
        const release = releaseOf(++round, bytes);
        const before = process.cpuUsage();
        const ms = await timedMs(() => sender.send(hosts, release, round));
        const { user, system } = process.cpuUsage(before);
        cpuUs.get(bytes)?.push((user + system) / hosts.length);
        return ms;
      },
    }));
    const warmupRounds = 6;
    const times = await interleave(variants, Number(values.rounds), { warmupRounds });
    const [least = []] = times.values();
    const rows = [...times].map(([bytes, ms]) => ({
      "content KB": Number(bytes) / 1_024,
      "travels as KB": (gzipSync(releaseOf(1, Number(bytes)).body).length / 1_024).toFixed(1),
      "pushes/s": Math.round(hosts.length / (median(ms) / 1_000)),
      "CPU µs / push": median(cpuUs.get(Number(bytes))?.slice(warmupRounds) ?? []).toFixed(0),
      "time / smallest": medianRatio(ms, least).toFixed(2),
    }));
    process.stdout.write(`${hosts.length} hosts; ${machine()}\n\n${markdownTable(rows)}\n`);
  } finally {
    await sender.close();
    sink.stop();
  }
}
