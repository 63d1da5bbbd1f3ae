import { afterEach, describe, expect, it } from "vitest";
import { CoxswainError } from "../kernel/errors.ts";
import { silentLogger } from "../kernel/log.ts";
import { createRandom } from "../kernel/random.ts";
import { MemoryObjectStore } from "../objects/memory-object-store.ts";
import {
  contentKey,
  encodeManifest,
  encodePointer,
  manifestKey,
  pointerKey,
} from "../objects/object-layout.ts";
import { digestOf, manifestDigestOf, type Digest } from "../protocol/digest.ts";
import { limits } from "../protocol/limits.ts";
import { createHost, target } from "./agent-fixture.ts";
import { ObjectDriver } from "./object-driver.ts";
import { lay, path, readOnly, setUp, stopAll } from "./object-driver-fixture.ts";

afterEach(stopAll);

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
