/**
 * How long hosts are without a working owner: SIGKILL of the node that owns a third of them, a new
 * release at the same moment, and the time until the last agent holds it. Then a node of another slot
 * takes the dead one's place (the same slot would be parked as flapping after three deaths), the
 * cluster settles, and the next run kills another one.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { eventually, TestCluster, type TestNode } from "../integration/test-cluster.ts";
import { runFleetTakeover } from "./takeover-fleet.ts";
import { machine, markdownTable, median, percentile } from "./measure.ts";

const config = "routes.json";
const waitMs = 60_000;
/** More hosts than this are addresses of a sink. */
const realAgentsMax = 1_000;
/** A run slower than this prints what the surviving nodes logged. */
const explainMs = 5_000;

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      runs: { type: "string", default: "20" },
      hosts: { type: "string", default: "300" },
    },
  });
  const [runs, hostsCount] = [Number(values.runs), Number(values.hosts)];
  if (hostsCount > realAgentsMax) {
    await runFleetTakeover(hostsCount, runs);
    return;
  }
  const cluster = await TestCluster.start({ nodes: 3, partitions: 1024 });
  const times: number[] = [];
  try {
    const living = [...cluster.nodes];
    await cluster.addHosts(hostsCount, cluster.node("node-1").apiUrl);
    for (let index = 0; index < runs; index++) {
      const [victim, ...others] = living;
      if (victim === undefined) throw new Error("no node left");
      const tookMs = await killOne(cluster, victim, others, `release ${index}`);
      times.push(tookMs);
      console.error(`run ${index + 1}/${runs}: ${tookMs.toFixed(0)} ms`);
      living.splice(0, 1);
      living.push(await cluster.startNode(`node-${index + 4}`));
      await cluster.settled(3, others[0]);
      // A beat or two, so that the next kill does not fall into this change.
      await sleep(2_000);
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

async function killOne(
  cluster: TestCluster,
  victim: TestNode,
  others: readonly TestNode[],
  content: string,
): Promise<number> {
  const before = others.map(({ log }) => log.length);
  const startMs = performance.now();
  victim.signal("SIGKILL");
  const { digest } = await cluster.rollOut(others[0]?.apiUrl ?? "", config, content);
  await eventually(`all hosts hold ${content}`, waitMs, async () =>
    [...cluster.held(config).values()].every((held) => held === digest) ? true : undefined,
  );
  const tookMs = performance.now() - startMs;
  if (tookMs > explainMs) {
    for (const [index, { log }] of others.entries()) console.error(log.slice(before[index]));
  }
  return tookMs;
}
