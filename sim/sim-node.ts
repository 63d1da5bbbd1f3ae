/**
 * One node slot and the processes that live in it: started, killed, frozen, drained and started again
 * by a supervisor, as the shipped `Node` object.
 */
import { isCoxswainError, messageOf } from "../src/kernel/errors.ts";
import { silentLogger, type Logger } from "../src/kernel/log.ts";
import { createMetrics, type Metrics } from "../src/kernel/metrics.ts";
import { resolveOptions } from "../src/kernel/options.ts";
import { createNode, type Node } from "../src/node/node.ts";
import type { NodeSetup } from "../src/node/node-setup.ts";
import { nodeOptions } from "../src/node/options.ts";
import type { Meta } from "../src/store/meta.ts";
import type { Dice } from "./dice.ts";
import type { Recorder } from "./observations.ts";
import { ProcessClock } from "./process-clock.ts";
import { stackOf } from "./sim-host.ts";
import { SimObjects, type ObjectsOfWorld } from "./sim-objects.ts";
import { SimPeers, type SimPeersPorts } from "./sim-peers.ts";
import { SimStore, type SimStorePorts } from "./sim-store.ts";
import { SimTransport, type SimTransportPorts } from "./sim-transport.ts";
import type { Timeline } from "./timeline.ts";

/** One process life of a slot. */
export interface NodeProcess {
  readonly name: string;
  readonly slot: string;
  readonly clock: ProcessClock;
  readonly node: Node;
  readonly metrics: Metrics;
  readonly ports: {
    readonly store: SimStore;
    readonly transport: SimTransport;
    readonly peers: SimPeers;
  };
  readonly stopping: AbortController;
  startedLocalMs: number;
  /** Virtual time. */
  readonly startedMs: number;
  /** How `run` ended; undefined while it goes on. */
  ended: string | undefined;
}

export interface NodePortsOfWorld {
  readonly timeline: Timeline;
  readonly recorder: Recorder;
  readonly dice: Dice;
  readonly meta: () => Meta;
  readonly store: SimStorePorts;
  readonly transport: SimTransportPorts;
  readonly peers: SimPeersPorts;
  readonly pushesPerSecond: number;
  /** Undefined where every host is dialled. */
  readonly modes:
    | {
        readonly objects: ObjectsOfWorld;
        readonly flags: Readonly<Record<string, string>>;
        readonly onStarted: (process: NodeProcess) => void;
        readonly onKilled: (process: NodeProcess) => void;
      }
    | undefined;
  readonly driftRatio: number;
  readonly overrides: Pick<NodeSetup, "push" | "membership">;
}

const restartMs = 1_000;
/** Longer than any call of a client may take. */
export const callMs = 10_000;

export const fleetUrlOf = (slot: string): string => `http://${slot}.sim:7401`;

export class SimNode {
  readonly slot: string;
  /** The process that listens at the slot's address. */
  process: NodeProcess | undefined;
  /** Every process that may still run, zombies included. */
  readonly processes: NodeProcess[] = [];
  /** False while the slot is meant to have no process. */
  isWanted = true;
  readonly #ports: NodePortsOfWorld;
  #lives = 0;

  constructor(ports: NodePortsOfWorld, slot: string) {
    this.#ports = ports;
    this.slot = slot;
  }

  /** The process that runs and is not frozen. */
  get living(): NodeProcess | undefined {
    return this.process?.clock.state === "running" ? this.process : undefined;
  }

  start(): void {
    if (this.process !== undefined) return;
    const { timeline, recorder, dice, driftRatio } = this.#ports;
    const name = `${this.slot}/${++this.#lives}`;
    const clock = new ProcessClock(timeline, {
      rateRatio: 1 + dice.between(-driftRatio, driftRatio),
      wallOffsetMs: driftRatio === 0 ? 0 : dice.whole(-3_600_000, 3_600_000),
    });
    const process = this.#build(name, clock);
    this.process = process;
    this.processes.push(process);
    recorder.observe({ kind: "node.started", node: name, how: "" });
    this.#ports.modes?.onStarted(process);
    void this.#run(process);
  }

  /** SIGKILL. */
  kill(process = this.process): void {
    if (process === undefined) return;
    process.clock.kill();
    this.#ports.modes?.onKilled(process);
    this.#forget(process, "killed");
  }

