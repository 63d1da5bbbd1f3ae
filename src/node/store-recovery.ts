/**
 * Writes back to the table what this node knows and the table has lost.
 *
 * A table can be emptied or rolled back under running nodes. What they hold in memory is then the
 * newest truth: the rules, and the records of the hosts they serve. Each goes back with the number it
 * had, only IF the table has a lower one, so that numbers go on and never mean two things. Nothing is
 * ever deleted here, and nothing is written into a table that belongs to another cluster.
 *
 * When everything is back, membership is told; it raises the generation once all living members have
 * said the same. Contents of releases are not kept in memory and do not come back.
 */
import { forEachBounded } from "../inventory/bounded.ts";
import type { FleetStore } from "../inventory/fleet.ts";
import type { HostStore } from "../inventory/hosts.ts";
import type { Clock } from "../kernel/clock.ts";
import { isCoxswainError } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";
import type { Random } from "../kernel/random.ts";
import type { Restored } from "../membership/member.ts";
import type { MembershipSnapshot } from "../membership/snapshot.ts";
import type { View } from "../ring/view.ts";
import { initialiseCluster, type Meta } from "../store/meta.ts";
import type { Store } from "../store/store.ts";
import { restorePartition } from "./restore-partition.ts";
import type { Slice } from "./slice.ts";

const partitionsAtOnce = 8;

export interface StoreRecoveryPorts {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly meta: Meta;
  readonly slice: Slice;
  readonly fleets: FleetStore;
  readonly hosts: HostStore;
  readonly restored: (restored: Restored) => void;
}

export class StoreRecovery {
  readonly #ports: StoreRecoveryPorts;
  #restoredFor: View | undefined;

  constructor(ports: StoreRecoveryPorts) {
    this.#ports = ports;
  }

  /** One look; throws the store's errors, and is then to be called again. */
  async turn({ view, isStoreBehind }: MembershipSnapshot): Promise<void> {
    const { slice, log } = this.#ports;
    if (isStoreBehind && this.#restoredFor !== view) {
      log.error({}, "the table was emptied or rolled back: writing back what this node knows");
      // An older answer could hide what is lost, and nobody would write it back.
      await slice.movedPartitions({ isStrong: true });
      const withHosts = slice
        .servedPartitions()
        .filter((number) => slice.known(number).hosts.size > 0);
      // Counters may be where they were, by other writes, and records gone all the same.
      const partitions = new Set([...slice.losses.seen, ...withHosts]);
      if (!(await this.#writeBack([...partitions], { isTableLost: true }))) return;
      const { generation, version } = view;
      const fleetRevision = slice.fleet.revision;
      this.#ports.restored({ view: { generation, version }, fleetRevision });
      this.#restoredFor = view;
    } else if (slice.isFleetLost || slice.losses.seen.length > 0) {
      const { seen } = slice.losses;
      log.error({ partitions: seen.length }, "the table lost items: writing them back");
      await this.#writeBack(seen, { isTableLost: false });
    }
  }

  /** False where the table is another cluster's: that is for a person to see to. */
  async #writeBack(
    partitions: readonly number[],
    { isTableLost }: { readonly isTableLost: boolean },
  ): Promise<boolean> {
    const { store, clock, random, meta, slice, fleets, hosts, log } = this.#ports;
    try {
      const { partitions: partitionsCount, clusterId } = meta;
      await initialiseCluster(store, { partitions: partitionsCount, clusterId }, { clock, random });
    } catch (error) {
      if (!isCoxswainError(error, "CLUSTER_MISMATCH", "CLUSTER_SCHEMA_UNSUPPORTED")) throw error;
      log.error({ err: error.message }, "the table is not this cluster's: nothing is written");
      return false;
    }
    await fleets.restore(slice.fleet);
    await forEachBounded(partitions, partitionsAtOnce, (partition) =>
      slice.losses.hold(partition, () => {
        const { losses } = slice;
        const isLost = isTableLost || losses.isCounterLost(partition);
        const suspicion = { isLost, reappeared: losses.reappeared(partition) };
        return restorePartition(hosts, partition, slice.known(partition), suspicion);
      }),
    );
    log.info({ partitions: partitions.length }, "written back");
    return true;
  }
}
