/**
 * A cluster of real processes that can be hurt: three nodes, 1,000 hosts in four processes, real
 * DynamoDB Local where it can run, and a proxy on every link that a test cuts. Nodes run with the
 * default intervals, but for what `nodeFlags` says. What hosts make durable survives their process, which
 * is what is killed here, in memory as on a disk: power cuts are the agent's own tests'.
 *
 * Each node has its own link to the store. The hosts of the last process are registered under the
 * addresses of proxies. Hosts and nodes keep their ports across restarts: on Linux all of them listen
 * on a loopback address of this run, which nothing that dials out takes a port of. Processes are ended
 * by their own pid, and end by themselves where the process that runs the tests is gone.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm, statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { platform, pid as ownPid } from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import type { HostView } from "../src/node/peers.ts";
import { digestOf, type Digest } from "../src/protocol/digest.ts";
import { startEmbeddedStore } from "../src/store/embedded-store.ts";
import type { TimedPublication } from "./apply-times.ts";
import { check, type ApplyRecord, type Verdict } from "./chaos/checker.ts";
import type { Members } from "./chaos/cluster-api.ts";
import type { FleetPlan } from "./chaos/fleet-plan.ts";
import { startDynamodbLocal } from "./dynamodb-local.ts";
import { dialledHost, HostProcess, idsOf, readApplyLogs, readConfigFiles } from "./host-process.ts";
import { TcpProxy, type Target } from "./tcp-proxy.ts";
import { callApi, eventually, TestCluster, type ApiReply, type TestNode } from "./test-cluster.ts";

export const slots = ["node-1", "node-2", "node-3"] as const;
export type Slot = (typeof slots)[number];

const config = "routes.json";
/** Hosts in each process; those of the last are behind proxies. */
const fleetSizes = [300, 300, 300, 100] as const;
/** The intervals that decide about eviction keep their defaults: those are what is proved. */
const nodeFlags = [
  "--sweep-interval",
  "20s",
  "--push-deadline",
  "2s",
  "--pushes-per-second",
  "300",
];
const memoryFolder = "/dev/shm";
/** Several times what the hosts write. */
const memoryBytesMin = 512 * 1024 * 1024;
const refusedPauseMs = 100;
const firstNodePort = 7_500;
const firstHostPort = 9_000;
const portsPerFleet = 1_000;
/** Patience, not a promise: how long a busy machine may take. */
export const patienceMs = 60_000;

export class RealCluster {
  readonly fleets: HostProcess[] = [];
  readonly storeLinks = new Map<Slot, TcpProxy>();
  /** One for each host of the last process. */
  readonly hostLinks: TcpProxy[] = [];
  readonly published: TimedPublication[] = [];
  /** Nodes that are not asked at the moment. */
  readonly hurt = new Set<Slot>();
  readonly #address =
    platform === "linux" ? `127.${64 + (ownPid % 64)}.${(ownPid >> 6) % 250}.1` : "127.0.0.1";
  readonly #hostProcesses: HostProcess[] = [];
  readonly #cleanups: (() => Promise<void>)[] = [];
  #publishing: Promise<unknown> = Promise.resolve();
  #cluster: TestCluster | undefined;
  #hostsFolder = "";
  #isStopped = false;

