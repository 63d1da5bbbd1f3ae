/**
 * The rules as this node knows them. They only move forward: what the store has lost is still known
 * here, and is pushed on and written back.
 */
import { compileFleet, type Desired } from "../inventory/desired.ts";
import type { FleetStore } from "../inventory/fleet.ts";
import { emptyFleet, type Fleet } from "../inventory/rules.ts";
import type { Logger } from "../kernel/log.ts";
import type { View } from "../ring/view.ts";

export class CurrentRules {
  readonly #fleets: FleetStore;
  readonly #log: Logger;
  #fleet: Fleet = emptyFleet;
  #desired: Desired = compileFleet(emptyFleet);
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

  /** False until the rules were read once: no rules would mean "hold nothing". */
  get isKnown(): boolean {
    return this.#isKnown;
  }

  /** True where the store had older rules at the last look than this node has. */
  get isLost(): boolean {
    return this.#isLost;
  }

  /** Reads them again; says whether they moved. Throws what the store throws. */
  async refresh(): Promise<"moved" | "same" | "lost"> {
    const fleet = await this.#fleets.read();
    this.#isKnown = true;
    this.#isLost = fleet.revision < this.#fleet.revision;
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
