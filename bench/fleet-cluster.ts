/**
 * A cluster of real node processes with as many hosts as are asked for, each an address of one sink
 * process that speaks the protocol: real agents, which write to disks, are too heavy by the thousand.
 */
import { callApi, TestCluster } from "../integration/test-cluster.ts";
import { manifestDigestOf } from "../src/protocol/digest.ts";
import { hostAt } from "./push-senders.ts";
import { wallMs } from "./sink-watch.ts";
import { startSink, type Sink } from "./start-sink.ts";

const linesPerImport = 5_000;
export const config = "app.conf";

export interface FleetCluster {
  readonly cluster: TestCluster;
  readonly sink: Sink;
  readonly ids: readonly string[];
  stop(): Promise<void>;
}

export async function startFleetCluster(
  nodes: number,
  hostsCount: number,
  flags: readonly string[] = [],
): Promise<FleetCluster> {
  const sink = await startSink();
  const cluster = await TestCluster.start({ nodes, partitions: 1024, flags });
  const fleet = Array.from({ length: hostsCount }, (_, index) => hostAt(index, sink.port));
  const stop = async () => {
    await cluster.stop();
    sink.stop();
  };
  const labels = { role: "edge" };
  try {
    await registerHosts(
      cluster,
      fleet.map(({ id, address }) => ({ id, address, labels })),
    );
  } catch (error) {
    await stop();
    throw error;
  }
  return { cluster, sink, ids: fleet.map(({ id }) => id), stop };
}

export interface RolledOut {
  /** When the request was sent, and when the answer came; wall time. */
  readonly startMs: number;
  readonly answerMs: number;
  /** Of a host that holds nothing but this release. */
  readonly manifest: string;
}

/** Publishes `content` and puts it on all hosts; the publishing is done before the time starts. */
export async function rollOut(apiUrl: string, content: string): Promise<RolledOut> {
  const released = await callApi(apiUrl, "POST", `/v1/configs/${config}/releases`, content);
  const { digest } = released.body as { digest: string };
  const startMs = wallMs();
  const body = { config, digest, selector: "" };
  const started = await callApi(apiUrl, "POST", "/v1/rollouts", body);
  if (started.status !== 201) throw new Error(`rollout: ${JSON.stringify(started.body)}`);
  const manifest = manifestDigestOf([{ name: config, digest }]);
  return { startMs, answerMs: wallMs(), manifest };
}

/** Resolves with the wall time at which `count` hosts held it; rejects after `maxMs`. */
export async function untilHeld(
  sink: Sink,
  manifest: string,
  count: number,
  maxMs: number,
  exceptNode?: string,
): Promise<number> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not held by ${count} after ${maxMs} ms`)), maxMs);
  });
  const asked = sink.ask<number>({
    ask: "held",
    manifest,
    count,
    ...(exceptNode === undefined ? {} : { exceptNode }),
  });
  try {
    return await Promise.race([asked, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Registers `hosts`, each a line of an import; what a busy store did not take is sent once more. */
export async function registerHosts(
  cluster: TestCluster,
  hosts: readonly { readonly id: string }[],
): Promise<void> {
  for (let start = 0; start < hosts.length; start += linesPerImport) {
    const lines = hosts.slice(start, start + linesPerImport).map((host) => JSON.stringify(host));
    const first = await callImport(cluster, lines);
    const last = first.status === 207 ? await callImport(cluster, lines) : first;
    if (last.status !== 200) throw new Error(`import: ${last.status} ${last.text.slice(0, 300)}`);
  }
}

/** An import takes longer than other calls may. */
async function callImport(
  cluster: TestCluster,
  lines: readonly string[],
): Promise<{ readonly status: number; readonly text: string }> {
  const reply = await fetch(`${cluster.nodes[0]?.apiUrl}/v1/hosts`, {
    method: "POST",
    headers: { "content-type": "application/octet-stream" },
    body: lines.join("\n"),
  });
  return { status: reply.status, text: await reply.text() };
}
