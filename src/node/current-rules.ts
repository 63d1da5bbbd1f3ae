/**
 * The rules as this node knows them. They only move forward: what the store has lost is still known
 * here, and is pushed on and written back. Other rules under the revision that is known here are a loss
 * like any other: that revision was used before.
 */
import { compileFleet, type Desired } from "../inventory/desired.ts";
import type { FleetStore } from "../inventory/fleet.ts";
import { emptyFleet, isForkOf, type Fleet } from "../inventory/rules.ts";
import type { Logger } from "../kernel/log.ts";
import type { Fence } from "../protocol/fence.ts";
import type { View } from "../ring/view.ts";

/** Revisions count the changes of one partition: a few thousand, shared by as many partitions. */
const fencesMax = 65_536;

export class CurrentRules {
  readonly #fleets: FleetStore;
  readonly #log: Logger;
  #fleet: Fleet = emptyFleet;
  #desired: Desired = compileFleet(emptyFleet);
  readonly #fences = new Map<number, Fence>();
  #fencesOf = { generation: -1, fleet: -1 };
  #isKnown = false;
  #isLost = false;
  #heldView: View | undefined;

  constructor(fleets: FleetStore, log: Logger) {
    this.#fleets = fleets;
    this.#log = log;
  }

  get fleet(): Fleet {
    return this.#fleet;
  }

  get desired(): Desired {
    return this.#desired;
  }

  /** The fence of a host's record under these rules; records of one revision share it. */
  fenceOf(generation: number, revision: number): Fence {
    const fleet = this.#fleet.revision;
    if (generation !== this.#fencesOf.generation || fleet !== this.#fencesOf.fleet) {
      this.#fencesOf = { generation, fleet };
      this.#fences.clear();
    }
    let fence = this.#fences.get(revision);
    if (fence === undefined) {
      if (this.#fences.size >= fencesMax) this.#fences.clear();
      fence = { generation, fleet, host: revision };
      this.#fences.set(revision, fence);
    }
    return fence;
  }

  /** False until the rules were read once: no rules would mean "hold nothing". */
  get isKnown(): boolean {
    return this.#isKnown;
  }

  /** True where the store had older rules at the last look than this node has, or others of one revision. */
  get isLost(): boolean {
    return this.#isLost;
  }

  /** Reads them again; says whether they moved. Throws what the store throws. */
  async refresh(): Promise<"moved" | "same" | "lost"> {
    const fleet = await this.#fleets.read();
    this.#isKnown = true;
    this.#isLost = fleet.revision < this.#fleet.revision || isForkOf(fleet, this.#fleet);
    if (this.#isLost) return "lost";
    if (fleet.revision === this.#fleet.revision) return "same";
    this.#fleet = fleet;
    this.#desired = compileFleet(fleet, this.#desired);
    return "moved";
  }

  /** True where these rules may be pushed in the generation of `view`. */
  isEnoughFor(view: View): boolean {
    const { fleetRevisionMin = 0 } = view;
    const { revision } = this.#fleet;
    if (revision >= fleetRevisionMin) return true;
    if (this.#heldView !== view) {
      this.#log.error({ revision, fleetRevisionMin }, "rules too old for the view: not taken up");
    }
    this.#heldView = view;
    return false;
  }
}
