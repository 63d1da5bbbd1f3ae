/** A cluster of real node processes whose hosts, all in one sink process, open their connections themselves. */
import { TestCluster, type TestNode } from "../integration/test-cluster.ts";
import { registerHosts } from "./fleet-cluster.ts";
import type { FleetLinks } from "./reverse-fleet.ts";
import { startSink, type Sink } from "./start-sink.ts";

export interface ReverseCluster {
  readonly cluster: TestCluster;
  readonly sink: Sink;
  readonly ids: readonly string[];
  stop(): Promise<void>;
}

/** All hosts are registered and attached. `isDirect`: each to its owner; else wherever it landed. */
export async function startReverseCluster(
  nodes: number,
  hostsCount: number,
  { isDirect, flags = [] }: { readonly isDirect: boolean; readonly flags?: readonly string[] },
): Promise<ReverseCluster> {
  const sink = await startSink();
  const cluster = await TestCluster.start({ nodes, partitions: 1_024, flags });
  const ids = Array.from({ length: hostsCount }, (_, index) => `host-${index}`);
  const stop = async () => {
    await cluster.stop();
    sink.stop();
  };
  try {
    await registerHosts(
      cluster,
      ids.map((id) => ({ id, mode: "reverse" })),
    );
    const urls = cluster.nodes.map(({ fleetUrl }) => fleetUrl);
    await sink.ask<FleetLinks>({ ask: "attach", urls, ids, cluster: "coxswain", isDirect });
  } catch (error) {
    await stop();
    throw error;
  }
  return { cluster, sink, ids, stop };
}

/** The sum of a node's samples whose line begins with `name`; NaN where it does not answer. */
export async function metricOf(node: TestNode, name: string): Promise<number> {
  try {
    const reply = await fetch(`${node.apiUrl}/metrics`, { signal: AbortSignal.timeout(2_000) });
    const lines = (await reply.text()).split("\n").filter((line) => line.startsWith(name));
    return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
  } catch {
    // A node that is busy or dead is part of what is measured.
    return Number.NaN;
  }
}
