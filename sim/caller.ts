/**
 * Calls of the API: a random node is asked, and what is known afterwards is acknowledged, refused or
 * unknown, because nodes die while they are at it.
 */
import { isCoxswainError, messageOf, type ErrorCode } from "../src/kernel/errors.ts";
import type { ImportReport } from "../src/node/import-lines.ts";
import type { Operations } from "../src/node/operations.ts";
import type { Dice } from "./dice.ts";
import type { Told } from "./ledger.ts";
import { stackOf } from "./sim-host.ts";
import type { NodeProcess } from "./sim-node.ts";
import type { World } from "./world.ts";

const lostPollMs = 500;

/** Errors that say for certain that nothing was changed. */
const refusals: readonly ErrorCode[] = [
  "HOST_INVALID",
  "HOST_NOT_FOUND",
  "HOST_ADDRESS_TAKEN",
  "RELEASE_NOT_FOUND",
  "ROLLOUT_NOT_FOUND",
  "ROLLOUT_SUPERSEDED",
  "RULES_FULL",
];

type Outcome<T> =
  | { readonly told: "acknowledged"; readonly value: T }
  | { readonly told: "unknown" | "refused" };

export class Caller {
  /** Calls under way whose end is not known yet. */
  openCount = 0;
  /** Nothing is waited for: whatever is under way has no answer. */
  isAbandoned = false;
  /** Nodes that are asked; undefined where any may be. */
  slots: ReadonlySet<string> | undefined;
  readonly #world: World;
  readonly #dice: Dice;

  constructor(world: World, dice: Dice) {
    this.#world = world;
    this.#dice = dice;
  }

  /** Asks a random node; `unknown` where it gave no answer or one that says so. */
  async ask<T>(what: string, call: (operations: Operations) => Promise<T>): Promise<Outcome<T>> {
    const process = this.#dice.pick(
      this.#world.livingProcesses().filter(({ slot }) => this.slots?.has(slot) ?? true),
    );
    if (process === undefined) return { told: "refused" };
    this.openCount++;
    const ended = new AbortController();
    const outcome = await Promise.race([
      this.#answer(process, call),
      this.#lost(process, ended.signal),
    ]);
    ended.abort();
    this.openCount--;
    this.#world.recorder.observe({
      kind: "operation",
      text: `${what} at ${process.name}: ${outcome.told}`,
    });
    return outcome;
  }

  async #answer<T>(
    process: NodeProcess,
    call: (operations: Operations) => Promise<T>,
  ): Promise<Outcome<T>> {
    try {
      return { told: "acknowledged", value: await call(process.node.operations) };
    } catch (error) {
      if (!isCoxswainError(error)) {
        this.#world.recorder.fail("crash", "operation", stackOf(error), [process.name]);
      }
      this.#world.recorder.note(`operation failed: ${messageOf(error)}`);
      const told: Exclude<Told, "acknowledged"> = isCoxswainError(error, ...refusals)
        ? "refused"
        : "unknown";
      return { told };
    }
  }

  /** Resolves once the process is gone: whatever it was doing gives no answer. */
  #lost(process: NodeProcess, signal: AbortSignal): Promise<{ readonly told: "unknown" }> {
    const { timeline } = this.#world;
    return new Promise((resolve) => {
      const look = () => {
        if (this.isAbandoned || process.clock.state === "gone") resolve({ told: "unknown" });
        else if (!signal.aborted) timeline.after(lostPollMs, look);
      };
      look();
    });
  }
}

/** What is known of one line of an import. */
export function toldOf(outcome: Outcome<ImportReport>, line: number): Told {
  if (outcome.told !== "acknowledged") return outcome.told;
  const error = outcome.value.errors.find((each) => each.line === line);
  // The report says how many were, not which.
  if (error === undefined) return outcome.value.unchanged > 0 ? "unchanged" : "acknowledged";
  return refusals.some((code) => code === error.code) ? "refused" : "unknown";
}
