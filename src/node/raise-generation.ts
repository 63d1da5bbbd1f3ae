/**
 * The explicit act after a restore: from now on hosts take what the table says, though they have newer.
 *
 * A table restored while no node ran has lower numbers than the hosts, and they refuse everything, as
 * they should: only a person knows that the older rules are the wanted ones. The view then names the
 * table's rules as the oldest that may be pushed, so no node that has read less can tell hosts to
 * drop configs. Without any rules in the table that would be what is asked for, so it is refused.
 */
import type { FleetStore } from "../inventory/fleet.ts";
import { CoxswainError } from "../kernel/errors.ts";
import { randomId, type Random } from "../kernel/random.ts";
import { proposeView, readView } from "../membership/view-store.ts";
import type { Store } from "../store/store.ts";

const triesMax = 5;

/**
 * Raises the view's generation to `generation`; nothing where it is there already or beyond. Throws
 * OPTION_INVALID without rules, CLUSTER_NOT_INITIALISED, STORE_CONTENDED and the store's errors.
 */
export async function raiseGeneration(
  ports: { readonly store: Store; readonly fleets: FleetStore; readonly random: Random },
  generation: number,
): Promise<void> {
  const { store, fleets, random } = ports;
  for (let tries = 0; tries < triesMax; tries++) {
    const view = await readView(store);
    if (view === undefined) {
      throw new CoxswainError("CLUSTER_NOT_INITIALISED", "Expected the table to hold a view");
    }
    if (view.generation >= generation) return;
    const { revision } = await fleets.read();
    if (revision === 0) {
      throw new CoxswainError(
        "OPTION_INVALID",
        "Expected rules in the table before `generation` is raised, got none: hosts would drop all configs",
        { details: { field: "generation" } },
      );
    }
    const { members } = view;
    const next = { generation, version: view.version + 1, fleetRevisionMin: revision, members };
    const outcome = await proposeView(store, view, next, randomId(random));
    if (outcome.kind === "won") return;
  }
  throw new CoxswainError(
    "STORE_CONTENDED",
    `Expected to change the view within ${triesMax} tries, got ahead of by nodes`,
  );
}
