/**
 * One seed from birth to verdict: form a cluster, populate it, let faults and clients loose, heal,
 * require convergence, stop everything, require that nothing is left.
 */
import { missingIn, refusingHosts, type Core } from "./checks/convergence.ts";
import { Sampler } from "./checks/sampler.ts";
import { controlsFor, profileFor, type ControlName } from "./controls.ts";
import { Dice } from "./dice.ts";
import { Ledger } from "./ledger.ts";
import { Nemesis } from "./nemesis.ts";
import { hasModes } from "./modes.ts";
import type { Failure } from "./observations.ts";
import { SeedChecks, type Figures } from "./seed-checks.ts";
import { stackOf } from "./sim-host.ts";
import { callMs } from "./sim-node.ts";
import { describeSwarm, swarmOf, type Profile } from "./swarm.ts";
import { World } from "./world.ts";
import { Workload } from "./workload.ts";

export type Mode = "safety" | "liveness";

export interface SeedOptions {
  readonly seed: number;
  readonly mode: Mode;
  readonly without?: ControlName | undefined;
  readonly profile?: Profile | undefined;
  /** Virtual length of an outage of the store, in place of the swarm's faults. */
  readonly outageHours?: number | undefined;
}

export interface SeedResult {
  readonly options: SeedOptions;
  readonly swarm: string;
  readonly failure: Failure | undefined;
  /** Of everything observed: equal for equal seeds. */
  readonly hash: string;
  readonly virtualMs: number;
  readonly steps: number;
  /** What the figures of docs/safety.md are made of. */
  readonly figures: Figures;
}

/** Bounds in virtual time; docs/safety.md states them. */
const bounds = {
  formMs: 30_000,
  populateMs: 60_000,
  /** Above the deadline of a push. */
  pushMs: 6_000,
  /** Above the poll of the heads. */
  headPollMs: 15_000,
  /** Three times the longest ping interval, a backoff, a push: for the end of a node's machine that only silence tells. */
  silentNodeMs: 150_000,
  /** For clients' calls under way when the faults end. */
  answerMs: 20_000,
  /** Eviction in steps, a backoff, a quiet agent's hello, one push each. */
  convergeMs: 420_000,
  /**
   * Where hosts may poll: one that asked before it was registered asks again after five minutes, and after five more
   * where it met dead nodes then and has no budget for another try.
   */
  convergeModesMs: 780_000,
  /** A release that is tried again, by a host whose commands take longer than a push. */
  retryMs: 60_000,
  /** For one release and one rollout. */
  mendMs: 60_000,
  stopMs: 90_000,
  stepsMax: 5_000_000,
} as const;

/** Runs one seed; never rejects for what happens inside. */
export async function runSeed(options: SeedOptions): Promise<SeedResult> {
  const swarm = swarmOf(options.seed, options.profile ?? profileFor(options.without));
  const world = new World(options.seed, swarm, controlsFor(options.without));
  const run = new SeedRun(world, options);
  const onRejection = (reason: unknown) =>
    world.recorder.fail("crash", "unhandled rejection", stackOf(reason));
  process.on("unhandledRejection", onRejection);
  try {
    await run.run();
  } catch (error) {
    world.recorder.fail("crash", "simulator", stackOf(error));
  } finally {
    process.off("unhandledRejection", onRejection);
  }
  const result: SeedResult = {
    options,
    swarm: describeSwarm(swarm),
    failure: world.recorder.failure,
    hash: world.recorder.digest(),
    virtualMs: world.timeline.nowMs,
    steps: world.timeline.stepCount,
    figures: run.figures(),
  };
  world.recorder.isClosed = true;
  return result;
}

class SeedRun {
  readonly #world: World;
  readonly #options: SeedOptions;
  readonly #ledger = new Ledger();
  readonly #checks: SeedChecks;
  readonly #sampler: Sampler;
  readonly #workload: Workload;
  readonly #nemesis: Nemesis;
  #convergenceMs = 0;
  #acknowledgedFound = 0;
  #isMended = false;

