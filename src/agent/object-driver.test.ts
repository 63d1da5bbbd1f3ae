import { afterEach, describe, expect, it } from "vitest";
import { CoxswainError } from "../kernel/errors.ts";
import { silentLogger } from "../kernel/log.ts";
import { createRandom } from "../kernel/random.ts";
import { MemoryObjectStore } from "../objects/memory-object-store.ts";
import {
  contentKey,
  decodeStatus,
  encodeContent,
  encodeManifest,
  encodePointer,
  manifestKey,
  pointerKey,
  statusKey,
  type HostPointer,
} from "../objects/object-layout.ts";
import type { ObjectReader } from "../objects/object-store.ts";
import { digestOf, manifestDigestOf, type Digest } from "../protocol/digest.ts";
import { limits } from "../protocol/limits.ts";
import type { SyncReply } from "../protocol/sync.ts";
import { createHost, target } from "./agent-fixture.ts";
import { ObjectDriver } from "./object-driver.ts";

const path = "/etc/app.conf";
const running: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of running.splice(0)) await stop();
});

/** A driver that looks for host h1 in `objects`; ends with the test and leaves no timer. */
async function setUp(
  options: Parameters<typeof createHost>[0] = {},
  objects?: MemoryObjectStore,
  /** What the driver is given in place of the store. */
  place?: (store: MemoryObjectStore) => ObjectReader,
) {
  const store = objects ?? new MemoryObjectStore();
  const host = await createHost({ listed: { "app.conf": target() }, ...options });
  const gets: string[] = [];
  store.before = (call, key) => {
    if (call === "get") gets.push(key.split("/")[2] ?? "");
  };
  const reports: SyncReply[] = [];
  const log: string[] = [];
  const state = { needsSync: false, isNodeThere: true };
  const warn = (fields: object) => log.push("error" in fields ? String(fields.error) : "");
  const driver = new ObjectDriver(
    {
      clock: host.clock,
      random: createRandom("object"),
      log: { ...silentLogger, warn },
      core: host.core,
      open: async () => place?.(store) ?? store,
      report: async ({ body }) => {
        if (!state.isNodeThere) return undefined;
        reports.push(body as SyncReply);
        return { needsSync: state.needsSync };
      },
    },
    { host: "h1", cluster: "c1" },
  );
  const stopping = new AbortController();
  const ran = driver.run(stopping.signal).catch((error: unknown) => {
    if (!stopping.signal.aborted) throw error;
  });
  running.push(async () => {
    stopping.abort(new Error("the test is over"));
    await ran;
    expect(host.clock.timerCount).toBe(0);
  });
  const held = () => host.disk.text(path);
  const left = () => {
    const bytes = store.objects.get(statusKey("c1", "h1"));
    return bytes && decodeStatus(bytes, { cluster: "c1", host: "h1" });
  };
  return { host, store, gets, reports, log, state, driver, held, left };
}

/** As an agent sees a bucket behind a web server. */
function readOnly(store: MemoryObjectStore): ObjectReader {
  return { get: (key, options) => store.get(key, options), close: () => {} };
}

/** Lays a release of app.conf ready; `parts` override fields of the pointer. */
function lay(store: MemoryObjectStore, text: string, fleet: number, parts = {}): Digest {
  const digest = digestOf(Buffer.from(text));
  const configs = [{ name: "app.conf", digest, size: text.length }];
  const manifest = manifestDigestOf(configs);
  const pointer: HostPointer = {
    cluster: "c1",
    host: "h1",
    fence: { generation: 1, fleet, host: 1 },
    view: 3,
    node: "n1",
    manifest,
    nextPollMs: 10_000,
    ...parts,
  };
  store.objects.set(contentKey("c1", digest), encodeContent(Buffer.from(text)));
  store.objects.set(manifestKey("c1", manifest), encodeManifest(manifest, configs));
  store.objects.set(pointerKey("c1", "h1"), encodePointer(pointer));
  return manifest;
}

