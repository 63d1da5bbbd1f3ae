/**
 * S3 and S5, when the faults are over: one view, each partition served once, every host of the core
 * holds exactly what the store says (or what it held before, where its commands refuse that), its owner
 * has read the same and knows it, the counts agree, and no acknowledged write is missing.
 */
import type { HostRecord } from "../../src/inventory/host.ts";
import type { CountsAnswer, HostsAnswer } from "../../src/node/peers.ts";
import { digestOf } from "../../src/protocol/digest.ts";
import { parseFence } from "../../src/protocol/fence.ts";
import { partitionOf } from "../../src/ring/hash.ts";
import { digestOfWanted, wantedOf, type Wanted } from "../oracle.ts";
import { guardedConfig, verdictFor, type Verdict } from "../flaws.ts";
import type { SimHost } from "../sim-host.ts";
import type { NodeProcess } from "../sim-node.ts";
import { configPath } from "../watched-disk.ts";
import { partitionsCount, type World } from "../world.ts";
import { servedBy } from "./sampler.ts";

/** What must work; everything else may stay broken. */
export interface Core {
  readonly slots: ReadonlySet<string>;
  readonly hosts: ReadonlySet<string>;
}

/** What is missing, in words; undefined once the core has converged. */
export async function missingIn(world: World, core: Core): Promise<string | undefined> {
  const processes: NodeProcess[] = [];
  for (const slot of core.slots) {
    const process = world.nodes.get(slot)?.living;
    if (process === undefined) return `${slot} has no process`;
    if (process.stopping.signal.aborted) return `${process.name} is leaving`;
    processes.push(process);
  }
  return (
    disagreement(processes, core) ??
    (await unserved(processes)) ??
    (await unsynced(world, processes, core)) ??
    (await miscounted(world, processes, core))
  );
}

interface PlacementAnswer {
  readonly view: { readonly generation: number; readonly version: number };
  readonly placementHash: string;
}

function disagreement(processes: readonly NodeProcess[], core: Core): string | undefined {
  const seen = new Set<string>();
  for (const { name, node } of processes) {
    const readiness = node.readiness();
    if (!readiness.isReady) return `${name} is not ready: ${JSON.stringify(readiness)}`;
    const { view, placementHash } = node.operations.placement(undefined) as PlacementAnswer;
    seen.add(`${view.generation}.${view.version} ${placementHash}`);
    const { members } = node.operations.members() as { members: { slot: string }[] };
    const slots = members.map(({ slot }) => slot);
    if (slots.length !== core.slots.size || slots.some((slot) => !core.slots.has(slot))) {
      return `${name} has ${slots.join(" ")} in its view`;
    }
  }
  return seen.size > 1 ? `the nodes disagree: ${[...seen].join(", ")}` : undefined;
}

async function unserved(processes: readonly NodeProcess[]): Promise<string | undefined> {
  const servers = new Map<number, string[]>();
  for (const process of processes) {
    for (const partition of await servedBy(process)) {
      servers.set(partition, [...(servers.get(partition) ?? []), process.name]);
    }
  }
  for (let partition = 0; partition < partitionsCount; partition++) {
    const names = servers.get(partition) ?? [];
    if (names.length !== 1) {
      const who = names.length === 0 ? "nobody" : names.join(" and ");
      return `partition ${partition} is served by ${who}`;
    }
  }
  return undefined;
}

