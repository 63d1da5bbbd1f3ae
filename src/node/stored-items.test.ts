/**
 * Fuzz of everything that reads items of the store: whatever an item holds (fields of another kind,
 * damaged or bomb-like compressed bytes, JSON that is odd or deep), a reader gives a value that can be
 * used or one of its documented errors. `FUZZ_RUNS` and `FUZZ_SEED` (kernel/hostile-json.ts) ask for more.
 */
import { deflateRawSync } from "node:zlib";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readCheckpoint, writeCheckpoint } from "../inventory/checkpoints.ts";
import { FleetStore } from "../inventory/fleet.ts";
import { createHostDecoder, encodeHost } from "../inventory/host-codec.ts";
import { decodePack, emptyPack, encodePack, itemsOf, withHosts } from "../inventory/host-pack.ts";
import { parseHostInput, type HostRecord } from "../inventory/host.ts";
import { pack, unpack } from "../inventory/packed-json.ts";
import { headOf } from "../inventory/partition-store.ts";
import { Releases } from "../inventory/releases.ts";
import { decodeRollout, encodeRollout, type StoredRollout } from "../inventory/rollout-codec.ts";
import type { Rule } from "../inventory/rules.ts";
import { parseSelector } from "../inventory/selector.ts";
import { systemClock } from "../kernel/clock.ts";
import { isCoxswainError, type ErrorCode } from "../kernel/errors.ts";
import { fuzzRuns, mutatedJson } from "../kernel/hostile-json.ts";
import { createRandom } from "../kernel/random.ts";
import { decodeMember, encodeMember, readMembers } from "../membership/member.ts";
import { buildMember } from "../membership/situation-builder.ts";
import { ensureView, readView } from "../membership/view-store.ts";
import { digestOf, manifestDigestOf } from "../protocol/digest.ts";
import { checkpointOf, restoreStatus } from "../push/host-checkpoint.ts";
import { newStatus } from "../push/host-status.ts";
import { configClassOf, syncClassOf } from "../push/sync-class.ts";
import { decodeItem, encodeItem } from "../store/dynamodb-codec.ts";
import { MemoryStore } from "../store/memory-store.ts";
import { initialiseCluster, readMeta } from "../store/meta.ts";
import { keys, type Attribute, type Attributes, type Item, type Key } from "../store/store.ts";
import { parseHostCheckpoint } from "./checkpointer.ts";

const random = createRandom("stored items");
const digest = digestOf(Buffer.from("content"));
const manifest = { digest: manifestDigestOf([]), configs: [] };
const rule: Rule = {
  rollout: "r1",
  config: "app.conf",
  digest,
  selector: parseSelector("role=edge,zone in (a,b)"),
  revision: 3,
};
const rollout: StoredRollout = {
  id: "r1",
  config: "app.conf",
  digest,
  selector: "role=edge",
  author: "api",
  at: "2026-01-01T00:00:00.000Z",
  fleetRevision: 3,
  state: "active",
  added: [rule],
  superseded: [],
};
const host: HostRecord = {
  ...parseHostInput({ id: "h1", address: "http://127.0.0.1:1", labels: { role: "edge" } }),
  modes: ["dial"],
  pins: { "app.conf": digest },
  revision: 7,
};
const member = buildMember({ slot: "a", suspects: { b: "1:2" }, viewSeen: null });
const status = newStatus({
  held: {
    manifest: digest,
    fence: { generation: 1, fleet: 2, host: 3 },
    configs: undefined,
    problems: [{ name: "app.conf", result: "rejected", message: "no" }],
  },
  lastContactWallMs: 1_000,
  lastError: { class: "timeout", message: "slow", wallMs: 1_000 },
});

/** Bytes of another making: cut, flipped, a bomb, a right packing of a wrong value. */
function damagedBytes(bytes: Uint8Array, base: object): fc.Arbitrary<Uint8Array> {
  const cut = fc.nat(bytes.length).map((end) => bytes.slice(0, end));
  const flipped = fc.nat(bytes.length - 1).chain((at) =>
    fc.nat(255).map((byte) => {
      const copy = bytes.slice();
      copy[at] = byte;
      return copy;
    }),
  );
  const packed = mutatedJson(base).map((text) => new Uint8Array(deflateRawSync(text)));
  return fc.oneof(
    { weight: 4, arbitrary: packed },
    { weight: 2, arbitrary: cut },
    { weight: 2, arbitrary: flipped },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 50 }) },
    { weight: 1, arbitrary: fc.constant(bomb) },
  );
}