  /** Leaves the process to itself, frozen or not, while another may take the slot. */
  disown(): void {
    this.process = undefined;
  }

  /** SIGTERM: drains; the supervisor starts the next one unless the slot is not wanted any more. */
  stop(): void {
    this.process?.stopping.abort(new Error("SIGTERM"));
  }

  async #run(process: NodeProcess): Promise<void> {
    const { recorder, timeline } = this.#ports;
    let how: string;
    try {
      how = await process.node.run(process.stopping.signal);
    } catch (error) {
      // No stack: the transcript of a seed is the same in every folder.
      how = isCoxswainError(error) ? error.code : messageOf(error);
      const isExpected =
        isCoxswainError(error, "MEMBER_SLOT_TAKEN", "NODE_STOPPED") ||
        process.stopping.signal.aborted;
      if (!isExpected) {
        recorder.fail("crash", "node", `${process.name} ended with ${stackOf(error)}`, [
          process.name,
        ]);
      }
    }
    process.ended = how;
    // Clients' calls under way have deadlines of their own.
    if (this.#leftovers(process) !== "") {
      timeline.after(callMs, () => this.#checkLeftovers(process));
    }
    this.#forget(process, how);
    timeline.after(restartMs, () => {
      if (this.isWanted) this.start();
    });
  }

  #checkLeftovers(process: NodeProcess): void {
    const left = this.#leftovers(process);
    if (left === "") return;
    const { name, ended } = process;
    this.#ports.recorder.fail("safety", "leak", `${name} ended (${ended}) and left ${left}`, [
      name,
    ]);
  }

  /** What a stopped process must not leave behind; each call under way has a timer of its adapter. */
  #leftovers({ clock, ports }: NodeProcess): string {
    const { store, transport, peers } = ports;
    const adapterTimers = store.pendingCount + transport.pendingCount + peers.pendingCount;
    const left = {
      timers: clock.timerCount - adapterTimers,
      exchanges: transport.pendingCount,
    };
    return Object.entries(left)
      .filter(([, count]) => count > 0)
      .map(([what, count]) => `${count} ${what}`)
      .join(", ");
  }

  #forget(process: NodeProcess, how: string): void {
    this.#ports.recorder.observe({ kind: "node.ended", node: process.name, how });
    const index = this.processes.indexOf(process);
    if (index !== -1) this.processes.splice(index, 1);
    if (this.process === process) this.process = undefined;
  }

  #build(name: string, clock: ProcessClock): NodeProcess {
    const world = this.#ports;
    const { slot } = this;
    const ports = {
      store: new SimStore(world.store, slot, clock),
      transport: new SimTransport(world.transport, slot, name, clock),
      peers: new SimPeers(world.peers, slot, clock),
    };
    const metrics = createMetrics();
    const options = resolveOptions(nodeOptions, {
      flags: {
        slot,
        sweepInterval: "20s",
        pushesPerSecond: String(world.pushesPerSecond),
        ...world.modes?.flags,
      },
    });
    const random = world.dice.random.fork(`node/${name}`);
    const node = createNode(
      {
        ...ports,
        clock,
        random,
        log: this.#log(name),
        metrics,
        ...(world.modes === undefined
          ? {}
          : { objects: new SimObjects(world.modes.objects, clock, "node") }),
      },
      {
        meta: world.meta(),
        options,
        apiUrl: `http://${slot}.sim:7400`,
        fleetUrl: fleetUrlOf(slot),
        version: "sim",
        ...world.overrides,
      },
    );
    const stopping = new AbortController();
    const startedLocalMs = clock.monotonicMs();
    const startedMs = world.timeline.nowMs;
    const started = { startedLocalMs, startedMs, ended: undefined };
    return { name, slot, clock, node, metrics, ports, stopping, ...started };
  }

  #log(name: string): Logger {
    const { recorder } = this.#ports;
    const log: Logger = {
      ...silentLogger,
      error: (fields, message) => {
        recorder.note(`${name} logs an error: ${message}`);
        if (message !== "a loop failed") return;
        recorder.fail("crash", "node", `${name}: ${message} ${JSON.stringify(fields)}`, [name]);
      },
      child: () => log,
    };
    return log;
  }
}
