/**
 * Takeover of a large fleet: SIGKILL of the node that owns a third of it, and a new release at the same
 * moment. Measured are the time until the last host holds the release, and how long the hosts of
 * the surviving nodes take for it, beside the same release without a death just before.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { machine, markdownTable, median, percentile } from "./measure.ts";
import { rollOut, startFleetCluster, untilHeld, type FleetCluster } from "./fleet-cluster.ts";

const waitMs = 60_000;
const firstContactMs = 120_000;

interface Run {
  readonly allMs: number;
  /** Hosts a second of the survivors' own slices, as a part of calm. */
  readonly survivorsRatio: number;
}

export async function runFleetTakeover(hostsCount: number, runs: number): Promise<void> {
  const fleet = await startFleetCluster(3, hostsCount);
  const done: Run[] = [];
  try {
    const living = [...fleet.cluster.nodes];
    const first = await rollOut(living[0]?.apiUrl ?? "", "first");
    await untilHeld(fleet.sink, first.manifest, hostsCount, firstContactMs);
    for (let run = 0; run < runs; run++) {
      const [victim, ...others] = living;
      const asked = others[0];
      if (victim === undefined || asked === undefined) throw new Error("no node left");
      const calmMs = await calmRun(fleet, asked.apiUrl, victim.slot, `calm ${run}`);
      const counts = await fleet.sink.ask<Record<string, number>>({ ask: "mark" });
      const ownCount = hostsCount - (counts[victim.slot] ?? 0);
      victim.signal("SIGKILL");
      const { startMs, manifest } = await rollOut(asked.apiUrl, `killed ${run}`);
      const own = await untilHeld(fleet.sink, manifest, ownCount, waitMs, victim.slot);
      const all = await untilHeld(fleet.sink, manifest, hostsCount, waitMs);
      done.push({ allMs: all - startMs, survivorsRatio: calmMs / (own - startMs) });
      console.error(
        `run ${run + 1}/${runs}: ${(all - startMs).toFixed(0)} ms, survivors' hosts ` +
          `${(own - startMs).toFixed(0)} ms, calm ${calmMs.toFixed(0)} ms`,
      );
      living.splice(0, 1);
      living.push(await fleet.cluster.startNode(`node-${run + 4}`));
      await fleet.cluster.settled(3, asked);
      await sleep(2_000);
    }
  } finally {
    await fleet.stop();
  }
  const times = done.map(({ allMs }) => allMs);
  console.log(machine());
  console.log(
    markdownTable([
      {
        hosts: hostsCount,
        runs: done.length,
        "p50 s": (median(times) / 1_000).toFixed(2),
        "p99 s": (percentile(times, 0.99) / 1_000).toFixed(2),
        "worst s": (Math.max(...times) / 1_000).toFixed(2),
        "survivors' rate / calm": median(done.map(({ survivorsRatio }) => survivorsRatio)).toFixed(
          2,
        ),
      },
    ]),
  );
}

/** How long the hosts of all nodes but `exceptNode` take for a release while nothing is wrong. */
async function calmRun(
  { sink, ids }: FleetCluster,
  apiUrl: string,
  exceptNode: string,
  content: string,
): Promise<number> {
  const counts = await sink.ask<Record<string, number>>({ ask: "mark" });
  const ownCount = ids.length - (counts[exceptNode] ?? 0);
  const { startMs, manifest } = await rollOut(apiUrl, content);
  const own = await untilHeld(sink, manifest, ownCount, waitMs, exceptNode);
  await untilHeld(sink, manifest, ids.length, waitMs);
  return own - startMs;
}