describe("an agent that reads from an object store", () => {
  it("applies what lies there, reports it, and then only asks whether it is new", async () => {
    const set = await setUp();
    const manifest = lay(set.store, "one", 1);
    await set.host.clock.advance(2_000);
    expect(set.held()).toBe("one");
    expect(set.gets).toEqual(["hosts", "manifests", "contents"]);
    expect(set.reports).toMatchObject([{ host: "h1", manifest, fence: "1.1.1", view: "3" }]);
    set.gets.length = 0;
    await set.host.clock.advance(100_000);
    expect(set.gets).toEqual(Array.from({ length: 10 }, () => "hosts"));
    expect(set.reports).toHaveLength(1);
    expect(set.driver.workedAtMs()).toBe(set.host.clock.monotonicMs());
  });

  it("fetches only the contents that it lacks", async () => {
    const set = await setUp();
    lay(set.store, "one", 1);
    await set.host.clock.advance(2_000);
    set.gets.length = 0;
    lay(set.store, "one", 2);
    await set.host.clock.advance(10_000);
    expect(set.gets).toEqual(["hosts"]);
    expect(set.reports.at(-1)).toMatchObject({ fence: "1.2.1" });
  });

  it("reports now and then although nothing is new, and again what no node heard", async () => {
    const set = await setUp({}, undefined, readOnly);
    set.state.isNodeThere = false;
    lay(set.store, "one", 1);
    await set.host.clock.advance(60_000);
    set.state.isNodeThere = true;
    await set.host.clock.advance(10_000);
    expect(set.reports).toHaveLength(1);
    await set.host.clock.advance(30 * 60_000);
    expect(set.reports.length).toBeGreaterThanOrEqual(5);
    expect(set.reports.length).toBeLessThanOrEqual(7);
  });

  it("looks again soon where the node wants more, but only once", async () => {
    const set = await setUp();
    set.state.needsSync = true;
    lay(set.store, "one", 1, { nextPollMs: 60_000 });
    await set.host.clock.advance(2_000);
    expect(set.reports).toHaveLength(1);
    set.gets.length = 0;
    await set.host.clock.advance(50_000);
    expect(set.gets.length).toBeGreaterThanOrEqual(1);
    expect(set.gets.length).toBeLessThanOrEqual(2);
  });

  it("writes a file again that was changed on this machine", async () => {
    const set = await setUp();
    lay(set.store, "one", 1);
    await set.host.clock.advance(2_000);
    set.host.disk.tamper(path, "somebody's");
    await set.host.clock.advance(10_000);
    expect(set.held()).toBe("one");
  });

  it("tries a refused content once, and takes the next one", async () => {
    let code = 1;
    const set = await setUp({
      listed: { "app.conf": target({ check: ["check"] }) },
      run: () => ({ kind: "exited", code, output: "" }),
    });
    lay(set.store, "bad", 1);
    await set.host.clock.advance(60 * 60_000);
    expect(set.host.commands.filter((command) => command.startsWith("check"))).toHaveLength(1);
    expect(set.reports[0]).toMatchObject({ configs: [{ result: "rejected" }] });
    code = 0;
    lay(set.store, "good", 2);
    await set.host.clock.advance(10_000);
    expect(set.held()).toBe("good");
  });
});