  constructor(world: World, options: SeedOptions) {
    this.#world = world;
    this.#options = options;
    this.#checks = new SeedChecks(world);
    this.#sampler = new Sampler(world);
    this.#workload = new Workload(world, Dice.of(options.seed, "workload"), this.#ledger);
    this.#nemesis = new Nemesis(world, Dice.of(options.seed, "nemesis"));
  }

  figures(): Figures {
    return {
      ...this.#checks.figures(),
      acknowledged: this.#ledger.acknowledgedCount,
      acknowledgedFound: this.#acknowledgedFound,
      convergenceMs: this.#convergenceMs,
      isMended: this.#isMended,
      longestGapMs: this.#sampler.longestGapMs,
    };
  }

  async run(): Promise<void> {
    const { nodes, swarm } = this.#world;
    await this.#world.create();
    for (const node of nodes.values()) node.start();
    const nobody: Core = { slots: new Set(nodes.keys()), hosts: new Set() };
    await this.#converge("forming a cluster", nobody, bounds.formMs);
    void this.#workload.populate();
    await this.#until(bounds.populateMs, () => this.#workload.openCount === 0);
    // A host that polled before it was registered is told to come back in five minutes.
    const populatedMs = hasModes(swarm.profile) ? bounds.convergeMs : bounds.populateMs;
    await this.#converge("populating", this.#everything(), populatedMs);
    if (this.#isOver()) return;
    this.#sampler.start();
    const { outageHours = swarm.profile === "outage" ? 1 : undefined } = this.#options;
    if (outageHours === undefined) {
      if (swarm.profile.startsWith("storeLoss")) this.#world.keepDumps();
      this.#nemesis.start();
      this.#workload.start();
      await this.#advance(swarm.faultsMs);
    } else await this.#outage(outageHours);
    if (this.#isOver()) return;
    await this.#verdict();
    await this.#stopAll();
  }

  async #outage(hours: number): Promise<void> {
    this.#world.recorder.note(`store away for ${hours} h`);
    this.#world.trouble.isRefusing = true;
    await this.#advance(hours * 3_600_000);
    this.#world.trouble.isRefusing = false;
  }

  async #verdict(): Promise<void> {
    this.#workload.stop();
    const core = this.#options.mode === "safety" ? this.#healAll() : this.#nemesis.healCore();
    const startMs = this.#world.timeline.nowMs;
    if (this.#options.mode === "liveness") this.#sampler.allowGaps();
    await this.#until(bounds.answerMs, () => this.#workload.openCount === 0);
    this.#workload.abandon();
    // Pushes that the faults still hold end by their deadline.
    await this.#advance(bounds.pushMs);
    if (this.#world.swarm.profile === "storeLossBusy") void this.#workload.republish(core.slots);
    await this.#converge("converging", core, this.#convergeMs());
    this.#convergenceMs = this.#world.timeline.nowMs - startMs;
    if (this.#isOver()) return;
    await this.#mend(core);
    if (this.#isOver()) return;
    await this.#checkLedger();
    // Nothing undoes itself afterwards.
    await this.#advance(3_000);
    // A release that cannot be loaded is tried again now and then, and this may be in the middle of it. So may an
    // owner be that read a partition again, wrote a record back, and reads its own number at its next poll.
    const isRefused = (await refusingHosts(this.#world, core)).length > 0;
    const settledMs = isRefused ? bounds.retryMs : bounds.headPollMs;
    // A host may still believe in its connection to a machine that lost its power, and its owner in the host.
    const settleMs = hasModes(this.#world.swarm.profile) ? bounds.silentNodeMs : settledMs;
    await this.#converge("converged, and then", core, settleMs);
  }

  #healAll(): Core {
    this.#nemesis.heal();
    return this.#everything();
  }

  /** Where hosts refuse what they should hold, a later good release must still go through. */
  async #mend(core: Core): Promise<void> {
    const refusing = await refusingHosts(this.#world, core);
    if (refusing.length === 0) return;
    this.#isMended = true;
    this.#world.recorder.note(`a good release for ${refusing.join(" ")}`);
    let isDone = false;
    void this.#workload.mend(core.slots).finally(() => {
      isDone = true;
    });
    await this.#until(bounds.mendMs, () => isDone);
    await this.#converge("mending", core, this.#convergeMs());
  }

  #convergeMs(): number {
    return hasModes(this.#world.swarm.profile) ? bounds.convergeModesMs : bounds.convergeMs;
  }

  #everything(): Core {
    const { nodes, hosts } = this.#world;
    return { slots: new Set(nodes.keys()), hosts: new Set(hosts.keys()) };
  }

  async #checkLedger(): Promise<void> {
    const { oracle, recorder, swarm } = this.#world;
    // What only a lost table knew is lost, and what a node knew that went for good with it.
    const isLossy = swarm.profile === "storeLoss" && this.#options.mode === "liveness";
    if (swarm.profile === "storeLossBusy" || isLossy) return;
    // Owners look for lost records at their poll of the heads.
    if (swarm.profile === "storeLoss") await this.#advance(bounds.headPollMs);
    const { lateHosts } = this.#world;
    const records = await oracle.records();
    const lost = this.#ledger.disagreement(records, await oracle.fleet(), lateHosts);
    if (lost !== undefined) recorder.fail("safety", "S3 acknowledged", lost);
    else this.#acknowledgedFound = this.#ledger.acknowledgedCount;
  }

  async #stopAll(): Promise<void> {
    if (this.#isOver()) return;
    this.#sampler.stop();
    const { nodes, recorder } = this.#world;
    for (const node of nodes.values()) {
      node.isWanted = false;
      for (const process of node.processes) {
        process.clock.resume();
        process.stopping.abort(new Error("the simulation ends"));
      }
    }
    const isGone = () => [...nodes.values()].every(({ processes }) => processes.length === 0);
    await this.#until(bounds.stopMs, isGone);
    if (isGone()) {
      await this.#advance(callMs + 1);
      return;
    }
    const left = [...nodes.values()].flatMap(({ processes }) => processes.map(({ name }) => name));
    recorder.fail("liveness", "stop", `told to stop, still there: ${left.join(" ")}`, left);
  }

  /** Looks once a virtual second whether the core has converged. */
  async #converge(doing: string, core: Core, withinMs: number): Promise<void> {
    const { timeline } = this.#world;
    let missing: string | undefined = "not looked yet";
    let isLooking = true;
    const look = async () => {
      missing = await missingIn(this.#world, core);
      if (missing !== undefined && isLooking) timeline.after(1_000, () => void look());
    };
    timeline.after(0, () => void look());
    await this.#until(withinMs, () => missing === undefined);
    isLooking = false;
    if (missing !== undefined) this.#fail(`${doing}: not within ${withinMs} ms: ${missing}`);
  }

  #fail(message: string): void {
    const names = /\b(?:h\d+|node-[a-e])\b/g;
    this.#world.recorder.fail("liveness", "S3 convergence", message, message.match(names) ?? []);
  }

  #advance(durationMs: number): Promise<void> {
    return this.#until(durationMs, () => false);
  }

  #until(withinMs: number, isDone: () => boolean): Promise<void> {
    const { timeline, recorder } = this.#world;
    return timeline.run(timeline.nowMs + withinMs, () => {
      if (timeline.stepCount > bounds.stepsMax) {
        recorder.fail("crash", "runaway", `more than ${bounds.stepsMax} events`);
      }
      return this.#isOver() || isDone();
    });
  }

  #isOver(): boolean {
    return this.#world.recorder.failure !== undefined;
  }
}