/** 8 KB that unfold to 8 MB. */
const bomb = new Uint8Array(deflateRawSync(Buffer.alloc(8 * 1024 * 1024, " ")));

const anyAttribute: fc.Arbitrary<Attribute> = fc.oneof(
  fc.string({ unit: "binary", maxLength: 20 }),
  fc.constantFrom("", "{}", "[]", "null", "__proto__", digest),
  fc.integer(),
  fc.constantFrom(0, -1, 1.5, 2 ** 53, 1e100, -1e100),
  fc.uint8Array({ maxLength: 20 }),
);

/** `attributes` with some of them dropped, of another kind, or damaged as `parts` says. */
function damaged(
  attributes: Attributes,
  parts: Readonly<Record<string, fc.Arbitrary<Attribute>>> = {},
): fc.Arbitrary<Attributes> {
  const fields = Object.entries(attributes).map(([name, value]) => {
    const right = { weight: 6, arbitrary: fc.constant<Attribute | undefined>(value) };
    const odd = fc.option(anyAttribute, { nil: undefined, freq: 3 });
    const part = parts[name];
    const wrong = part === undefined ? [] : [{ weight: 6, arbitrary: part }];
    return [name, fc.oneof(right, { weight: 1, arbitrary: odd }, ...wrong)] as const;
  });
  return fc
    .tuple(
      fc.record(Object.fromEntries(fields)),
      fc.dictionary(fc.constantFrom("constructor", "x", "bytes", "toString"), anyAttribute, {
        maxKeys: 1,
      }),
    )
    .map(([known, more]) => {
      const all = Object.entries({ ...more, ...known });
      return Object.fromEntries(all.filter(([, value]) => value !== undefined)) as Attributes;
    });
}

/** Fails unless `read` gives a value or throws one of `codes`; both must happen. */
async function check(
  made: fc.Arbitrary<Attributes>,
  codes: readonly ErrorCode[],
  read: (attributes: Attributes) => unknown,
  runs = 400,
): Promise<void> {
  const seen = { values: 0, errors: 0 };
  await fc.assert(
    fc.asyncProperty(made, async (attributes) => {
      try {
        await read(attributes);
        seen.values++;
      } catch (error) {
        if (!isCoxswainError(error, ...codes)) throw error;
        if (error.message.length > 2_000) throw error;
        seen.errors++;
      }
    }),
    fuzzRuns(runs),
  );
  expect(seen.values).toBeGreaterThan(0);
  expect(seen.errors).toBeGreaterThan(0);
}

const corrupt = ["STORE_CORRUPT"] as const;

/** A store that holds one item. */
async function holding(key: Key, attributes: Attributes): Promise<MemoryStore> {
  const store = new MemoryStore();
  await store.put({ ...key, attributes });
  return store;
}

