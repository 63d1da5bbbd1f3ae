/**
 * The simulated world of one seed: nodes, hosts, network, store and virtual time, put together.
 *
 * Nothing here decides what happens; nemesis.ts and workload.ts do.
 */
import { packIndexOf } from "../src/inventory/host-pack.ts";
import type { NodeSetup } from "../src/node/node-setup.ts";
import type { Hello } from "../src/protocol/sync.ts";
import { ensureView, readView } from "../src/membership/view-store.ts";
import { MemoryObjectStore } from "../src/objects/memory-object-store.ts";
import { partitionOf } from "../src/ring/hash.ts";
import { MemoryStore } from "../src/store/memory-store.ts";
import { initialiseCluster, type Meta } from "../src/store/meta.ts";
import { keys, type Item, type Key } from "../src/store/store.ts";
import { createRandom } from "../src/kernel/random.ts";
import { Dice } from "./dice.ts";
import type { Flaw } from "./flaws.ts";
import { hasModes, modeFlags, modesOf } from "./modes.ts";
import { Network } from "./network.ts";
import { Recorder } from "./observations.ts";
import { Oracle } from "./oracle.ts";
import { ProcessClock } from "./process-clock.ts";
import { runModes } from "./sim-agent.ts";
import type { DoorsOfWorld, Knock } from "./sim-doors.ts";
import { SimHost, stackOf, type HostGuards } from "./sim-host.ts";
import { SimLink } from "./sim-link.ts";
import { watchLinks } from "./watched-links.ts";
import { calmObjects, type ObjectsOfWorld } from "./sim-objects.ts";
import { fleetUrlOf, SimNode, type NodeProcess } from "./sim-node.ts";
import { calmStore, type StoreTrouble } from "./sim-store.ts";
import type { Listener } from "./sim-transport.ts";
import type { Swarm } from "./swarm.ts";
import { Timeline } from "./timeline.ts";

export const partitionsCount = 64;
const helloTimeoutMs = 5_000;
const lossGapMs = 20_000;
const dumpEveryMs = 5_000;
const dumpsMax = 12;
const troubledCallsKept = 50;
const knocksKept = 200;

/** What a negative control takes out of the product. */
export interface Controls {
  readonly guards: HostGuards;
  readonly overrides: Pick<NodeSetup, "push" | "membership">;
}

export class World {
  readonly seed: number;
  readonly swarm: Swarm;
  readonly timeline: Timeline;
  readonly recorder: Recorder;
  readonly store = new MemoryStore();
  readonly oracle = new Oracle(this.store, partitionsCount);
  readonly trouble: StoreTrouble = { ...calmStore };
  readonly network: Network;
  readonly nodes = new Map<string, SimNode>();
  /** Machines by host id, registered or not. */
  readonly hosts = new Map<string, SimHost>();
  localRatio = 0;
  /** Earlier states of the table, oldest first. */
  readonly dumps: { readonly atMs: number; readonly items: readonly Item[] }[] = [];
  /** When the store last came back. */
  outageEndedMs = -Infinity;
  /** When the table was last emptied or put back. */
  lostAtMs = -Infinity;
  /** Calls to the store that had trouble lately, by slot, oldest first. */
  readonly troubledCalls = new Map<string, { readonly atMs: number; readonly isCut: boolean }[]>();
  /** When a process last answered a probe that it is no member, by slot. */
  readonly unreadySaidMs = new Map<string, number>();
  /** Hosts whose record was written by a call that its caller had given up (and perhaps repeated). */
  readonly lateHosts = new Set<string>();
  /** Releases of the guarded config that some hosts cannot take, by digest. */
  readonly flaws = new Map<string, Flaw>();
  /** Connections that hosts opened and that nobody has closed. */
  readonly links = new Set<SimLink>();
  /** The last genuine knocks, oldest first. */
  readonly knocks: Knock[] = [];
  readonly balancer = { lieRatio: 0 };
  readonly objects: ObjectsOfWorld;
  readonly #doors: DoorsOfWorld;
  readonly #killDice: Dice;
  readonly #controls: Controls;
  readonly #helloDice: Dice;
  #meta: Meta | undefined;

