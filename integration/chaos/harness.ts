/**
 * A cluster in containers that can be hurt: three nodes, real DynamoDB Local, and hosts that keep a log
 * of every durable state they reach.
 *
 * Links of each kind are networks of their own with fixed addresses, so that a cut tests the cut and
 * not name resolution. Verbs hurt one part; `heal` undoes whatever is still hurt and waits until one more
 * release is everywhere; `violations` asks the checker. Containers outlive the process: the next scenario
 * finds them by their label and goes on.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { digestOf, type Digest } from "../../src/protocol/digest.ts";
import { eventually } from "../test-cluster.ts";
import * as boxes from "./boxes.ts";
import { check, type Verdict } from "./checker.ts";
import * as api from "./cluster-api.ts";
import { ClusterHistory } from "./cluster-history.ts";
import { addressOn, Engine, type Inspection, type Link } from "./engine.ts";
import { Findings, type Wait } from "./findings.ts";
import type { FleetPlan } from "./fleet-plan.ts";
import type { Images } from "./images.ts";
import { Ledger } from "./ledger.ts";
import { droppedCount, filterScript, unfilterScript, type Filter } from "./packet-filter.ts";
import type { Takeover } from "./run-record.ts";
import { startHosts, startNodes } from "./start-cluster.ts";
import { emptyTable } from "./store-access.ts";
import { askFiles, readFiles, readLogs } from "./testimony.ts";

/** With four containers 64 hosts; scenarios add another where they need one. */
const hostsPerBox = 16;
const config = "routes.json";
/** A node that was evicted three times in ten minutes waits half a minute before it is let in again. */
const settleTimeoutMs = 90_000;
/** Long enough for the retries of hosts that were away. */
const convergeTimeoutMs = 60_000;
const publishPauseMs = 1_000;
const pollMs = 250;
const graceSeconds = 30;

interface Expectation {
  readonly in?: readonly string[];
  readonly hosts?: readonly string[];
  readonly withinMs?: number;
}

export class ChaosCluster {
  findings: Findings;
  readonly #engine: Engine;
  readonly #images: Images;
  readonly #ledger: Ledger;
  readonly #hash: string;
  /** Names of the containers with hosts, and their plans. */
  readonly #fleets = new Map<string, FleetPlan>();
  /** Nodes that the suite does not speak to at the moment. */
  readonly #hurtNodes = new Set<string>();
  readonly #filtered = new Set<string>();
  readonly #unplugged = new Set<`${string} ${Link}`>();
  readonly #history: ClusterHistory;