describe("whatever an item holds, the reader gives a value or a documented error:", () => {
  it("wire forms", async () => {
    const value = fc.oneof(
      fc.record({ S: fc.string({ unit: "binary" }) }),
      fc.record({ N: fc.oneof(fc.constantFrom("NaN", "1e999", "x", ""), fc.double().map(String)) }),
      fc.record({ B: fc.uint8Array({ maxLength: 9 }) }),
      fc.constantFrom({ BOOL: true }, { NULL: true }, { L: [] }, { M: {} }, { SS: ["a"] }, {}),
    );
    const name = fc.oneof(fc.string(), fc.constantFrom("__proto__", "pk", "sk", "constructor"));
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(name, value), { maxLength: 4 }), async (pairs) => {
        const wire = Object.fromEntries(pairs);
        try {
          const item = decodeItem(wire as never);
          for (const [each, read] of Object.entries(item.attributes)) {
            expect(typeof read !== "number" || Number.isFinite(read)).toBe(true);
            expect(Object.hasOwn(wire, each)).toBe(true);
          }
          expect(Object.getPrototypeOf(item.attributes)).toBe(Object.prototype);
        } catch (error) {
          if (!isCoxswainError(error, ...corrupt)) throw error;
        }
      }),
      fuzzRuns(400),
    );
  });

  it("hosts", async () => {
    const attributes = encodeHost(host);
    const parts = {
      labels: mutatedJson(host.labels).filter((text) => text.isWellFormed()),
      pins: mutatedJson(host.pins),
    };
    const decode = createHostDecoder();
    await check(damaged(attributes, parts), corrupt, (each) => {
      const read = decode({ ...keys.host(1, "h1"), attributes: each });
      expect(encodeHost(read)).toEqual(
        encodeHost(decode({ ...keys.host(1, "h1"), attributes: encodeHost(read) })),
      );
    });
  });

  it("packs of hosts, and the hosts in them", async () => {
    const attributes = encodePack(withHosts(emptyPack(2), [host], 9));
    const { hosts } = attributes;
    const packed = damagedBytes(hosts as Uint8Array, unpack(hosts, 100_000) as object);
    const decode = createHostDecoder();
    await check(damaged(attributes, { hosts: packed }), corrupt, (each) => {
      const read = decodePack({ ...keys.pack(1, 2), attributes: each });
      for (const { id } of itemsOf(1, read).map(decode)) expect(id).toMatch(/^[\w.-]+$/);
    });
  });

  it("heads", async () => {
    expect.hasAssertions();
    await check(damaged({ revision: 5 }), corrupt, (attributes) =>
      headOf({ ...keys.head(1), attributes }),
    );
  });

  it("rollouts", async () => {
    expect.hasAssertions();
    const attributes = encodeRollout(rollout);
    const rules = unpack(attributes["added"], 100_000) as object;
    const added = damagedBytes(attributes["added"] as Uint8Array, rules);
    await check(
      damaged(attributes, { added, superseded: added }),
      corrupt,
      (each) => decodeRollout({ ...keys.rollout("r1"), attributes: each }),
      200,
    );
  });

  it("the rules", async () => {
    const { added } = encodeRollout(rollout);
    const rules = damagedBytes(added as Uint8Array, unpack(added, 100_000) as object);
    const attributes = { revision: 3, writer: "w", rules: added as Uint8Array };
    await check(
      damaged(attributes, { rules }),
      corrupt,
      async (each) => {
        const fleet = await new FleetStore(await holding(keys.fleet, each), random).read();
        for (const { selector } of fleet.rules) expect(Array.isArray(selector)).toBe(true);
      },
      150,
    );
  });

  it("releases", async () => {
    expect.hasAssertions();
    const attributes = { size: 7, author: "api", at: "2026-01-01", sequence: 1 };
    await check(damaged(attributes), corrupt, async (each) =>
      new Releases(await holding(keys.release("app.conf", digest), each)).get("app.conf", digest),
    );
  });

  it("contents", async () => {
    const bytes = new Uint8Array(deflateRawSync("content"));
    const parts = { bytes: damagedBytes(bytes, {}) };
    await check(damaged({ count: 1, bytes }, parts), ["RELEASE_DAMAGED"], async (each) => {
      const store = await holding(keys.content(digest, 0), each);
      expect(Buffer.from(await new Releases(store).readContent(digest)).toString()).toBe("content");
    });
  });

  it("the cluster's parameters", async () => {
    const store = new MemoryStore();
    const wanted = { partitions: 64, clusterId: "c1" };
    await initialiseCluster(store, wanted, { clock: systemClock, random });
    const { attributes } = (await store.get(keys.meta)) as Item;
    const codes = ["STORE_CORRUPT", "CLUSTER_SCHEMA_UNSUPPORTED"] as const;
    const partitions = fc.constantFrom(0, -64, 63, 100, 1e9, 2 ** 40, 65_536);
    await check(damaged(attributes, { partitions }), codes, async (each) => {
      const meta = await readMeta(await holding(keys.meta, each));
      expect(Math.log2(meta.partitions) % 1).toBe(0);
      expect(meta.partitions).toBeLessThanOrEqual(65_536);
    });
  });

  it("members, one damaged row hiding no other", async () => {
    const attributes = encodeMember(member);
    const report = mutatedJson(JSON.parse(String(attributes["report"])) as object);
    await check(damaged(attributes, { report }), corrupt, async (each) => {
      const store = await holding(keys.member("bad"), each);
      await store.put({ ...keys.member("good"), attributes });
      expect((await readMembers(store)).members.has("good")).toBe(true);
      decodeMember({ ...keys.member("bad"), attributes: each });
    });
  });

  it("the view", async () => {
    expect.hasAssertions();
    const store = new MemoryStore();
    await ensureView(store);
    const { slot, incarnation, weight, zone, url, fleetUrl } = member;
    const members = [{ slot, incarnation, state: "active", weight, zone, url, fleetUrl }];
    const { attributes } = (await store.get(keys.view)) as Item;
    const parts = {
      members: mutatedJson(members),
      generation: fc.constantFrom(2 ** 21, 2 ** 40, 2 ** 53),
    };
    await check(damaged(attributes, parts), corrupt, async (each) =>
      readView(await holding(keys.view, each)),
    );
  });

  it("checkpoints, damage being an ordinary answer and what is found being usable", async () => {
    const entry = checkpointOf(host.id, status);
    const kinds = new Set<string>();
    const bytesOf = damagedBytes(pack([entry]), [entry]);
    await fc.assert(
      fc.asyncProperty(bytesOf, fc.boolean(), async (bytes, isSealed) => {
        const sum = isSealed ? digestOf(bytes) : digest;
        const attributes = { writerView: 1, count: 1, digest: sum, bytes };
        const read = await readCheckpoint(
          await holding(keys.status(1, 0), attributes),
          1,
          parseHostCheckpoint,
        );
        kinds.add(read.kind);
        if (read.kind !== "found") return;
        for (const each of read.entries) {
          const restored = restoreStatus(each, manifest, { atMs: 5, wallMs: 5 }, 0.5);
          syncClassOf(restored, manifest.digest);
          configClassOf(restored, manifest.digest, "app.conf", digest);
          JSON.stringify(checkpointOf(each.id, restored));
        }
      }),
      fuzzRuns(250),
    );
    expect([...kinds].toSorted()).toEqual(["damaged", "found"]);
  });
});