describe("an agent that no node hears", () => {
  it("leaves its answer beside its pointer, again when something changed, and else every five minutes", async () => {
    const set = await setUp();
    set.state.isNodeThere = false;
    const manifest = lay(set.store, "one", 1);
    await set.host.clock.advance(2_000);
    const { boot } = set.host.core.held();
    const fence = { generation: 1, fleet: 1, host: 1 };
    const answered = { cluster: "c1", host: "h1", boot, fence, manifest, status: 200 };
    expect(set.left()).toMatchObject({
      ...answered,
      serial: 1,
      reply: { host: "h1", boot, fence: "1.1.1", manifest, configs: [{ result: "applied" }] },
    });
    lay(set.store, "two", 2);
    await set.host.clock.advance(10_000);
    expect(set.left()).toMatchObject({ serial: 2, fence: { fleet: 2 } });
    await set.host.clock.advance(280_000);
    expect(set.left()).toMatchObject({ serial: 2 });
    await set.host.clock.advance(20_000);
    expect(set.left()).toMatchObject({ serial: 3 });
  });

  it("says what it refused, and to what it says so", async () => {
    const code = 1;
    const set = await setUp({
      listed: { "app.conf": target({ check: ["check"] }) },
      run: () => ({ kind: "exited", code, output: "" }),
    });
    set.state.isNodeThere = false;
    const manifest = lay(set.store, "bad", 1);
    await set.host.clock.advance(2_000);
    expect(set.left()).toMatchObject({ manifest, reply: { configs: [{ result: "rejected" }] } });
    lay(set.store, "older", 0);
    await set.host.clock.advance(310_000);
    expect(set.left()).toMatchObject({
      fence: { fleet: 0 },
      status: 409,
      reply: { fence: "1.1.1" },
    });
  });

  it("leaves nothing where a node hears it", async () => {
    const set = await setUp();
    lay(set.store, "one", 1);
    await set.host.clock.advance(20 * 60_000);
    expect(set.reports.length).toBeGreaterThan(2);
    expect(set.left()).toBeUndefined();
  });

  it("says once that it can only read, and goes on reading", async () => {
    const set = await setUp({}, undefined, readOnly);
    set.state.isNodeThere = false;
    lay(set.store, "one", 1);
    await set.host.clock.advance(60_000);
    lay(set.store, "two", 2);
    await set.host.clock.advance(10_000);
    expect(set.held()).toBe("two");
    expect(set.log).toEqual(["the place can only be read"]);
  });

  it("without the right to write tries every five minutes, says so once, and succeeds when it may", async () => {
    const set = await setUp();
    set.state.isNodeThere = false;
    let tries = 0;
    let isDenied = true;
    set.store.before = (call) => {
      if (call !== "put") return;
      tries++;
      if (isDenied) throw new CoxswainError("OBJECTS_DENIED", "no rights");
    };
    lay(set.store, "one", 1);
    await set.host.clock.advance(14 * 60_000);
    expect(tries).toBe(3);
    expect(set.log).toEqual(["no rights"]);
    isDenied = false;
    await set.host.clock.advance(5 * 60_000);
    expect(set.left()).toMatchObject({ status: 200 });
  });
});

function cut(store: MemoryObjectStore, key: string): void {
  const bytes = store.objects.get(key);
  if (bytes === undefined) throw new Error(`Expected ${key} to be there`);
  store.objects.set(key, bytes.subarray(0, bytes.length - 1));
}

/** The same JSON, one byte longer than `bytesMax`. */
function pad(store: MemoryObjectStore, key: string, bytesMax: number): void {
  const text = Buffer.from(store.objects.get(key) ?? "").toString();
  store.objects.set(key, Buffer.from(text.padEnd(bytesMax + 1)));
}