  private constructor(engine: Engine, images: Images, ledger: Ledger, hash: string) {
    this.#engine = engine;
    this.#images = images;
    this.#ledger = ledger;
    this.#hash = hash;
    this.#history = new ClusterHistory(engine, Date.now());
    this.findings = new Findings(this.#history, ledger, undefined);
    for (let number = 1; number <= boxes.hostBoxesCount; number++) {
      this.#fleets.set(`hosts-${number}`, boxes.fleetPlan(number, hostsPerBox));
    }
  }

  /** The cluster that is running, where it is whole; else a new one. */
  static async open(images: Images): Promise<ChaosCluster> {
    const engine = await Engine.connect(images.tools);
    const hash = createHash("sha256").update(JSON.stringify(images)).digest("hex").slice(0, 16);
    if (boxes.isWhole(await engine.states(hash))) {
      const resumed = new ChaosCluster(engine, images, await Ledger.resumed(), hash);
      const before = await resumed.#check({ isReported: false });
      resumed.findings = new Findings(resumed.#history, resumed.#ledger, before);
      return resumed;
    }
    await engine.removeAll();
    const cluster = new ChaosCluster(engine, images, await Ledger.fresh(), hash);
    try {
      await cluster.#startAll();
    } catch (error) {
      console.error(await cluster.describeTrouble());
      await cluster.remove();
      throw error;
    }
    return cluster;
  }

  readonly nodes: readonly string[] = boxes.nodeNames;

  /** Names of the containers with hosts. */
  get hostBoxes(): string[] {
    return [...this.#fleets.keys()];
  }

  /** Ids of the hosts in `box`, or of all. */
  hostsIn(box?: string): string[] {
    const fleets = box === undefined ? [...this.#fleets.values()] : [this.#fleet(box)];
    return fleets.flatMap(({ hosts }) => hosts.map(({ id }) => id));
  }

  // What hurts.

  async kill(...names: readonly string[]): Promise<void> {
    this.#markHurt(names);
    await Promise.all(names.map((name) => this.#engine.kill(name)));
  }

  /** Starts containers that were killed or stopped. */
  async start(...names: readonly string[]): Promise<void> {
    await Promise.all(names.map((name) => this.#engine.boot(name)));
    this.#markWell(names);
  }

  /** SIGTERM, as a deploy does it. */
  async stop(...names: readonly string[]): Promise<void> {
    this.#markHurt(names);
    await Promise.all(names.map((name) => this.#engine.stop(name, graceSeconds)));
  }

  async pause(name: string): Promise<void> {
    this.#markHurt([name]);
    await this.#engine.pause(name);
  }

  async unpause(name: string): Promise<void> {
    await this.#engine.unpause(name);
    this.#markWell([name]);
  }

  /** Pulls the cable: the container has no address on `link` any more. */
  async unplug(name: string, link: Link): Promise<void> {
    await this.#engine.unplug(name, link);
    this.#unplugged.add(`${name} ${link}`);
  }

  async plug(name: string, link: Link): Promise<void> {
    await this.#engine.plug(name, link, boxes.nodeOrdinal(name));
    this.#unplugged.delete(`${name} ${link}`);
  }

  /** Drops packets that arrive at `name` from other containers, or leave it for them. */
  async filter(name: string, { from = [], to = [], ...rest }: Filter): Promise<void> {
    this.#filtered.add(name);
    const addresses = (names: readonly string[]) => names.map((other) => this.#addressOf(other));
    const script = filterScript({ ...rest, from: addresses(from), to: addresses(to) });
    await this.#engine.runBeside(name, ["sh", "-ec", script]);
  }

  /** Throws where the filter never dropped anything: the scenario would have tested nothing. */
  async unfilter(name: string): Promise<void> {
    const counters = await this.#engine.runBeside(name, ["sh", "-ec", unfilterScript]);
    this.#filtered.delete(name);
    assert(droppedCount(counters) > 0, `the filter of ${name} dropped nothing:\n${counters}`);
  }

  /** Removes the store's data, the table with it; the store must be running, and runs afterwards. */
  async wipeStore(): Promise<void> {
    await this.#engine.shell("store", `rm -rf ${boxes.storeFolder}/*`);
    await this.#engine.kill("store");
    await this.#engine.boot("store");
  }

  /** Removes every item; the table stays. */
  async emptyStore(): Promise<void> {
    await emptyTable();
  }

  /** Replaces a node by one of another image under the same slot and address. */
  async replaceNode(name: string, version: "current" | "next"): Promise<void> {
    await this.stop(name);
    await this.#history.evictions([name]);
    await this.#engine.remove(name);
    const image = version === "next" ? this.#images.nextProduct : this.#images.product;
    await this.#engine.start(boxes.nodeBox(name, image), this.#hash);
    this.#markWell([name]);
  }

  /** One more container with hosts; registered, and gone after the scenario. */
  async addHosts(count: number, kind: boxes.HostsKind): Promise<string> {
    const number = this.#fleets.size + 1;
    const plan = boxes.fleetPlan(number, count, kind);
    const box = boxes.hostBox(number, this.#images.product, plan, kind);
    await api.registerHosts(this.#wellNode(), [plan]);
    await this.#engine.start(box, this.#hash);
    this.#fleets.set(box.name, plan);
    return box.name;
  }

  /** Runs `script` with sh inside a container, as its ordinary user. */
  async shell(name: string, script: string): Promise<string> {
    return this.#engine.shell(name, script);
  }

  // What is asked of it.

  /** Puts a new release on every host; asks `via`, or a node that is not hurt. */
  async publish(via = this.#wellNode(), bytesCount = 0): Promise<Digest> {
    const content = `release ${this.#ledger.published.length + 1}\n${"x".repeat(bytesCount)}`;
    const digest = digestOf(Buffer.from(content));
    let outcome: "acknowledged" | "unknown" = "unknown";
    try {
      await api.rollOut(via, config, { content, digest });
      outcome = "acknowledged";
    } finally {
      await this.#ledger.add({ config, digest, outcome });
    }
    return digest;
  }

  /** Publishes until it is acknowledged: after an outage the store may take a moment. */
  async publishInTheEnd(): Promise<Digest> {
    return eventually("a release is acknowledged", settleTimeoutMs, async () => {
      try {
        return await this.publish();
      } catch {
        // Each attempt is a release of its own, and in the ledger as unknown.
        await sleep(publishPauseMs);
        return undefined;
      }
    });
  }

  /** Waits until the files of `hosts` (in the containers `in`) have `digest`; returns how long it took. */
  async eventuallyHeld(
    digest: Digest,
    { in: names = this.hostBoxes, hosts, withinMs = convergeTimeoutMs }: Expectation = {},
  ): Promise<number> {
    const expected = hosts ?? names.flatMap((name) => this.hostsIn(name));
    const sinceMs = performance.now();
    let behind: string[] = [];
    await eventually(`${digest} on ${expected.length} hosts`, withinMs, async () => {
      const held = await this.held(names);
      behind = expected.filter((host) => held.get(host) !== digest);
      if (behind.length === 0) return true;
      await sleep(pollMs);
      return undefined;
    }).catch((error: unknown) => {
      throw new Error(`${behind.length} hosts are behind: ${behind.join(" ")}`, { cause: error });
    });
    return performance.now() - sinceMs;
  }

  /** Digest of each host's file; hosts without one are left out. */
  async held(names: readonly string[] = this.hostBoxes): Promise<Map<string, Digest>> {
    return new Map(
      [...(await askFiles(names.map((name) => this.#fleet(name))))].flatMap(([host, own]) => {
        const digest = own.get(config);
        return digest === undefined ? [] : [[host, digest] as const];
      }),
    );
  }

  /** The nodes as a node sees them. */
  async members(via = this.#wellNode()): Promise<api.Members> {
    return api.readMembers(via);
  }

  /** The node that serves each host. */
  async owners(): Promise<Map<string, string | null>> {
    const views = await api.readHosts(this.#wellNode(), this.hostsIn());
    return new Map(views.map(({ id, owner }) => [id, owner]));
  }

  /** Throws where `name` is not an active member with partitions at any time within `ms`. */
  async staysFor(name: string, ms: number): Promise<void> {
    await api.staysFor(this.#wellNode(), name, ms);
  }

  async inspect(name: string): Promise<Inspection> {
    return this.#engine.inspect(name);
  }

  /** Waits until exactly the nodes `names` are active members, with one view and one placement. */
  async settled(names = this.nodes, withinMs = settleTimeoutMs): Promise<api.Members> {
    return api.settled(names, withinMs);
  }

  /** Hosts that `name` serves. */
  async hostsOf(name: string): Promise<string[]> {
    return [...(await this.owners())].flatMap(([host, owner]) => (owner === name ? [host] : []));
  }

  /** Notes how long `hosts` waited for `release`, from the moment that their node was hurt (wall clock). */
  async noteTakeover(fault: Takeover["fault"], wait: Wait): Promise<void> {
    await this.findings.noteTakeover(fault, this.hostBoxes, wait);
  }

  /** Undoes whatever is still hurt, and waits until one more release is everywhere. */
  async heal(): Promise<void> {
    const states = await this.#engine.states(this.#hash);
    for (const [name, state] of states) {
      if (state === "paused") await this.#engine.unpause(name);
      if (state === "exited" || state === "created") await this.#engine.boot(name);
    }
    for (const name of this.#filtered) await this.unfilter(name);
    for (const cable of this.#unplugged) {
      const [name, link] = cable.split(" ") as [string, Link];
      await this.plug(name, link);
    }
    this.#hurtNodes.clear();
    await this.settled();
    await this.eventuallyHeld(await this.publishInTheEnd());
  }

  /** Every promise that was broken since the cluster began. Without `isReported` no node is asked. */
  async violations({ isReported }: { isReported: boolean }): Promise<readonly string[]> {
    this.findings.verdict = await this.#check({ isReported });
    return this.findings.verdict.violations;
  }

  /** Takes away the hosts that a scenario has added. */
  async removeAddedHosts(): Promise<void> {
    for (const box of this.hostBoxes.slice(boxes.hostBoxesCount)) {
      const via = this.#wellNode();
      await Promise.all(this.hostsIn(box).map((host) => api.deleteHost(via, host)));
      await this.#engine.remove(box);
      this.#fleets.delete(box);
    }
  }

  /** The tail of every log, for a failed scenario. */
  async describeTrouble(): Promise<string> {
    return this.#history.describe(["store", ...this.nodes, ...this.hostBoxes]);
  }

  async remove(): Promise<void> {
    await this.#engine.removeAll();
  }

  async #startAll(): Promise<void> {
    const fleets = [...this.#fleets.values()];
    await startNodes(this.#engine, this.#images, this.#hash);
    await this.settled();
    await api.registerHosts(this.#wellNode(), fleets);
    await startHosts(this.#engine, this.#images, fleets, this.#hash);
    await this.eventuallyHeld(await this.publish());
  }

  async #check({ isReported }: { isReported: boolean }): Promise<Verdict> {
    return check({
      published: this.#ledger.published,
      logs: await readLogs(this.#engine, this.hostBoxes),
      files: await readFiles(this.#engine, this.hostBoxes),
      reachable: this.hostsIn(),
      reported: isReported ? await this.#eventuallyReported() : undefined,
      mayLag: boxes.mayLag,
    });
  }

  /**
   * Nodes hear of the last applies a moment after the hosts made them durable; one that has just taken
   * hosts over says less of them than it will. What they say once all are applied is what is checked.
   */
  async #eventuallyReported() {
    return eventually("every host is reported as applied", convergeTimeoutMs, async () => {
      const views = await api.readHosts(this.#wellNode(), this.hostsIn());
      if (views.some(({ id, sync }) => sync !== "applied" && !boxes.mayLag(id))) return undefined;
      return new Map(
        views.map(({ id, sync, held }) => [id, { sync, manifest: held?.manifest as Digest }]),
      );
    });
  }

  #wellNode(): string {
    const node = this.nodes.find((name) => !this.#hurtNodes.has(name));
    if (node === undefined) throw new Error("every node is hurt: name the one to ask");
    return node;
  }

  #fleet(box: string): FleetPlan {
    const plan = this.#fleets.get(box);
    if (plan === undefined) throw new Error(`no container ${box} with hosts`);
    return plan;
  }

  #markHurt(names: readonly string[]): void {
    for (const name of names) this.#hurtNodes.add(name);
  }

  #markWell(names: readonly string[]): void {
    for (const name of names) this.#hurtNodes.delete(name);
  }

  #addressOf(name: string): string {
    if (name === "store") return addressOn("store", boxes.storeOrdinal);
    const plan = this.#fleets.get(name);
    return plan === undefined ? addressOn("hosts", boxes.nodeOrdinal(name)) : plan.address;
  }
}