describe("compressed bytes", () => {
  it("are unpacked up to the bound and not beyond it", () => {
    const fits = pack("x".repeat(98));
    expect(unpack(fits, 100)).toBe("x".repeat(98));
    expect(() => unpack(fits, 99)).toThrow(
      expect.objectContaining({ code: "ERR_BUFFER_TOO_LARGE" }),
    );
    expect(() => unpack(bomb, 1024 * 1024)).toThrow("larger than 1048576 bytes");
  });
});

describe("what is written reads back", () => {
  it("for any attributes, names like __proto__ included", () => {
    const name = fc.oneof(fc.string({ minLength: 1 }), fc.constantFrom("__proto__", "constructor"));
    const value = fc.oneof(
      fc.string({ unit: "binary" }),
      // DynamoDB has one zero.
      fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => number + 0),
      fc.uint8Array({ maxLength: 9 }),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value), { maxLength: 5 }), (pairs) => {
        const own = pairs.filter(([each]) => each !== "pk" && each !== "sk");
        const item = { ...keys.host(1, "h1"), attributes: Object.fromEntries(own) };
        const read = decodeItem(structuredClone(encodeItem(item)));
        expect(Object.entries(read.attributes)).toEqual(Object.entries(item.attributes));
      }),
      fuzzRuns(300),
    );
  });

  it("for hosts, rollouts, members and checkpoints", async () => {
    const item = { ...keys.host(1, "h1"), attributes: encodeHost(host) };
    expect(createHostDecoder()(item)).toEqual(host);
    const stored = { ...keys.rollout("r1"), attributes: encodeRollout(rollout) };
    expect(decodeRollout(stored)).toEqual(rollout);
    const row = { ...keys.member("a"), attributes: encodeMember(member) };
    expect(decodeMember(row)).toEqual(member);
    const store = new MemoryStore();
    const entry = checkpointOf(host.id, status);
    await writeCheckpoint(store, 1, { generation: 1, version: 1 }, [entry]);
    const entries = [JSON.parse(JSON.stringify(entry)) as unknown];
    expect(await readCheckpoint(store, 1, parseHostCheckpoint)).toEqual({ kind: "found", entries });
  });
});
