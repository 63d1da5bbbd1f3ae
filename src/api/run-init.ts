/**
 * `init`: the table, the cluster's parameters and the first, empty view; on request a higher
 * generation. Safe to repeat.
 */
import { FleetStore } from "../inventory/fleet.ts";
import { systemClock } from "../kernel/clock.ts";
import { resolveOptions } from "../kernel/options.ts";
import { systemRandom } from "../kernel/random.ts";
import { ensureView } from "../membership/view-store.ts";
import { initOptions } from "../node/options.ts";
import { raiseGeneration } from "../node/raise-generation.ts";
import { createTable } from "../store/create-table.ts";
import { initialiseCluster, type Meta } from "../store/meta.ts";
import { connectStore } from "./connect-store.ts";
import { readOptionFile, type RawOptions } from "./raw-options.ts";

export interface InitResult {
  readonly meta: Meta;
  /** False where the cluster was there already, with the same parameters. */
  readonly isNew: boolean;
  readonly place: string;
}

/** Throws CLUSTER_MISMATCH where the table belongs to something else. */
export async function runInit(raw: RawOptions): Promise<InitResult> {
  const options = resolveOptions(initOptions, {
    file: readOptionFile(raw.configFile),
    env: raw.env,
    flags: raw.flags,
  });
  const connected = await connectStore(options);
  try {
    await createTable(connected.options);
    const wanted = { partitions: options.partitions, clusterId: options.cluster };
    const ports = { clock: systemClock, random: systemRandom() };
    const { meta, isNew } = await initialiseCluster(connected.store, wanted, ports);
    await ensureView(connected.store);
    const { store } = connected;
    const fleets = new FleetStore(store, ports.random);
    if (options.generation > 0) {
      await raiseGeneration({ store, fleets, random: ports.random }, options.generation);
    }
    return { meta, isNew, place: connected.place };
  } finally {
    await connected.close();
  }
}