  /** Resolves when everything runs and every host holds a first release; `stop` is due in any case. */
  async start(): Promise<void> {
    const store = await startStore();
    this.#cleanups.push(() => store.stop());
    const { endpoint } = store;
    this.#cluster = await TestCluster.start({
      nodes: 0,
      flags: nodeFlags,
      storeEndpoint: endpoint,
    });
    this.#cleanups.push(() => this.#running.stop());
    await this.#makeHostsFolder();
    const { hostname, port } = new URL(endpoint);
    for (const slot of slots) {
      this.storeLinks.set(slot, await this.#openLink({ host: hostname, port: Number(port) }));
    }
    for (const [index, size] of fleetSizes.entries()) {
      this.fleets.push(this.#spawnHosts(this.#plan(index, size)));
    }
    await Promise.all(slots.map((slot) => this.startNode(slot)));
    await this.settled();
    const first = await this.publish();
    await Promise.all(this.fleets.map((fleet) => fleet.listening()));
    await this.#register();
    await this.eventuallyHeld(first);
  }

  get hosts(): string[] {
    return this.fleets.flatMap(({ plan }) => idsOf(plan));
  }

  /** Every process that was started, also those that have ended. */
  get pids(): number[] {
    const processes = [...(this.#cluster?.nodes ?? []), ...this.#hostProcesses];
    return processes.flatMap(({ pid }) => (pid === undefined ? [] : [pid]));
  }

  node(slot: Slot): TestNode {
    return this.#running.node(slot);
  }

  storeLink(slot: Slot): TcpProxy {
    const link = this.storeLinks.get(slot);
    if (link === undefined) throw new Error(`no link of ${slot}`);
    return link;
  }

  get wellSlots(): Slot[] {
    return slots.filter((slot) => !this.hurt.has(slot));
  }

  /** A node that is not hurt. */
  get well(): Slot {
    const slot = this.wellSlots[0];
    if (slot === undefined) throw new Error("every node is hurt: name the one to ask");
    return slot;
  }

  /** Starts a process for the slot, with the ports that it always has. */
  async startNode(slot: Slot): Promise<void> {
    assert(!this.#isStopped, "nothing is started after stop");
    const port = nodePort(slot);
    const { url } = this.storeLink(slot);
    const flags = ["--store-endpoint", url, "--api-port", `${port}`, "--fleet-port", `${port + 1}`];
    const hosts = ["--api-host", this.#address, "--fleet-host", this.#address];
    await this.#running.startNode(slot, ...flags, ...hosts);
    this.hurt.delete(slot);
  }

  /** Ends the process `index` of hosts at once; `startHosts` brings it back on the same disks. */
  async killHosts(index: number): Promise<void> {
    await this.fleets[index]?.kill();
  }

  async startHosts(index: number): Promise<void> {
    const plan = this.fleets[index]?.plan;
    if (plan === undefined) throw new Error(`no process ${index}`);
    const fleet = this.#spawnHosts(plan);
    this.fleets[index] = fleet;
    await fleet.listening();
  }

  async call(via: Slot, method: "GET" | "POST", path: string, body?: unknown): Promise<ApiReply> {
    return callApi(this.node(via).apiUrl, method, path, body);
  }

  /** Puts a new release on every host; `refusal` is the reply or error that was no acknowledgement. */
  async tryPublish(via: Slot): Promise<{ digest: Digest; refusal: unknown }> {
    // One after the other: the order of attempts is what hosts are judged by.
    const turn = this.#publishing.then(() => this.#tryPublish(via));
    this.#publishing = turn;
    return turn;
  }

  async publish(via = this.well): Promise<Digest> {
    const { digest, refusal } = await this.tryPublish(via);
    if (refusal === undefined) return digest;
    throw new Error(`${via} did not take a release: ${JSON.stringify(refusal)}`);
  }

  /**
   * Publishes while `act` runs, the next release as soon as one is everywhere: as fast as the machine
   * can, and no faster. A node that just stops may refuse one.
   */
  async whilePublishing(act: () => Promise<void>): Promise<void> {
    const acting = new AbortController();
    const publishing = (async () => {
      while (!acting.signal.aborted) {
        const { digest, refusal } = await this.tryPublish(this.well);
        if (refusal === undefined) await this.eventuallyHeld(digest, patienceMs, acting.signal);
        else await sleep(refusedPauseMs);
      }
    })();
    try {
      await Promise.all([publishing, act().finally(() => acting.abort())]);
    } finally {
      await publishing.catch(() => {});
    }
  }

  /** Those of `hosts` on whose disk the release is not. */
  behind(digest: Digest, hosts: readonly string[] = this.hosts): string[] {
    const asked = new Set(hosts);
    return this.fleets.flatMap(({ plan }) => {
      const own = idsOf(plan).filter((host) => asked.has(host));
      const files = readConfigFiles(plan, config, own);
      return own.filter((host) => files.get(host) !== digest);
    });
  }

  /** Waits until the release is on the disk of every host; `until` gives up early. */
  async eventuallyHeld(digest: Digest, withinMs = patienceMs, until?: AbortSignal): Promise<void> {
    let behind = this.hosts;
    await eventually(`${digest} is on every host`, withinMs, async () => {
      if (until?.aborted === true) return true;
      // While the first one waits it says enough: looking takes nothing from those that are busy.
      if (this.behind(digest, behind.slice(0, 1)).length > 0) return undefined;
      behind = this.behind(digest, behind);
      return behind.length === 0 ? true : undefined;
    });
  }

  /** Logs in which every host wrote down the release: it does so a moment after the file is there. */
  async logsWith(digest: Digest): Promise<Map<string, ApplyRecord[]>> {
    return eventually(`every host wrote down ${digest}`, patienceMs, async () => {
      const logs = this.logs();
      const hasAll = [...logs.values()].every((records) =>
        records.some(({ configs }) => configs.some((held) => held.digest === digest)),
      );
      return hasAll ? logs : undefined;
    });
  }

  async members(via = this.well): Promise<Members> {
    return (await this.call(via, "GET", "/v1/members")).body as Members;
  }

  /** Waits until exactly `expected` are active and agree on view and placement; says for how long. */
  async settled(expected: readonly Slot[] = slots, withinMs = patienceMs): Promise<number> {
    const startMs = performance.now();
    await eventually(`${expected.join(", ")} agree`, withinMs, async () => {
      const found = await this.members(expected[0]).catch(() => undefined);
      const agreed = found?.members.filter(
        ({ slot, state, viewSeen }) =>
          expected.some((name) => name === slot) &&
          state === "active" &&
          viewSeen?.version === found.view.version,
      );
      const isAll = agreed?.length === expected.length && found?.members.length === expected.length;
      const hashes = new Set(agreed?.map(({ placementHash }) => placementHash));
      return isAll && hashes.size === 1 ? true : undefined;
    });
    return performance.now() - startMs;
  }

  /** Every host as the cluster sees it. */
  async hostViews(): Promise<HostView[]> {
    const { status, body } = await this.call(this.well, "GET", "/v1/hosts?limit=1000");
    if (status !== 200) throw new Error(`hosts: ${JSON.stringify(body)}`);
    return (body as { hosts: HostView[] }).hosts;
  }

  async hostsOf(slot: Slot): Promise<string[]> {
    return (await this.hostViews()).filter(({ owner }) => owner === slot).map(({ id }) => id);
  }

  /** Waits until nodes have heard of the last applies, which hosts made durable a moment before. */
  async eventuallyReported(): Promise<void> {
    await eventually("every host is reported as applied", patienceMs, async () => {
      const views = await this.hostViews();
      const isAll = views.every(({ sync }) => sync === "applied");
      return views.length === this.hosts.length && isAll ? true : undefined;
    });
  }

  logs(): Map<string, ApplyRecord[]> {
    return new Map(this.fleets.flatMap(({ plan }) => [...readApplyLogs(plan)]));
  }

  /** What the checker of the chaos suite says of everything since the start. */
  async verdict(): Promise<Verdict> {
    const views = await this.hostViews();
    const files = this.fleets.map(({ plan }) => readConfigFiles(plan, config));
    return check({
      published: this.published,
      logs: this.logs(),
      files: new Map(
        files.flatMap((own) =>
          [...own].map(([host, digest]) => [host, new Map([[config, digest]])] as const),
        ),
      ),
      reachable: this.hosts,
      reported: new Map(
        views.map(({ id, sync, held }) => [id, { sync, manifest: held?.manifest as Digest }]),
      ),
    });
  }

  /** Undoes what a failed test left behind, so that the next one starts whole. */
  async heal(): Promise<void> {
    for (const link of [...this.storeLinks.values(), ...this.hostLinks]) link.pass();
    for (const [index, { isRunning }] of this.fleets.entries()) {
      if (!isRunning) await this.startHosts(index);
    }
    for (const slot of slots) {
      if (this.node(slot).isRunning) this.node(slot).signal("SIGCONT");
      else await this.startNode(slot);
    }
    this.hurt.clear();
    await this.settled();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#hostProcesses.map((fleet) => fleet.kill()));
    for (const cleanup of this.#cleanups.toReversed()) await cleanup();
  }

  /** In memory where there is room: a killed process loses nothing there that a disk would keep. */
  async #makeHostsFolder(): Promise<void> {
    const free = await statfs(memoryFolder).catch(() => undefined);
    const hasRoom = free !== undefined && free.bavail * free.bsize >= memoryBytesMin;
    const folder = await mkdtemp(join(hasRoom ? memoryFolder : tmpdir(), "coxswain-hosts-"));
    this.#cleanups.push(() => rm(folder, { recursive: true, force: true }));
    this.#hostsFolder = folder;
  }

  #plan(index: number, size: number): FleetPlan {
    const folder = join(this.#hostsFolder, `hosts-${index + 1}`);
    return {
      cluster: "coxswain",
      address: this.#address,
      firstPort: firstHostPort + index * portsPerFleet,
      hosts: Array.from({ length: size }, (_, at) => dialledHost(`host-${index + 1}-${at + 1}`)),
      nodes: slots.map((slot) => `http://${this.#address}:${nodePort(slot) + 1}`),
      knockAt: [],
      objects: "",
      dataFolder: join(folder, "data"),
      logFolder: join(folder, "apply-log"),
    };
  }

  #spawnHosts(plan: FleetPlan): HostProcess {
    assert(!this.#isStopped, "nothing is started after stop");
    const fleet = HostProcess.spawn(plan);
    this.#hostProcesses.push(fleet);
    return fleet;
  }

  async #register(): Promise<void> {
    const lines: string[] = [];
    for (const [index, { plan }] of this.fleets.entries()) {
      for (const [ordinal, id] of idsOf(plan).entries()) {
        const direct = { host: plan.address, port: plan.firstPort + ordinal };
        const isLinked = index === fleetSizes.length - 1;
        const link = isLinked ? await this.#openLink(direct) : undefined;
        if (link !== undefined) this.hostLinks.push(link);
        const address = link?.url ?? `http://${direct.host}:${direct.port}`;
        lines.push(JSON.stringify({ id, address, labels: { role: "edge" } }));
      }
    }
    const { apiUrl } = this.node(this.well);
    const reply = await callApi(apiUrl, "POST", "/v1/hosts", lines.join("\n"), patienceMs);
    if (reply.status !== 200) throw new Error(`import: ${JSON.stringify(reply.body)}`);
  }

  async #openLink(target: Target): Promise<TcpProxy> {
    const link = await TcpProxy.open(target);
    this.#cleanups.push(() => link.stop());
    return link;
  }

  async #tryPublish(via: Slot): Promise<{ digest: Digest; refusal: unknown }> {
    const content = `release ${this.published.length + 1}\n`;
    const digest = digestOf(Buffer.from(content));
    const startedAtMs = Date.now();
    const refusal = await this.#rollOut(via, content, digest).catch((error: unknown) => error);
    const outcome = refusal === undefined ? "acknowledged" : "unknown";
    this.published.push({ config, digest, outcome, startedAtMs, endedAtMs: Date.now() });
    return { digest, refusal };
  }

  /** The reply that was no acknowledgement; undefined where there was none. */
  async #rollOut(via: Slot, content: string, digest: Digest): Promise<ApiReply | undefined> {
    const released = await this.call(via, "POST", `/v1/configs/${config}/releases`, content);
    if (released.status !== 201) return released;
    const rollout = { config, digest, selector: "" };
    const started = await this.call(via, "POST", "/v1/rollouts", rollout);
    return started.status === 201 ? undefined : started;
  }

  get #running(): TestCluster {
    if (this.#cluster === undefined) throw new Error("the cluster was not started");
    return this.#cluster;
  }
}

function nodePort(slot: Slot): number {
  return firstNodePort + 10 * slots.indexOf(slot);
}

async function startStore(): Promise<{ endpoint: string; stop(): Promise<void> }> {
  const local = await startDynamodbLocal();
  if (!("unavailable" in local)) return local;
  console.log(
    `real processes: DynamoDB Local cannot run here, ${local.unavailable}: the embedded store takes its place.`,
  );
  return startEmbeddedStore();
}
