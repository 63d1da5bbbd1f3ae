/** The checks that look at everything that happens in one seed, and the figures that they count. */
import type { HostMode } from "../src/protocol/host-mode.ts";
import type { Cause } from "./causes.ts";
import { DurableCheck } from "./checks/durable-check.ts";
import { EvictionCheck } from "./checks/eviction-check.ts";
import { FenceCheck } from "./checks/fence-check.ts";
import { PaceCheck } from "./checks/pace-check.ts";
import { ParkedCheck } from "./checks/parked-check.ts";
import { PublishedCheck } from "./checks/published-check.ts";
import { RefusedCheck } from "./checks/refused-check.ts";
import { UnpushedCheck } from "./checks/unpushed-check.ts";
import { ViewCheck } from "./checks/view-check.ts";
import { TakeoverWatch } from "./takeovers.ts";
import type { World } from "./world.ts";

/** What the figures of docs/safety.md are made of. */
export interface Figures {
  readonly pushes: number;
  /** Time that processes of nodes lived. */
  readonly nodeMs: number;
  /** Syncs that hosts accepted: each could have been a step back. */
  readonly accepted: number;
  /** Those of them over connections that hosts opened, or fetched. */
  readonly acceptedVia: Partial<Record<HostMode, number>>;
  /** Times that a host's config file changed. */
  readonly changes: number;
  /** Answers in which a host refused a release, and those that reached a node. */
  readonly refusals: number;
  readonly refusalsTold: number;
  /** Restarts of hosts on the disk they had. */
  readonly restarts: number;
  /** Writes that clients were told are done, and those that were looked for in the end and found. */
  readonly acknowledged: number;
  readonly acknowledgedFound: number;
  readonly evictions: Partial<Record<Cause, number>>;
  /** Pauses up to 3 s, starvations and steps of clocks. */
  readonly harmless: number;
  /** For each takeover; see takeovers.ts. */
  readonly ownedMs: readonly number[];
  readonly currentMs: readonly number[];
  /** From the end of the faults to convergence. */
  readonly convergenceMs: number;
  /** Hosts refused what they should hold, and took the good release that came after. */
  readonly isMended: boolean;
  /** Longest time in which nobody served some partition. */
  readonly longestGapMs: number;
}

type Counted = Omit<
  Figures,
  "acknowledged" | "acknowledgedFound" | "convergenceMs" | "isMended" | "longestGapMs"
>;

export class SeedChecks {
  readonly #fences: FenceCheck;
  readonly #durable: DurableCheck;
  readonly #refused: RefusedCheck;
  readonly #parked: ParkedCheck;
  readonly #pace: PaceCheck;
  readonly #evictions: EvictionCheck;
  readonly #takeovers: TakeoverWatch;

  constructor(world: World) {
    const { recorder, swarm, timeline, oracle } = world;
    this.#pace = new PaceCheck(recorder, timeline, swarm.pushesPerSecond);
    this.#fences = new FenceCheck(recorder);
    this.#durable = new DurableCheck(recorder);
    this.#refused = new RefusedCheck(recorder);
    this.#parked = new ParkedCheck(recorder);
    this.#evictions = new EvictionCheck(world);
    this.#takeovers = new TakeoverWatch(world);
    recorder.checks.push(
      this.#fences,
      new PublishedCheck(recorder, oracle),
      this.#durable,
      new UnpushedCheck(recorder),
      this.#refused,
      this.#parked,
      this.#pace,
      this.#evictions,
      new ViewCheck(recorder, timeline, swarm.profile),
      this.#takeovers,
    );
  }

  figures(): Counted {
    return {
      pushes: this.#pace.pushCount,
      nodeMs: this.#pace.nodeMs(),
      accepted: this.#fences.acceptedCount,
      acceptedVia: this.#fences.acceptedVia,
      changes: this.#refused.changeCount,
      refusals: this.#refused.refusalCount,
      refusalsTold: this.#parked.toldCount,
      restarts: this.#durable.restartCount,
      evictions: this.#evictions.counts,
      harmless: this.#evictions.harmlessCount,
      ownedMs: this.#takeovers.ownedMs,
      currentMs: this.#takeovers.currentMs,
    };
  }
}