  constructor(seed: number, swarm: Swarm, controls: Controls) {
    this.seed = seed;
    this.swarm = swarm;
    this.#controls = controls;
    // Nodes write to links in immediates.
    this.timeline = hasModes(swarm.profile) ? new Timeline(1) : new Timeline();
    this.recorder = new Recorder(this.timeline);
    this.network = new Network(this.timeline, Dice.of(seed, "network"), {
      ...swarm.network,
      lossRatio: 0,
      duplicateRatio: 0,
      lateRatio: 0,
    });
    this.#helloDice = Dice.of(seed, "hello");
    this.#killDice = Dice.of(seed, "modes/kill");
    this.objects = {
      timeline: this.timeline,
      dice: Dice.of(seed, "modes/objects"),
      inner: new MemoryObjectStore(),
      trouble: { ...calmObjects },
      earlier: new Map(),
    };
    this.#doors = {
      network: this.network,
      recorder: this.recorder,
      dice: Dice.of(seed, "modes/doors"),
      slots: () => [...this.nodes.keys()],
      wantedSlots: () =>
        [...this.nodes.values()].flatMap(({ isWanted, slot }) => (isWanted ? [slot] : [])),
      processAt: (slot) => this.nodes.get(slot)?.process,
      openLink: (process, slot, host, clock) => this.#openLink(process, slot, host, clock),
      noteKnock: (knock) => {
        this.knocks.push(knock);
        if (this.knocks.length > knocksKept) this.knocks.shift();
      },
      lieRatio: () => this.balancer.lieRatio,
    };
  }

  /** The cluster's items, and nodes that are not started yet. */
  async create(): Promise<void> {
    const { meta } = await initialiseCluster(
      this.store,
      { partitions: partitionsCount, clusterId: "sim" },
      { clock: { wallMs: () => 1_800_000_000_000 }, random: createRandom("init") },
    );
    this.#meta = meta;
    await ensureView(this.store);
    for (let index = 0; index < this.swarm.nodesCount; index++) {
      const slot = `node-${"abcde"[index] ?? index}`;
      this.nodes.set(slot, this.#createNode(slot));
    }
  }

  addHost(id: string, address: string): SimHost {
    const { timeline, recorder, swarm } = this;
    const dice = Dice.of(this.seed, `host/${id}`);
    const modes = modesOf(this.seed, swarm.profile, id);
    const outside = { doors: this.#doors, objects: this.objects, cluster: "sim" };
    const host = new SimHost(
      {
        timeline,
        recorder,
        dice,
        cluster: "sim",
        guards: this.#controls.guards,
        hello: (from, hello) => this.#hello(from, hello),
        run: modes === undefined ? undefined : (life) => runModes(outside, modes, life),
      },
      id,
      address,
    );
    host.commandMs = dice.between(0, swarm.commandMaxMs);
    this.hosts.set(id, host);
    return host;
  }

  /** Processes that run and are not frozen, one a slot, in the order of slots. */
  livingProcesses(): NodeProcess[] {
    return [...this.nodes.values()].flatMap(({ living }) => (living === undefined ? [] : [living]));
  }

  /** Keeps a state of the table to go back to, every few seconds from now on. */
  keepDumps(): void {
    this.timeline.after(dumpEveryMs, () => {
      this.dumps.push({ atMs: this.timeline.nowMs, items: this.store.dump() });
      if (this.dumps.length > dumpsMax) this.dumps.shift();
      this.keepDumps();
    });
  }

  /** The table is what `items` say; false where the last loss is not mended yet. */
  loseTable(items: readonly Item[]): boolean {
    if (this.timeline.nowMs - this.lostAtMs < lossGapMs) return false;
    this.lostAtMs = this.timeline.nowMs;
    this.store.restore(items);
    return true;
  }

  #createNode(slot: string): SimNode {
    const { timeline, recorder, network, store, trouble, swarm } = this;
    const dice = (label: string) => Dice.of(this.seed, `${label}/${slot}`);
    return new SimNode(
      {
        timeline,
        recorder,
        dice: dice("node"),
        meta: () => {
          if (this.#meta === undefined) throw new Error("create() comes first");
          return this.#meta;
        },
        store: {
          inner: store,
          timeline,
          network,
          trouble,
          dice: dice("store"),
          onTrouble: (from, isCut) => this.#noteTrouble(from, isCut),
          onWritten: (key, isLate) => {
            if (isLate) for (const id of this.#hostsIn(key)) this.lateHosts.add(id);
            void this.#noteWritten(slot, key);
          },
        },
        transport: {
          network,
          recorder,
          dice: dice("transport"),
          resolve: (origin) => this.#hostAt(origin),
          localRatio: () => this.localRatio,
        },
        peers: {
          network,
          resolve: (fleetUrl) => this.#processAt(fleetUrl),
          onDefect: (error) => recorder.fail("crash", "peer call", stackOf(error)),
          onUnready: (of) => void this.unreadySaidMs.set(of, timeline.nowMs),
        },
        pushesPerSecond: swarm.pushesPerSecond,
        modes: hasModes(swarm.profile)
          ? {
              objects: this.objects,
              flags: modeFlags(this.seed, swarm.profile),
              onStarted: (process) => watchLinks(process, recorder),
              onKilled: (process) => this.#lostNode(process),
            }
          : undefined,
        driftRatio: swarm.driftRatio,
        overrides: this.#controls.overrides,
      },
      slot,
    );
  }

  /** Ids that an item may be about, whether or not it still has them. */
  #hostsIn(key: Key): string[] {
    const isAbout = (id: string) => {
      const partition = partitionOf(id, partitionsCount);
      const places = [keys.host(partition, id), keys.pack(partition, packIndexOf(id))];
      return places.some(({ pk, sk }) => pk === key.pk && sk === key.sk);
    };
    return [...this.hosts.keys()].filter(isAbout);
  }

  async #noteWritten(by: string, key: Key): Promise<void> {
    const records = await this.oracle.noteWritten(key);
    // Checks follow a host's record, whether it has an item of its own or is in a pack.
    const others = records.map(({ id }) => `${key.pk}/host#${id}`);
    for (const each of new Set([`${key.pk}/${key.sk}`, ...others])) {
      this.recorder.observe({ kind: "stored", by, key: each });
    }
    if (key.pk === keys.member("").pk && key.sk !== by) {
      const item = await this.store.get(key);
      const { evicting, evictReason } = item?.attributes ?? {};
      if (evicting !== undefined) {
        const reason = String(evictReason);
        this.recorder.observe({ kind: "member.marked", by, slot: key.sk, reason });
      }
    }
    if (key.pk !== keys.view.pk || key.sk !== keys.view.sk) return;
    const view = await readView(this.store);
    if (view !== undefined) this.recorder.observe({ kind: "view.stored", by, view });
  }

  #openLink(
    process: NodeProcess | undefined,
    slot: string,
    host: SimHost,
    clock: ProcessClock,
  ): SimLink {
    const { timeline, network } = this;
    const link = new SimLink(
      { timeline, network, onClosed: (closed) => this.links.delete(closed) },
      {
        node: {
          endpoint: slot,
          clock: process?.clock ?? new ProcessClock(timeline),
          isMachineUp: () => this.nodes.get(slot)?.process !== undefined,
        },
        host: { endpoint: host.endpoint, clock, isMachineUp: () => host.isUp },
      },
    );
    // A balancer that lies keeps the connection and does nothing with it.
    link.isDeaf = process === undefined;
    this.links.add(link);
    return link;
  }

  /** Killed, or without power: then nobody closes its connections. */
  #lostNode({ clock }: NodeProcess): void {
    const isSilent = this.#killDice.chance(0.3);
    for (const link of this.links) {
      if (link.node.side.clock !== clock) continue;
      if (isSilent) this.links.delete(link);
      else link.reset("node");
    }
  }

  #noteTrouble(slot: string, isCut: boolean): void {
    const calls = this.troubledCalls.get(slot) ?? [];
    calls.push({ atMs: this.timeline.nowMs, isCut });
    if (calls.length > troubledCallsKept) calls.shift();
    this.troubledCalls.set(slot, calls);
  }

  #hostAt(origin: string): Listener | "nothingListens" | "noMachine" {
    let isMachine = false;
    for (const host of this.hosts.values()) {
      if (host.address !== origin) continue;
      isMachine = true;
      if (host.isUp) return host;
    }
    return isMachine ? "nothingListens" : "noMachine";
  }

  #processAt(fleetUrl: string): { slot: string; process?: NodeProcess } {
    for (const { slot, process } of this.nodes.values()) {
      if (fleetUrlOf(slot) === fleetUrl)
        return process === undefined ? { slot } : { slot, process };
    }
    return { slot: "nowhere" };
  }

  /** One hello to a random slot, over the network. */
  #hello(host: SimHost, hello: Hello): Promise<boolean> {
    const slot = this.#helloDice.pick([...this.nodes.keys()]) ?? "";
    const { clock } = host;
    const { recorder, network } = this;
    return new Promise((resolve) => {
      const cancel = clock.after(helloTimeoutMs, () => resolve(false));
      const reply = (isHeard: boolean) =>
        network.send(slot, host.endpoint, () =>
          clock.deliver(() => {
            cancel();
            resolve(isHeard);
          }),
        );
      const ask = async (process: NodeProcess) => {
        try {
          reply((await process.node.hello(hello)) !== "unknownHost");
        } catch (error) {
          recorder.fail("crash", "hello", stackOf(error), [process.name, host.id]);
        }
      };
      network.send(host.endpoint, slot, () => {
        const process = this.nodes.get(slot)?.process;
        if (process === undefined) reply(false);
        else process.clock.deliver(() => void ask(process));
      });
    });
  }
}
