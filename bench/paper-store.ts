/**
 * A store in which a large fleet is registered without being kept: host items are made up when they
 * are read, the same each time, so that what a process keeps of the fleet is the node's own. All
 * other items are in memory; checkpoints are taken and thrown away.
 *
 * Items go through JSON once, as they do between DynamoDB and its client, so that texts are as
 * separate from each other as there.
 */
import { setImmediate as turn } from "node:timers/promises";
import { encodeHost } from "../src/inventory/host-codec.ts";
import { parseHostInput } from "../src/inventory/host.ts";
import { recordOf } from "../src/inventory/hosts.ts";
import { partitionOf } from "../src/ring/hash.ts";
import { MemoryStore } from "../src/store/memory-store.ts";
import type { Item, Key, Page, WriteOutcome } from "../src/store/store.ts";
import { hostAt } from "./push-senders.ts";

const hostsRevision = 1;
const sites = 40;

export interface PaperFleet {
  readonly partitions: number;
  readonly hosts: number;
  /** Of the hosts' agents, one address each. */
  readonly port: number;
}

export class PaperStore extends MemoryStore {
  readonly #fleet: PaperFleet;
  readonly #indexes: Uint32Array[];

  constructor(fleet: PaperFleet) {
    super();
    this.#fleet = fleet;
    const lists = Array.from({ length: fleet.partitions }, () => [] as number[]);
    for (let index = 0; index < fleet.hosts; index++) {
      lists[partitionOf(hostAt(index, fleet.port).id, fleet.partitions)]?.push(index);
    }
    this.#indexes = lists.map((list) => Uint32Array.from(list));
  }

  override async get(key: Key): Promise<Item | undefined> {
    const [head] = this.#headsAmong([key]);
    return head ?? super.get(key);
  }

  override async getMany(keys: readonly Key[]): Promise<Item[]> {
    const heads = this.#headsAmong(keys);
    return heads.length === keys.length ? heads : super.getMany(keys);
  }

  override async query(
    pk: string,
    options: { readonly prefix?: string; readonly after?: string; readonly limit: number },
  ): Promise<Page> {
    if (options.prefix !== "host") return super.query(pk, options);
    // An answer from a network comes in a turn of its own.
    await turn();
    const { after = "", limit } = options;
    const items = this.#hostsOf(pk).filter(({ sk }) => sk > after);
    const page = JSON.parse(JSON.stringify(items.slice(0, limit))) as Item[];
    return { items: page, next: items.length > limit ? page.at(-1)?.sk : undefined };
  }

  override async put(...[item, conditions]: Parameters<MemoryStore["put"]>): Promise<WriteOutcome> {
    return item.sk.startsWith("status#") ? { kind: "written" } : super.put(item, conditions);
  }

  #headsAmong(keys: readonly Key[]): Item[] {
    return keys
      .filter(({ sk }) => sk === "head")
      .map((key) => ({ ...key, attributes: { revision: hostsRevision + 1 } }));
  }

  #hostsOf(pk: string): Item[] {
    const indexes = this.#indexes[Number(pk.slice("part#".length))] ?? [];
    return Array.from(indexes, (index) => {
      const labels = { role: index % 4 === 0 ? "api" : "edge", site: `site-${index % sites}` };
      const { id, address } = hostAt(index, this.#fleet.port);
      const record = recordOf(parseHostInput({ id, address, labels }), hostsRevision);
      return { pk, sk: `host#${id}`, attributes: encodeHost(record) };
    }).toSorted((left, right) => (left.sk < right.sk ? -1 : 1));
  }
}
