import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createRandom } from "../kernel/random.ts";
import { limits } from "../protocol/limits.ts";
import { checkSize } from "../store/item.ts";
import { keys } from "../store/store.ts";
import { createHostDecoder } from "./host-codec.ts";
import {
  decodePack,
  emptyPack,
  encodePack,
  fittingCount,
  itemsOf,
  packIndexOf,
  packsPerPartition,
  withHosts,
  withoutHosts,
  type HostPack,
} from "./host-pack.ts";
import { parseHostInput, type HostRecord } from "./host.ts";
import { recordOf } from "./hosts.ts";
import { pack as packJson, unpack } from "./packed-json.ts";

const partition = 3;
const random = createRandom("packs");
/** Hexadecimal digits that no compression makes shorter than half. */
const noise = (length: number) =>
  Array.from({ length }, () => Math.floor(random.next() * 16).toString(16)).join("");

const small = (at: number): HostRecord =>
  recordOf(
    parseHostInput({
      id: `host-${at}`,
      address: `http://10.0.${at >> 8}.${at & 255}:9000`,
      labels: { role: "edge", zone: `z${at % 3}` },
    }),
    at + 1,
  );
const large = (at: number): HostRecord =>
  recordOf(
    parseHostInput({
      id: `host-${at}`,
      address: `http://${noise(40)}:9000`,
      labels: Object.fromEntries(Array.from({ length: 8 }, () => [noise(30), noise(60)])),
    }),
    1,
  );

const item = (pack: HostPack) => ({
  ...keys.pack(partition, pack.index),
  attributes: encodePack(pack),
});
const list = (count: number, make = small) => Array.from({ length: count }, (_, at) => make(at));

describe("a pack", () => {
  it("reads back as it was written, host by host", () => {
    const decode = createHostDecoder();
    fc.assert(
      fc.property(fc.nat(60), fc.nat(60), (count, removed) => {
        const full = withHosts(emptyPack(2), list(count), 7);
        const ids = list(removed).map(({ id }) => id);
        const pack = withoutHosts(full, ids, 9);
        const read = decodePack(item(pack));
        expect(read).toMatchObject({ index: 2, revision: 9 });
        const hosts = itemsOf(partition, read).map(decode);
        expect(new Set(hosts)).toEqual(new Set(list(count).slice(removed)));
        expect(encodePack(read)).toEqual(encodePack(pack));
      }),
      { numRuns: 30 },
    );
  });

  it("takes the place of what it had of a host", () => {
    const before = withHosts(emptyPack(0), list(3), 1);
    const moved = { ...small(1), address: "http://elsewhere:1", revision: 50 };
    const [, host] = itemsOf(partition, withHosts(before, [moved], 50)).map(createHostDecoder());
    expect(host).toEqual(moved);
  });

  it("takes a tenth of what its hosts take alone", () => {
    const pack = withHosts(emptyPack(0), list(250), 1);
    const { hosts } = encodePack(pack);
    expect((hosts as Uint8Array).length).toBeLessThan(250 * 15);
  });

  it.each([
    ["a key of another kind", "hosts#4", {}],
    ["a key that is no number", "hosts#x", {}],
    ["no number of its own", "hosts#1", { revision: 0 }],
    ["a number that is text", "hosts#1", { revision: "5" }],
    ["hosts that are text", "hosts#1", { hosts: "[]" }],
    ["bytes that are not packed", "hosts#1", { hosts: new Uint8Array([1, 2, 3]) }],
  ])("with %s is STORE_CORRUPT", (_, sk, wrong) => {
    const attributes = { ...encodePack(withHosts(emptyPack(1), list(2), 5)), ...wrong };
    expect(() => decodePack({ pk: `part#${partition}`, sk, attributes })).toThrow(
      expect.objectContaining({ code: "STORE_CORRUPT" }),
    );
  });
});

it("a pack in which an id is twice is STORE_CORRUPT", () => {
  const attributes = encodePack(withHosts(emptyPack(1), list(1), 5));
  const [entry] = unpack(attributes["hosts"], 1_000) as unknown[];
  const twice = { ...attributes, hosts: packJson([entry, entry]) };
  expect(() => decodePack({ ...keys.pack(partition, 1), attributes: twice })).toThrow("twice");
});

describe("the pack of an id", () => {
  it("is one of four, each as likely, also among the hosts of one partition", () => {
    const counts = Array.from({ length: packsPerPartition }, () => 0);
    for (let at = 0; at < 8_000; at++) {
      const index = packIndexOf(`host-${String(at).padStart(6, "0")}`);
      counts[index] = (counts[index] ?? 0) + 1;
    }
    for (const count of counts) expect(Math.abs(count - 2_000)).toBeLessThan(200);
  });

  it("does not change: hosts are found where they were put", () => {
    expect(["h1", "h2", "h5", "host-000001", "a.b-C_9"].map(packIndexOf)).toEqual([0, 1, 0, 1, 3]);
  });
});

describe("the room of a pack", () => {
  it("is a number of hosts", () => {
    const hostsMax = limits.hostsPerPartitionMax / 2;
    expect(fittingCount(emptyPack(0), list(hostsMax + 5))).toBe(hostsMax);
    const almost = withHosts(emptyPack(0), list(hostsMax - 2), 1);
    const more = list(hostsMax + 3).slice(hostsMax - 2);
    expect(fittingCount(almost, more)).toBe(2);
    expect(fittingCount(withHosts(almost, more, 2), more)).toBe(0);
  });

  it("ends early for large hosts, so that there is room for what they become", () => {
    const many = list(900, large);
    const count = fittingCount(emptyPack(0), many);
    expect(count).toBeGreaterThan(100);
    expect(count).toBeLessThan(900);
    const pack = withHosts(emptyPack(0), many.slice(0, count), 1);
    const size = (encodePack(pack)["hosts"] as Uint8Array).length;
    expect(size).toBeLessThanOrEqual(128 * 1024);
    expect(() => checkSize(item(pack), encodePack(pack))).not.toThrow();
    expect(fittingCount(pack, many.slice(count, count + 1))).toBeLessThanOrEqual(1);
    expect(decodePack(item(pack)).hosts.size).toBe(count);
  });
});
