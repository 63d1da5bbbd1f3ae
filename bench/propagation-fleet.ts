/**
 * How long a release takes to the last host as the fleet grows, beside what bare sockets need for as many
 * hosts in the same minutes; and what a one-host change costs while such a rollout runs.
 *
 * One node process; the hosts are addresses of a sink, which acknowledges at once: the disk of a real
 * agent is measured by `propagation` without options.
 */
import { writeFile } from "node:fs/promises";
import { callApi } from "../integration/test-cluster.ts";
import { manifestDigestOf } from "../src/protocol/digest.ts";
import { lineChart } from "./figure.ts";
import {
  config,
  rollOut,
  startFleetCluster,
  untilHeld,
  type FleetCluster,
} from "./fleet-cluster.ts";
import { machine, markdownTable, median, percentile } from "./measure.ts";
import { hostAt, rawSender, releaseOf } from "./push-senders.ts";
import { wallMs } from "./sink-watch.ts";
import { startSink } from "./start-sink.ts";

const waitMs = 120_000;
const contentBytes = 1_024;

export interface FleetPropagation {
  readonly counts: readonly number[];
  readonly rounds: number;
  readonly changes: number;
  readonly pace: string;
  readonly svg: string | undefined;
}

export async function runFleetPropagation(options: FleetPropagation): Promise<void> {
  const rows: Record<string, string | number>[] = [];
  const points: [number, number][] = [];
  const lanes: Record<string, string | number>[] = [];
  for (const count of options.counts) {
    const flags = ["--pushes-per-second", options.pace, "--sockets", String(count + 100)];
    const fleet = await startFleetCluster(1, count, flags);
    // Of its own: one process may not have enough files for twice as many connections.
    const rawSink = await startSink();
    try {
      const apiUrl = fleet.cluster.node("node-1").apiUrl;
      const raw = rawSender();
      const hosts = fleet.ids.map((_, index) => hostAt(index, rawSink.port));
      await raw.send(hosts, releaseOf(0), 0);
      await release(fleet, apiUrl, "warm");
      const [ours, bound]: [number[], number[]] = [[], []];
      for (let round = 0; round < options.rounds; round++) {
        ours.push(await release(fleet, apiUrl, `round ${round}`));
        const startMs = wallMs();
        await raw.send(hosts, releaseOf(0), 0);
        bound.push(wallMs() - startMs);
      }
      await raw.close();
      rows.push(rowOf(count, ours, bound));
      points.push([count, median(ours) / 1_000]);
      if (count === options.counts.at(-1)) lanes.push(...(await changes(fleet, apiUrl, options)));
    } finally {
      rawSink.stop();
      await fleet.stop();
    }
  }
  process.stdout.write(`${machine()}\n\n${markdownTable(rows)}\n\n${markdownTable(lanes)}\n`);
  if (options.svg !== undefined) {
    const line = {
      name: "seconds to the last host",
      colour: "#36c",
      points: [[0, 0] as const, ...points],
    };
    await writeFile(options.svg, lineChart("Commit to the last host's answer", "hosts", [line]));
  }
}

function rowOf(hosts: number, ours: readonly number[], bound: readonly number[]) {
  const ratios = ours.map((ms, round) => ms / (bound[round] ?? Number.NaN));
  return {
    hosts,
    "commit to last ack, s": (median(ours) / 1_000).toFixed(2),
    "ms / 1,000 hosts": ((median(ours) / hosts) * 1_000).toFixed(0),
    "bare sockets, s": (median(bound) / 1_000).toFixed(2),
    ratio: median(ratios).toFixed(2),
    "ratio, rounds": ratios.map((ratio) => ratio.toFixed(2)).join(" "),
  };
}

/** From the API's answer, which is the commit, to the last host. */
async function release({ sink, ids }: FleetCluster, apiUrl: string, name: string): Promise<number> {
  const { answerMs, manifest } = await rollOut(apiUrl, name.padEnd(contentBytes, "."));
  return Math.max(1, (await untilHeld(sink, manifest, ids.length, waitMs)) - answerMs);
}

/** One-host changes (pins) while the fleet is idle, and while one rollout follows the other. */
async function changes(
  fleet: FleetCluster,
  apiUrl: string,
  { changes: count }: FleetPropagation,
): Promise<Record<string, string | number>[]> {
  const idle = await pinHosts(fleet, apiUrl, count, 0);
  const over = new AbortController();
  const rolling = (async () => {
    const others = fleet.ids.length - 2 * count;
    for (let round = 0; !over.signal.aborted; round++) {
      const { manifest } = await rollOut(apiUrl, `lanes ${round}`.padEnd(contentBytes, "."));
      await untilHeld(fleet.sink, manifest, others, waitMs);
    }
  })();
  const busy = await pinHosts(fleet, apiUrl, count, count);
  over.abort();
  await rolling;
  const p99 = percentile(idle, 0.99);
  return [idle, busy].map((took, index) => ({
    "one-host change": index === 0 ? "nothing else runs" : "rollouts to all hosts run",
    "p50 ms": median(took).toFixed(1),
    "p99 ms": percentile(took, 0.99).toFixed(1),
    "p99 / idle p99": (percentile(took, 0.99) / p99).toFixed(2),
    changes: took.length,
  }));
}

/**
 * Pins one release on one host after the other; milliseconds from the answer to the host. A pinned
 * host keeps its release whatever is rolled out, so the hosts that hold it can be counted.
 */
async function pinHosts(
  { sink, ids }: FleetCluster,
  apiUrl: string,
  count: number,
  from: number,
): Promise<number[]> {
  const released = await callApi(apiUrl, "POST", `/v1/configs/${config}/releases`, "pinned");
  const { digest } = released.body as { digest: string };
  const manifest = manifestDigestOf([{ name: config, digest }]);
  const took: number[] = [];
  for (let index = from; index < from + count; index++) {
    const path = `/v1/hosts/${ids[index] ?? ""}/pins/${config}`;
    const { status } = await callApi(apiUrl, "PUT", path, { digest });
    const answerMs = wallMs();
    if (status !== 200) throw new Error(`pin: ${status}`);
    const heldMs = await untilHeld(sink, manifest, index + 1, waitMs);
    took.push(Math.max(0, heldMs - answerMs));
  }
  return took;
}
