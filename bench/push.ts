/**
 * Pushing against its baseline: the pusher with all its bookkeeping beside a plain undici `request`
 * loop with the same number in flight, to the same distinct loopback origins, and beside the bound
 * that bare sockets set.
 *
 * Cold is the first contact (connect, send 1 KB, read the reply); warm is the next release over the
 * kept connections. The hosts live in one other process (sink.ts). Rounds alternate; the ratio of
 * each round is what counts, the absolute figures depend on the machine and the minute. CPU is that of
 * the sending process.
 */
import { loadavg } from "node:os";
import { parseArgs } from "node:util";
import { createSocketTransport } from "../src/push/socket-transport.ts";
import {
  interleave,
  machine,
  markdownTable,
  median,
  medianRatio,
  type Variant,
} from "./measure.ts";
import {
  contentBytes,
  hostAt,
  inFlightMax,
  pusherSender,
  rawSender,
  releaseOf,
  undiciSender,
  type Host,
  type Sender,
} from "./push-senders.ts";
import { startSink } from "./start-sink.ts";
import { createUndiciTransport } from "./undici-transport.ts";

const warmPasses = 4;
/** Whatever was asked for, no further round begins after this. */
const runMaxMs = 110_000;
const baseline = "undici request";

const senders: Readonly<Record<string, () => Sender>> = {
  [baseline]: undiciSender,
  "undici transport + pusher": () => pusherSender(createUndiciTransport),
  "socket transport + pusher": () => pusherSender(createSocketTransport),
  "raw sockets (bound)": rawSender,
};

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      hosts: { type: "string", default: "5000" },
      rounds: { type: "string", default: "7" },
      only: { type: "string", default: "" },
    },
  });
  const { port, stop } = await startSink();
  try {
    const hostCount = Number(values.hosts);
    const hosts = Array.from({ length: hostCount }, (_, index) => hostAt(index, port));
    const names = Object.keys(senders).filter((name) => name.includes(values.only));
    const measured = new Measurements(hosts);
    const variants = names.flatMap((name) => measured.variantsOf(name));
    const rounds = await measured.run(variants, Number(values.rounds));
    process.stdout.write(
      `${hostCount} distinct origins, ${contentBytes} bytes of config, ${inFlightMax} in flight, ` +
        `${rounds} rounds, medians\n${machine()}; load average ${loadavg()[0]?.toFixed(1)}\n\n` +
        `${markdownTable(measured.rows(names))}\n`,
    );
  } finally {
    stop();
  }
}

class Measurements {
  readonly #hosts: readonly Host[];
  /** By variant, one a round. */
  readonly #rates = new Map<string, number[]>();
  readonly #cpuSeconds = new Map<string, number[]>();

  constructor(hosts: readonly Host[]) {
    this.#hosts = hosts;
  }

  /** At most `roundsMax` rounds after one that does not count; as many as were run. */
  async run(variants: readonly Variant[], roundsMax: number): Promise<number> {
    const startMs = performance.now();
    await interleave(variants, 1);
    this.#cpuSeconds.clear();
    let rounds = 0;
    while (rounds < roundsMax && performance.now() - startMs < runMaxMs) {
      const turn = rounds++ % 2 === 0 ? variants : variants.toReversed();
      for (const [name, values] of await interleave(turn, 1)) append(this.#rates, name, ...values);
    }
    return rounds;
  }

  variantsOf(name: string): Variant[] {
    const make = senders[name] ?? undiciSender;
    const hosts = this.#hosts;

    return [
      {
        name: `${name}, cold`,
        run: async () => {
          const sender = make();
          const rate = await this.#measure(`${name}, cold`, hosts.length, () =>
            sender.send(hosts, releaseOf(0), 0),
          );
          await sender.close();
          return rate;
        },
      },
      {
        name: `${name}, warm`,
        run: async () => {
          const sender = make();
          await sender.send(hosts, releaseOf(0), 0);
          const rate = await this.#measure(`${name}, warm`, hosts.length * warmPasses, async () => {
            for (let pass = 1; pass <= warmPasses; pass++)
              await sender.send(hosts, releaseOf(pass), pass);
          });
          await sender.close();
          return rate;
        },
      },
    ];
  }

  rows(names: readonly string[]): Record<string, string | number>[] {
    return ["cold", "warm"].flatMap((phase) =>
      names.map((name) => {
        const variant = `${name}, ${phase}`;
        const rate = this.#rates.get(variant) ?? [];
        const plain = this.#rates.get(`${baseline}, ${phase}`) ?? rate;
        const cpu = this.#cpuSeconds.get(variant) ?? [];
        const plainCpu = this.#cpuSeconds.get(`${baseline}, ${phase}`) ?? cpu;
        return {
          variant,
          "pushes/s": Math.round(median(rate)),
          ratio: medianRatio(rate, plain).toFixed(2),
          "ratio, rounds": rate
            .map((value, round) => (value / (plain[round] ?? Number.NaN)).toFixed(2))
            .join(" "),
          "CPU s / 1,000": median(cpu).toFixed(3),
          "CPU ratio": medianRatio(cpu, plainCpu).toFixed(2),
        };
      }),
    );
  }

  async #measure(label: string, pushes: number, work: () => Promise<void>): Promise<number> {
    const cpuBefore = process.cpuUsage();
    const startMs = performance.now();
    await work();
    const seconds = (performance.now() - startMs) / 1_000;
    const cpu = process.cpuUsage(cpuBefore);
    append(this.#cpuSeconds, label, (cpu.user + cpu.system) / 1_000 / pushes);
    return pushes / seconds;
  }
}

function append(lists: Map<string, number[]>, name: string, ...values: number[]): void {
  lists.set(name, [...(lists.get(name) ?? []), ...values]);
}
