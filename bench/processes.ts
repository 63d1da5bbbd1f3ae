/**
 * What a second process adds: one release to all hosts by a cluster of one node process and by one of two,
 * in turn. The machine's cores are shared with the hosts, which are one more process, so the rate alone
 * cannot double on two cores: beside it stand the processor time of the nodes for a push, which splitting the
 * fleet should leave as it is, and how far all processes together fill the cores.
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { rollOut, startFleetCluster, untilHeld, type FleetCluster } from "./fleet-cluster.ts";
import { machine, markdownTable, median } from "./measure.ts";
import { cpuMsOf } from "./process-cpu.ts";

const waitMs = 120_000;
const contentBytes = 1_024;
const sizes = [1, 2] as const;

interface Round {
  readonly tookMs: number;
  readonly nodesCpuMs: number;
  readonly hostsCpuMs: number;
}

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      hosts: { type: "string", default: "10000" },
      rounds: { type: "string", default: "7" },
      pace: { type: "string", default: "100000" },
    },
  });
  const hostsCount = Number(values.hosts);
  const flags = ["--pushes-per-second", values.pace, "--sockets", String(hostsCount + 100)];
  const fleets: FleetCluster[] = [];
  const rounds = sizes.map((): Round[] => []);
  try {
    for (const size of sizes) {
      const fleet = await startFleetCluster(size, hostsCount, flags);
      fleets.push(fleet);
      await release(fleet, "warm");
    }
    for (let round = 0; round < Number(values.rounds); round++) {
      const order = round % 2 === 0 ? [0, 1] : [1, 0];
      for (const index of order) {
        const fleet = fleets[index];
        if (fleet !== undefined) rounds[index]?.push(await release(fleet, `round ${round}`));
      }
    }
  } finally {
    for (const fleet of fleets) await fleet.stop();
  }
  const rows = rounds.map((done, index) => rowOf(sizes[index] ?? 0, hostsCount, done, rounds[0]));
  console.log(`${machine()}\n\n${markdownTable(rows)}`);
}

/** From the API's answer, which is the commit, to the last host. */
async function release({ cluster, sink, ids }: FleetCluster, name: string): Promise<Round> {
  const pids = cluster.nodes.map(({ pid }) => pid ?? 0);
  const [nodesMs, hostsMs] = [cpuMsOf(pids), cpuMsOf([sink.pid])];
  const apiUrl = cluster.nodes[0]?.apiUrl ?? "";
  const { answerMs, manifest } = await rollOut(apiUrl, name.padEnd(contentBytes, "."));
  const heldMs = await untilHeld(sink, manifest, ids.length, waitMs);
  return {
    tookMs: Math.max(1, heldMs - answerMs),
    nodesCpuMs: cpuMsOf(pids) - nodesMs,
    hostsCpuMs: cpuMsOf([sink.pid]) - hostsMs,
  };
}

function rowOf(
  processes: number,
  hostsCount: number,
  done: readonly Round[],
  ones: readonly Round[] = [],
) {
  const ratios = done.map(({ tookMs }, round) => (ones[round]?.tookMs ?? Number.NaN) / tookMs);
  const cores = availableParallelism();
  const busy = done.map(
    ({ tookMs, nodesCpuMs, hostsCpuMs }) => (nodesCpuMs + hostsCpuMs) / tookMs / cores,
  );
  return {
    "node processes": processes,
    "hosts/s": ((hostsCount / median(done.map(({ tookMs }) => tookMs))) * 1_000).toFixed(0),
    ratio: median(ratios).toFixed(2),
    "nodes' CPU µs / push": (
      (median(done.map(({ nodesCpuMs }) => nodesCpuMs)) / hostsCount) *
      1_000
    ).toFixed(0),
    "hosts' CPU µs / push": (
      (median(done.map(({ hostsCpuMs }) => hostsCpuMs)) / hostsCount) *
      1_000
    ).toFixed(0),
    "cores in use": `${(median(busy) * 100).toFixed(0)} %`,
  };
}
