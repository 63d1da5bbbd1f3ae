/**
 * The inventory: hosts, releases, rules and rollouts over one store. It starts nothing and keeps
 * nothing but decoded copies of what it read.
 */
import type { Random } from "../kernel/random.ts";
import { FleetStore } from "./fleet.ts";
import type { HostId, HostRecord } from "./host.ts";
import { HostStore, type HostPorts } from "./hosts.ts";
import { parseConfigName, Releases } from "./releases.ts";
import { Rollouts } from "./rollouts.ts";

export interface Inventory {
  readonly hosts: HostStore;
  readonly fleets: FleetStore;
  readonly releases: Releases;
  readonly rollouts: Rollouts;
  /**
   * Pins a config of one host to a release; undefined lets it go. Throws CONFIG_INVALID,
   * RELEASE_NOT_FOUND, HOST_NOT_FOUND, HOST_INVALID (too many pins), HOST_CHANGED.
   */
  pinHost(id: HostId, config: string, digest: string | undefined): Promise<HostRecord>;
}

export function createInventory(ports: HostPorts & { readonly random: Random }): Inventory {
  const { store, random } = ports;
  const hosts = new HostStore(ports);
  const fleets = new FleetStore(store, random);
  const releases = new Releases(store);
  const rollouts = new Rollouts({ store, random, fleets, releases });
  return {
    hosts,
    fleets,
    releases,
    rollouts,
    async pinHost(id, config, digest) {
      parseConfigName(config);
      if (digest !== undefined) await releases.require(config, digest);
      return hosts.pin(id, config, digest);
    },
  };
}
