/**
 * How long hosts are without a working owner: SIGKILL of the node that owns a third of them, a new
 * release at the same moment, and the time until the last agent holds it. Then the node starts again
 * under its slot, the cluster settles, and the next run kills another one.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { eventually, TestCluster } from "../integration/test-cluster.ts";
import { machine, markdownTable, median, percentile } from "./measure.ts";

const config = "routes.json";
const waitMs = 60_000;

export async function run(args: string[]): Promise<void> {
  const runs = Number(args[0] ?? 20);
  const hostsCount = Number(args[1] ?? 300);
  const cluster = await TestCluster.start({ nodes: 3, partitions: 1024 });
  const times: number[] = [];
  try {
    const first = cluster.node("node-1");
    await cluster.addHosts(hostsCount, first.apiUrl);
    for (let index = 0; index < runs; index++) {
      times.push(await killOne(cluster, `node-${(index % 3) + 1}`, `release ${index}`));
      console.error(`run ${index + 1}/${runs}: ${times.at(-1)?.toFixed(0)} ms`);
    }
  } finally {
    await cluster.stop();
  }
  console.log(machine());
  console.log(
    markdownTable([
      {
        hosts: String(hostsCount),
        runs: String(times.length),
        "p50 s": (median(times) / 1_000).toFixed(2),
        "p99 s": (percentile(times, 0.99) / 1_000).toFixed(2),
        "worst s": (Math.max(...times) / 1_000).toFixed(2),
      },
    ]),
  );
}

async function killOne(cluster: TestCluster, slot: string, content: string): Promise<number> {
  const asked = cluster.node(slot === "node-1" ? "node-2" : "node-1");
  const startMs = performance.now();
  cluster.node(slot).signal("SIGKILL");
  const { digest } = await cluster.rollOut(asked.apiUrl, config, content);
  await eventually(`all hosts hold ${content}`, waitMs, async () =>
    [...cluster.held(config).values()].every((held) => held === digest) ? true : undefined,
  );
  const tookMs = performance.now() - startMs;
  await cluster.startNode(slot);
  await cluster.settled(3, asked);
  // A beat or two, so that the next kill does not fall into this change.
  await sleep(2_000);
  return tookMs;
}
