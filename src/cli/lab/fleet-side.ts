/** What the hosts of every shape have in common: where they are in a scene and what goes wrong then. */
import { systemClock } from "../../kernel/clock.ts";
import type { Random } from "../../kernel/random.ts";
import type { DueHosts } from "./due-hosts.ts";
import type { FleetCounter } from "./fleet-counter.ts";
import { frequencyFactor, isDuring, lostRatio, machineMs, type Scene } from "./lab-scene.ts";

/** How often it is looked who is due. */
const dueTickMs = 5;

/** A scene as the fleet lives through it. */
export class SceneRun {
  readonly scene: Scene;
  readonly counter: FleetCounter;
  readonly random: Random;
  #startMs = Infinity;
  #isStopped = false;
  readonly #timers = new Set<() => void>();

  constructor(scene: Scene, counter: FleetCounter, random: Random) {
    this.scene = scene;
    this.counter = counter;
    this.random = random;
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** Negative before the start. */
  get atMs(): number {
    return machineMs() - this.#startMs;
  }

  begin(startMs: number): void {
    this.#startMs = startMs;
  }

  stop(): void {
    this.#isStopped = true;
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
  }

  /** Runs `work` once unless the scene has ended or ends, or the returned function is called, before. */
  after(delayMs: number, work: () => void): () => void {
    if (this.#isStopped) return () => {};
    const cancel = systemClock.after(delayMs, () => {
      this.#timers.delete(cancel);
      work();
    });
    this.#timers.add(cancel);
    return () => {
      this.#timers.delete(cancel);
      cancel();
    };
  }

  /** Calls `work` with each host that becomes due, `behindMs` later than its turn. */
  eachDue(due: DueHosts, behindMs: number, work: (host: number) => void): void {
    const look = () => {
      const atMs = this.atMs - behindMs;
      const isFrequent = isDuring(this.scene.trigger, "frequency", atMs);
      for (const host of due.take(atMs, isFrequent ? frequencyFactor : 1)) work(host);
      this.after(dueTickMs, look);
    };
    look();
  }

  /** True where the exchange that begins now gets lost on its way. */
  isLost(): boolean {
    return isDuring(this.scene.trigger, "failures", this.atMs) && this.random.next() < lostRatio;
  }
}