async function unsynced(
  world: World,
  processes: readonly NodeProcess[],
  core: Core,
): Promise<string | undefined> {
  const fleet = await world.oracle.fleet();
  const records = await world.oracle.records();
  const views = await reportsOf(processes);
  for (const record of records) {
    if (!core.hosts.has(record.id)) continue;
    const host = world.hosts.get(record.id);
    if (host === undefined) return `no machine for ${record.id}`;
    const wanted = wantedOf(fleet, record);
    const verdict = verdictOn(world, record.id, wanted);
    const problem = problemOf(host, record, fleet.revision, {
      wanted,
      verdict,
      report: views.get(record.id),
    });
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/** Hosts of the core that cannot take what they should hold. */
export async function refusingHosts(world: World, core: Core): Promise<string[]> {
  const fleet = await world.oracle.fleet();
  const records = await world.oracle.records();
  return records
    .filter(({ id }) => core.hosts.has(id))
    .filter((record) => verdictOn(world, record.id, wantedOf(fleet, record)) !== "good")
    .map(({ id }) => id);
}

function verdictOn(world: World, id: string, wanted: Wanted): Verdict {
  return verdictFor(id, world.flaws.get(wanted.get(guardedConfig) ?? ""));
}

/** The counts of the rollouts say what the reports of single hosts say. */
async function miscounted(
  world: World,
  processes: readonly NodeProcess[],
  core: Core,
): Promise<string | undefined> {
  if (core.hosts.size < world.hosts.size) return undefined;
  const reports = [...(await reportsOf(processes)).values()];
  const refusing = new Set(await refusingHosts(world, core));
  const expected = reports.filter(({ id, sync }) => sync === "rejected" && refusing.has(id)).length;
  let found = 0;
  for (const { node } of processes) {
    const rollout = { config: guardedConfig, selector: "" };
    const { counts } = (await node.answerPeer("counts", {
      partitions: allPartitions,
      rollout,
    })) as CountsAnswer;
    found += counts.rejected;
  }
  if (found === expected) return undefined;
  return `${found} hosts are counted as rejected, ${expected} hosts reject their ${guardedConfig}`;
}

type Report = HostsAnswer["hosts"][number];

/** As many as a node gives at once. */
const hostsPerPage = 1_000;
const allPartitions = Array.from({ length: partitionsCount }, (_, partition) => partition);

/** What owners say of their hosts, by host. */
export async function reportsOf(processes: readonly NodeProcess[]): Promise<Map<string, Report>> {
  const found = new Map<string, Report>();
  for (const { node } of processes) {
    let after: string | undefined = "";
    while (after !== undefined) {
      const ask = { partitions: allPartitions, after, limit: hostsPerPage, isDetailed: false };
      const { hosts }: HostsAnswer = (await node.answerPeer("hosts", ask)) as HostsAnswer;
      for (const host of hosts) found.set(host.id, host);
      after = hosts.length < hostsPerPage ? undefined : hosts.at(-1)?.id;
    }
  }
  return found;
}

interface Expected {
  readonly wanted: Wanted;
  readonly verdict: Verdict;
  readonly report: Report | undefined;
}

function problemOf(
  host: SimHost,
  record: HostRecord,
  fleetRevision: number,
  { wanted, verdict, report }: Expected,
): string | undefined {
  // A client may have moved the record without an answer, or the machine without the record.
  if (host.address !== record.address) return undefined;
  const partition = partitionOf(record.id, partitionsCount);
  const name = `${record.id} (partition ${partition}, stored fence ${fleetRevision}.${record.revision})`;
  const wrong = wrongFile(host, wanted, verdict);
  const said = report === undefined ? "unknown to its owner" : JSON.stringify(report);
  if (wrong !== undefined) return `${name}: ${wrong}; its owner says ${said}`;
  const known = parseFence(report?.fence ?? "");
  // What the host held before may be what it should hold now: its owner has not found that out yet.
  if (known?.fleet !== fleetRevision || known.host !== record.revision) {
    return `${name}: its owner has not read that, but says ${said}`;
  }
  if (verdict !== "good") {
    // A reload that failed is tried again every few minutes: pending again for that long.
    const isRetried = verdict === "unloadable" && report?.lastError?.class === "failed";
    if (report?.sync === "rejected" || isRetried) return undefined;
    return `${name} finds its release ${verdict}, but is ${said}`;
  }
  if (report?.sync !== "applied" || report.held?.manifest !== digestOfWanted(wanted)) {
    return `${name} holds what it should, but is ${said}`;
  }
  return undefined;
}

const configsPrefix = configPath("x").slice(0, -1);

function wrongFile(host: SimHost, wanted: Wanted, verdict: Verdict): string | undefined {
  for (const [name, digest] of wanted) {
    const text = host.content(name);
    if (name === guardedConfig && verdict !== "good") {
      // The content from before stays; which one that is, checks/refused-check.ts knows.
      if (text === undefined || digestOf(Buffer.from(text)) !== digest) continue;
      return `${name} is ${digest} although that is ${verdict}`;
    }
    if (text === undefined) return `${name} is not there`;
    if (digestOf(Buffer.from(text)) !== digest) return `${name} is not ${digest}`;
  }
  const extra = host.disk.paths().find((path) => {
    const isConfig = path.startsWith(configsPrefix) && !path.includes("/.");
    return isConfig && !wanted.has(path.slice(configsPrefix.length));
  });
  return extra === undefined ? undefined : `${extra} should not be there`;
}
