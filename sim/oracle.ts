/**
 * What hosts should hold, worked out apart from the product's own computation: from every version of
 * the rules and of each host record that was ever stored.
 *
 * A fence names one version of the rules and one of the record, so it names one manifest. (After a
 * table came back older, the same numbers may stand for several.)
 */
import { isDeepStrictEqual } from "node:util";
import { FleetStore } from "../src/inventory/fleet.ts";
import { isPack, packIndexOf } from "../src/inventory/host-pack.ts";
import { HostStore } from "../src/inventory/hosts.ts";
import { parseHostId, type HostRecord } from "../src/inventory/host.ts";
import { compareRules, type Fleet } from "../src/inventory/rules.ts";
import { matches } from "../src/inventory/selector.ts";
import { createRandom } from "../src/kernel/random.ts";
import { manifestDigestOf } from "../src/protocol/digest.ts";
import type { Fence } from "../src/protocol/fence.ts";
import { partitionOf } from "../src/ring/hash.ts";
import type { MemoryStore } from "../src/store/memory-store.ts";
import { keys, type Key } from "../src/store/store.ts";

/** Config name -> digest. */
export type Wanted = ReadonlyMap<string, string>;

export class Oracle {
  readonly #fleets = new Map<number, Fleet[]>([[0, [{ revision: 0, rules: [] }]]]);
  readonly #records = new Map<string, HostRecord[]>();
  readonly #fleetStore: FleetStore;
  readonly #hostStore: HostStore;
  readonly #partitionsCount: number;

  constructor(store: MemoryStore, partitionsCount: number) {
    this.#fleetStore = new FleetStore(store, createRandom("oracle"));
    this.#hostStore = new HostStore({
      store,
      partitionOf: (id) => partitionOf(id, partitionsCount),
    });
    this.#partitionsCount = partitionsCount;
  }

  /** Remembers what was just stored under `key`; returns the records in it that are new. */
  async noteWritten(key: Key): Promise<readonly HostRecord[]> {
    if (key.pk === keys.fleet.pk && key.sk === keys.fleet.sk) {
      const fleet = await this.#fleetStore.read();
      add(this.#fleets, fleet.revision, fleet);
    }
    const records = (await this.#recordsIn(key)).filter((record) => !this.#isKnown(record));
    for (const record of records) add(this.#records, nameOf(record), record);
    return records;
  }

  #isKnown(record: HostRecord): boolean {
    const known = this.#records.get(nameOf(record)) ?? [];
    return known.some((each) => isDeepStrictEqual(each, record));
  }

  async #recordsIn({ pk, sk }: Key): Promise<readonly HostRecord[]> {
    if (sk.startsWith("host#")) {
      const record = await this.#hostStore.get(parseHostId(sk.slice("host#".length)));
      return record === undefined ? [] : [record];
    }
    if (!isPack({ sk })) return [];
    const { hosts } = await this.#hostStore.load(Number(pk.slice("part#".length)), 1);
    return hosts.filter(({ id }) => keys.pack(0, packIndexOf(id)).sk === sk);
  }

  /** Digests of the manifests that a fence can stand for; empty where it was never stored. */
  manifests(host: string, fence: Fence): Set<string> {
    const fleets = this.#fleets.get(fence.fleet) ?? [];
    const records = this.#records.get(`${host}/${fence.host}`) ?? [];
    return new Set(
      fleets.flatMap((fleet) => records.map((record) => digestOfWanted(wantedOf(fleet, record)))),
    );
  }

  fleet(): Promise<Fleet> {
    return this.#fleetStore.read();
  }

  /** Every registered host as it is stored now. */
  async records(): Promise<HostRecord[]> {
    const all: HostRecord[] = [];
    for (let partition = 0; partition < this.#partitionsCount; partition++) {
      all.push(...(await this.#hostStore.load(partition)).hosts);
    }
    return all;
  }
}

/** Highest rule per config wins, one without digest removes, pins win over rules. */
export function wantedOf(fleet: Fleet, record: HostRecord): Wanted {
  const wanted = new Map<string, string>();
  for (const rule of fleet.rules.toSorted(compareRules)) {
    if (!matches(rule.selector, record.labels)) continue;
    if (rule.digest === undefined) wanted.delete(rule.config);
    else wanted.set(rule.config, rule.digest);
  }
  for (const [config, digest] of Object.entries(record.pins)) wanted.set(config, digest);
  return wanted;
}

export function digestOfWanted(wanted: Wanted): string {
  return manifestDigestOf([...wanted].map(([name, digest]) => ({ name, digest })));
}

function nameOf({ id, revision }: HostRecord): string {
  return `${id}/${revision}`;
}

function add<Name, Value>(map: Map<Name, Value[]>, name: Name, value: Value): void {
  const known = map.get(name);
  if (known === undefined) map.set(name, [value]);
  else known.push(value);
}
