/**
 * Takeover of a large fleet: SIGKILL of the node that owns a third of it, and a new release at the same
 * moment. Measured are the time until the last host holds the release, and how long the hosts of
 * the surviving nodes take for it, beside two releases just before: one without a death, and one at the
 * death of a process that holds as many connections as the node and does nothing else. All hosts are one
 * process here, which the ends of these connections keep from answering the survivors.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { machine, markdownTable, median, percentile } from "./measure.ts";
import { rollOut, startFleetCluster, untilHeld, type FleetCluster } from "./fleet-cluster.ts";

const waitMs = 60_000;
const firstContactMs = 120_000;
/** A node's default for `--sockets`. */
const connectionsMax = 4_096;

interface Run {
  readonly allMs: number;
  /** Hosts a second of the survivors' own slices, as a part of calm. */
  readonly survivorsRatio: number;
  /** The same, as a part of what the end of as many connections leaves. */
  readonly besideEndsRatio: number;
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
      const ends = await holdConnections(fleet);
      const endsMs = await calmRun(fleet, asked.apiUrl, victim.slot, `ends ${run}`, ends);
      const counts = await fleet.sink.ask<Record<string, number>>({ ask: "mark" });
      const ownCount = hostsCount - (counts[victim.slot] ?? 0);
      victim.signal("SIGKILL");
      const { startMs, manifest } = await rollOut(asked.apiUrl, `killed ${run}`);
      const own = await untilHeld(fleet.sink, manifest, ownCount, waitMs, victim.slot);
      const all = await untilHeld(fleet.sink, manifest, hostsCount, waitMs);
      const ownMs = own - startMs;
      done.push({
        allMs: all - startMs,
        survivorsRatio: calmMs / ownMs,
        besideEndsRatio: endsMs / ownMs,
      });
      console.error(
        `run ${run + 1}/${runs}: ${(all - startMs).toFixed(0)} ms, survivors' hosts ` +
          `${ownMs.toFixed(0)} ms, calm ${calmMs.toFixed(0)} ms, ends ${endsMs.toFixed(0)} ms`,
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
        "survivors' rate / calm": median(done.map((each) => each.survivorsRatio)).toFixed(2),
        "/ as many connections end": median(done.map((each) => each.besideEndsRatio)).toFixed(2),
      },
    ]),
  );
}

/** Ends the connections of a process that holds as many as a node at most. */
async function holdConnections({ sink, ids }: FleetCluster): Promise<() => void> {
  const count = Math.min(connectionsMax, ids.length);
  const file = new URL("idle-connections.ts", import.meta.url).pathname;
  const holder = fork(file, [String(sink.port), String(count)], { stdio: "inherit" });
  await once(holder, "message");
  return () => holder.kill("SIGKILL");
}

/**
 * How long the hosts of all nodes but `exceptNode` take for a release while all nodes live; `strike` is called
 * just before.
 */
async function calmRun(
  { sink, ids }: FleetCluster,
  apiUrl: string,
  exceptNode: string,
  content: string,
  strike: () => void = () => {},
): Promise<number> {
  const counts = await sink.ask<Record<string, number>>({ ask: "mark" });
  const ownCount = ids.length - (counts[exceptNode] ?? 0);
  strike();
  const { startMs, manifest } = await rollOut(apiUrl, content);
  const own = await untilHeld(sink, manifest, ownCount, waitMs, exceptNode);
  await untilHeld(sink, manifest, ids.length, waitMs);
  return own - startMs;
}
