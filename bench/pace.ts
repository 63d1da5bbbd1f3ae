/**
 * The adapted pace as a curve: hosts that answer at once, then take 200 ms each, then answer at once
 * again, under a steady stream of releases. The pace knows neither when nor why; the places in flight it
 * takes away to find out, and gives back, are what the figure shows.
 */
import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { systemClock } from "../src/kernel/clock.ts";
import { createMetrics } from "../src/kernel/metrics.ts";
import { defaultPushOptions } from "../src/push/push-options.ts";
import { createSocketTransport } from "../src/push/socket-transport.ts";
import { lineChart } from "./figure.ts";
import { machine, markdownTable, median } from "./measure.ts";
import { hostAt, pusherSender, releaseOf } from "./push-senders.ts";
import { tickMs, wallMs, type Timeline } from "./sink-watch.ts";
import { startSink } from "./start-sink.ts";

const everyMs = 500;

interface Sample {
  readonly atMs: number;
  readonly limit: number;
  readonly inFlight: number;
  readonly rate: number;
}

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      hosts: { type: "string", default: "2000" },
      seconds: { type: "string", default: "10" },
      "delay-ms": { type: "string", default: "200" },
      pace: { type: "string", default: String(defaultPushOptions.pushesPerSecond) },
      svg: { type: "string" },
      json: { type: "boolean", default: false },
    },
  });
  const seconds = Number(values.seconds);
  const delaysMs = [0, Number(values["delay-ms"]), 0];
  const sink = await startSink();
  const metrics = createMetrics();
  const { inFlightMax, rollbackReserveRatio } = defaultPushOptions;
  const pace = { pushesPerSecond: Number(values.pace), inFlightMax, rollbackReserveRatio };
  const sender = pusherSender(createSocketTransport, pace, metrics);
  const hosts = Array.from({ length: Number(values.hosts) }, (_, i) => hostAt(i, sink.port));
  const startMs = wallMs();
  const over = new AbortController();
  const sending = (async () => {
    for (let round = 0; !over.signal.aborted; round++) {
      await sender.send(hosts, releaseOf(round % 50), round);
    }
  })();
  const samples: Sample[] = [];
  for (const delayMs of delaysMs) {
    await sink.ask({ ask: "delay", delayMs });
    for (let sample = 0; sample < (seconds * 1_000) / everyMs; sample++) {
      await systemClock.sleep(everyMs);
      samples.push({
        atMs: wallMs() - startMs,
        limit: await valueOf(metrics.pushInFlightLimit),
        inFlight: await valueOf(metrics.pushesInFlight),
        rate: await valueOf(metrics.pushRateLimit),
      });
    }
  }
  over.abort();
  const timeline = await sink.ask<Timeline>({ ask: "timeline" });
  await sending;
  await sender.close();
  sink.stop();
  await report(samples, perSecond(timeline, startMs), delaysMs, seconds, values);
}

async function report(
  samples: readonly Sample[],
  rates: readonly (readonly [number, number])[],
  delaysMs: readonly number[],
  seconds: number,
  { svg, json }: { readonly svg?: string | undefined; readonly json: boolean },
): Promise<void> {
  const rows = delaysMs.map((delayMs, phase) => {
    const within = (atMs: number) => Math.floor(atMs / 1_000 / seconds) === phase;
    const limits = samples.filter(({ atMs }) => within(atMs)).map(({ limit }) => limit);
    const inPhase = rates.filter(([at]) => Math.floor(at / seconds) === phase);
    return {
      "hosts take": `${delayMs} ms`,
      "places, least": Math.min(...limits),
      "places, at the end": limits.at(-1) ?? 0,
      "pushes/s, median": Math.round(median(inPhase.map(([, rate]) => rate))),
      "pushes/s, least": Math.round(Math.min(...inPhase.map(([, rate]) => rate))),
      "pushes/s allowed, least": Math.round(
        Math.min(...samples.filter(({ atMs }) => within(atMs)).map(({ rate }) => rate)),
      ),
    };
  });
  if (svg !== undefined) {
    const limitLine = samples.map(({ atMs, limit }) => [atMs / 1_000, limit] as const);
    const usedLine = samples.map(({ atMs, inFlight }) => [atMs / 1_000, inFlight] as const);
    const lines = [
      { name: "places in flight, allowed", colour: "#c33", points: limitLine },
      { name: "in flight", colour: "#36c", points: usedLine },
      {
        name: "pushes per 100 ms",
        colour: "#393",
        points: rates.map(([at, rate]) => [at, rate / 10] as const),
      },
    ];
    await writeFile(svg, lineChart("The pace while hosts get slow", "seconds", lines));
  }
  const text = json
    ? JSON.stringify({ rows, samples, rates })
    : `${machine()}\n\n${markdownTable(rows)}\n\n${bars(samples)}`;
  process.stdout.write(`${text}\n`);
}

/** Seconds since `startMs` and syncs per second. */
function perSecond({ startMs, perTick }: Timeline, fromMs: number): [number, number][] {
  const ticks = 1_000 / tickMs;
  const offset = Math.round((fromMs - startMs) / tickMs);
  const own = perTick.slice(offset);
  return Array.from({ length: Math.floor(own.length / ticks) }, (_, second) => [
    second,
    own.slice(second * ticks, (second + 1) * ticks).reduce((sum, count) => sum + count, 0),
  ]);
}

function bars(samples: readonly Sample[]): string {
  return samples
    .map(({ atMs, limit, inFlight }) => {
      const filled = Math.round(inFlight / 4);
      const free = Math.max(0, Math.round(limit / 4) - filled);
      return `${(atMs / 1_000).toFixed(1).padStart(5)} s ${"#".repeat(filled)}${".".repeat(free)} ${limit}`;
    })
    .join("\n");
}

interface Readable {
  get(): Promise<{ values: readonly { value: number }[] }>;
}

async function valueOf(gauge: Readable): Promise<number> {
  return (await gauge.get()).values[0]?.value ?? Number.NaN;
}