describe("what cannot be trusted changes nothing and is fetched again", () => {
  const damages: [string, (store: MemoryObjectStore, manifest: Digest) => void, string][] = [
    ["no pointer", (store) => store.objects.clear(), "nothing lies there"],
    [
      "a pointer cut off",
      (store) => cut(store, pointerKey("c1", "h1")),
      "the pointer cannot be used",
    ],
    [
      "a pointer of more bytes than one can have",
      (store) => pad(store, pointerKey("c1", "h1"), limits.pointerBytesMax),
      "the pointer is too large",
    ],
    [
      "a manifest of more bytes than one can have",
      (store, manifest) => pad(store, manifestKey("c1", manifest), limits.manifestBytesMax),
      "the manifest is tooLarge",
    ],
    ["a pointer of another host", (store) => void lay(store, "two", 2, { host: "h2" }), "host"],
    [
      "a pointer of another cluster",
      (store) => void lay(store, "two", 2, { cluster: "c2" }),
      "cluster",
    ],
    [
      "a manifest cut off",
      (store, manifest) => cut(store, manifestKey("c1", manifest)),
      "the manifest is damaged",
    ],
    [
      "a manifest of something else",
      (store, manifest) =>
        void store.objects.set(manifestKey("c1", manifest), encodeManifest(manifest, [])),
      "the manifest is damaged",
    ],
    [
      "a content cut off",
      (store) => cut(store, contentKey("c1", digestOf(Buffer.from("two")))),
      "the content of app.conf is damaged",
    ],
    [
      "a content that is gone",
      (store) => void store.objects.delete(contentKey("c1", digestOf(Buffer.from("two")))),
      "the content of app.conf is missing",
    ],
  ];

  it.each(damages)("%s", async (_name, damage, why) => {
    const set = await setUp();
    lay(set.store, "one", 1);
    await set.host.clock.advance(2_000);
    damage(set.store, lay(set.store, "two", 2));
    await set.host.clock.advance(30_000);
    expect(set.held()).toBe("one");
    expect(set.host.core.held().fence).toMatchObject({ fleet: 1 });
    expect(set.log).toHaveLength(1);
    expect(set.log[0]).toContain(why);
    lay(set.store, "two", 2);
    await set.host.clock.advance(60_000);
    expect(set.held()).toBe("two");
  });

  it("a pointer that goes back", async () => {
    const set = await setUp();
    lay(set.store, "two", 2);
    await set.host.clock.advance(2_000);
    set.gets.length = 0;
    lay(set.store, "one", 1);
    await set.host.clock.advance(10_000);
    expect(set.held()).toBe("two");
    expect(set.gets).toEqual(["hosts"]);
    expect(set.log[0]).toContain("refused (409)");
    expect(set.reports).toHaveLength(1);
  });
});

describe("an object store that cannot be reached", () => {
  it("is asked at growing distances, and the host keeps what it has", async () => {
    const set = await setUp();
    lay(set.store, "one", 1);
    await set.host.clock.advance(2_000);
    let asked = 0;
    set.store.before = () => {
      asked++;
      throw new CoxswainError("OBJECTS_UNAVAILABLE", "nobody there");
    };
    await set.host.clock.advance(60 * 60_000);
    expect(set.held()).toBe("one");
    expect(asked).toBeGreaterThan(60);
    expect(asked).toBeLessThan(240);
    expect(set.log).toEqual(["nobody there"]);
    set.store.before = () => {};
    lay(set.store, "two", 2);
    await set.host.clock.advance(60_000);
    expect(set.held()).toBe("two");
  });

  it("does not make hosts of one moment look at one moment", async () => {
    const objects = new MemoryObjectStore();
    const host = await createHost();
    const times: number[] = [];
    objects.before = () => void times.push(host.clock.monotonicMs());
    const stopping = new AbortController();
    const runs = Array.from({ length: 200 }, (_, index) => {
      const id = `h${index}`;
      const digest = manifestDigestOf([]);
      const fence = { generation: 1, fleet: 1, host: 1 };
      const whose = { cluster: "c1", host: id, fence, view: 1, node: "n1" };
      objects.objects.set(
        pointerKey("c1", id),
        encodePointer({ ...whose, manifest: digest, nextPollMs: 10_000 }),
      );
      const ports = { clock: host.clock, random: createRandom(id), log: silentLogger };
      const driver = new ObjectDriver(
        { ...ports, core: host.core, open: async () => objects, report: undefined },
        { host: id, cluster: "c1" },
      );
      return driver.run(stopping.signal).catch(() => {});
    });
    await host.clock.advance(20_000);
    times.length = 0;
    await host.clock.advance(10_000);
    stopping.abort(new Error("the test is over"));
    await Promise.all(runs);
    const perSecond = Array.from({ length: 10 }, () => 0);
    const startMs = host.clock.monotonicMs() - 10_000;
    for (const atMs of times) {
      const second = Math.min(9, Math.floor((atMs - startMs) / 1_000));
      perSecond[second] = (perSecond[second] ?? 0) + 1;
    }
    expect(times.length).toBeGreaterThanOrEqual(190);
    expect(Math.max(...perSecond)).toBeLessThan(40);
  });
});
