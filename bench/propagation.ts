/**
 * How long a one-host change takes: three nodes as processes, real agents, the change is a pin that
 * goes back and forth between two releases. The host's own word counts: the moment at which its
 * agent holds the new digest, which is after the durable write.
 */
import { setImmediate as turn } from "node:timers/promises";
import { parseArgs } from "node:util";
import { callApi, eventually, TestCluster } from "../integration/test-cluster.ts";
import { machine, markdownTable, median, percentile } from "./measure.ts";
import { runFleetPropagation } from "./propagation-fleet.ts";

const hostsCount = 50;
const config = "routes.json";
const waitMs = 10_000;

interface Sample {
  readonly answerMs: number;
  readonly applyMs: number;
}

export async function run(args: string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      /** Fleet sizes, as `1000,5000,15000`: hosts on a sink instead of real agents. */
      hosts: { type: "string" },
      rounds: { type: "string", default: "5" },
      changes: { type: "string", default: "60" },
      pace: { type: "string", default: "100000" },
      svg: { type: "string" },
    },
  });
  if (values.hosts !== undefined) {
    await runFleetPropagation({
      counts: values.hosts.split(",").map(Number),
      rounds: Number(values.rounds),
      changes: Number(values.changes),
      pace: values.pace,
      svg: values.svg,
    });
    return;
  }
  const changes = Number(positionals[0] ?? 300);
  const cluster = await TestCluster.start({ nodes: 3, partitions: 1024 });
  try {
    const [node] = cluster.nodes;
    if (node === undefined) throw new Error("no node");
    const ids = await cluster.addHosts(hostsCount, node.apiUrl);
    const first = await cluster.rollOut(node.apiUrl, config, "a".repeat(1024));
    await eventually("all hosts hold the first release", waitMs, async () =>
      (await cluster.rollout(node.apiUrl, first.id)).state === "complete" ? true : undefined,
    );
    const other = await callApi(
      node.apiUrl,
      "POST",
      `/v1/configs/${config}/releases`,
      "b".repeat(1024),
    );
    const digests = [(other.body as { digest: string }).digest, first.digest];
    const samples: Sample[] = [];
    for (let index = 0; index < changes; index++) {
      const id = ids[index % ids.length] ?? "";
      const digest = digests[Math.floor(index / ids.length) % 2] ?? "";
      samples.push(await change(cluster, node.apiUrl, id, digest));
    }
    report(samples);
  } finally {
    await cluster.stop();
  }
}

async function change(
  cluster: TestCluster,
  apiUrl: string,
  id: string,
  digest: string,
): Promise<Sample> {
  const agent = cluster.agents.get(id);
  const startMs = performance.now();
  let answerMs = Number.NaN;
  const asked = callApi(apiUrl, "PUT", `/v1/hosts/${id}/pins/${config}`, { digest }).then(() => {
    answerMs = performance.now() - startMs;
    return answerMs;
  });
  while (agent?.held().configs.find(({ name }) => name === config)?.digest !== digest) {
    if (performance.now() - startMs > waitMs) throw new Error(`${id} did not apply in time`);
    await turn();
  }
  const applyMs = performance.now() - startMs;
  await asked;
  return { answerMs, applyMs };
}

function report(samples: readonly Sample[]): void {
  const legs: [string, number[]][] = [
    ["request to API answer", samples.map(({ answerMs }) => answerMs)],
    ["request to durable apply at the host", samples.map(({ applyMs }) => applyMs)],
    ["API answer to durable apply", samples.map(({ answerMs, applyMs }) => applyMs - answerMs)],
  ];
  console.log(machine());
  console.log(
    markdownTable(
      legs.map(([leg, values]) => ({
        leg,
        "p50 ms": median(values).toFixed(1),
        "p99 ms": percentile(values, 0.99).toFixed(1),
        changes: String(values.length),
      })),
    ),
  );
}
