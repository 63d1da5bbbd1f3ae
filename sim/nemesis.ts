/**
 * Chance at work: begins faults at the rates of the seed's swarm, ends each after its time, and can
 * end all of them at once (safety) or leave a healthy core among permanent ones (liveness).
 */
import { Dice } from "./dice.ts";
import { hostFaults } from "./faults-of-hosts.ts";
import { modeFaults } from "./faults-of-modes.ts";
import { hasModes } from "./modes.ts";
import { nodeFaults, type Fault, type Injected } from "./faults-of-nodes.ts";
import { faultNames, modeFaultNames, type FaultName } from "./swarm.ts";
import type { World } from "./world.ts";

const faults: Readonly<Record<FaultName, Fault>> = {
  ...nodeFaults,
  ...hostFaults,
  ...modeFaults,
};

export class Nemesis {
  readonly #world: World;
  readonly #dice: Dice;
  readonly #undos = new Set<() => void>();
  #isStopped = false;

  constructor(world: World, dice: Dice) {
    this.#world = world;
    this.#dice = dice;
  }

  start(): void {
    const { swarm, network, trouble, timeline } = this.#world;
    network.weights = swarm.network;
    Object.assign(trouble, swarm.store);
    this.#world.localRatio = swarm.localRatio;
    for (const name of [...faultNames, ...modeFaultNames]) {
      const perMinute = swarm.faults[name];
      if (perMinute === 0) continue;
      const dice = new Dice(this.#dice.random.fork(name));
      const next = () => {
        timeline.after(dice.gapMs(perMinute), () => {
          if (this.#isStopped) return;
          this.inject(name, dice);
          next();
        });
      };
      next();
    }
  }

  /** Begins one fault now; it ends after its time, or with `heal`. */
  inject(name: FaultName, dice: Dice): void {
    const { recorder, timeline } = this.#world;
    const injected: Injected | undefined = faults[name](this.#world, dice);
    if (injected === undefined) return;
    recorder.note(`${name}: ${injected.text}`);
    const undo = () => {
      if (!this.#undos.delete(undo)) return;
      injected.undo();
      recorder.note(`${name} over: ${injected.text}`);
    };
    this.#undos.add(undo);
    timeline.after(injected.durationMs, undo);
  }

  /** Ends every fault and starts what is down. */
  heal(): void {
    this.#stop();
    for (const undo of this.#undos) undo();
    for (const node of this.#world.nodes.values()) {
      node.isWanted = true;
      for (const process of node.processes) process.clock.resume();
      node.start();
    }
    for (const host of this.#world.hosts.values()) {
      host.clock.resume();
      host.fault = undefined;
      host.disk.faults.stepsUntilCrash = Infinity;
      if (!host.isUp) void host.start();
    }
    this.#world.recorder.note("healed");
  }

  /** Ends every fault, then takes everything outside a healthy core away for good. */
  healCore(): { readonly slots: ReadonlySet<string>; readonly hosts: ReadonlySet<string> } {
    this.heal();
    const { nodes, hosts, network, recorder } = this.#world;
    const dice = this.#dice;
    const slots = new Set(dice.some([...nodes.keys()], dice.whole(1, nodes.size)));
    const healthy = new Set(dice.some([...hosts.keys()], dice.whole(1, hosts.size)));
    for (const node of nodes.values()) {
      if (slots.has(node.slot)) continue;
      // A member that is cut off for good still answers polls and reports: docs/safety.md, known gaps.
      const isCutAllowed = !hasModes(this.#world.swarm.profile);
      const fates = ["killed", "frozen", ...(isCutAllowed ? ["cut"] : [])];
      const fate = dice.pick(fates) ?? "killed";
      node.isWanted = false;
      for (const process of node.processes.toReversed()) {
        if (fate === "killed" || process !== node.process) node.kill(process);
        else if (fate === "frozen") process.clock.freeze();
      }
      if (fate === "cut") {
        network.cut(node.slot, "store");
        network.cut("store", node.slot);
      }
      recorder.note(`for good: ${node.slot} ${fate}`);
    }
    for (const host of hosts.values()) {
      if (healthy.has(host.id)) continue;
      const fate = dice.pick(["down", "paused", "tarpit", "errors", "garbage"]) ?? "down";
      if (fate === "down") host.crash();
      else if (fate === "paused") host.clock.freeze();
      else if (fate === "tarpit") host.fault = { kind: "tarpit", isExecuting: false };
      else if (fate === "errors") host.fault = { kind: "status", status: 500, retryAfterMs: 1_000 };
      else host.fault = { kind: "garbage" };
      recorder.note(`for good: ${host.id} ${fate}`);
    }
    return { slots, hosts: healthy };
  }

  #stop(): void {
    this.#isStopped = true;
    const { network, trouble } = this.#world;
    network.calm();
    Object.assign(trouble, {
      throttledRatio: 0,
      unavailableRatio: 0,
      unknownRatio: 0,
      slowRatio: 0,
    });
    this.#world.localRatio = 0;
  }
}
