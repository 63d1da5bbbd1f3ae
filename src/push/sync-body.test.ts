import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { digestOf, manifestDigestOf, type Digest } from "../protocol/digest.ts";
import { limits } from "../protocol/limits.ts";
import type { Manifest } from "../protocol/manifest.ts";
import { syncRequestSchema } from "../protocol/sync.ts";
import type { HeldState } from "./held-state.ts";
import { newStatus } from "./host-status.ts";
import { ByteLru } from "./byte-lru.ts";
import { SyncBodies, type SyncBody } from "./sync-body.ts";

function setUp(files: Readonly<Record<string, Uint8Array>>) {
  const contents = new Map<Digest, Uint8Array>();
  const configs = Object.entries(files).map(([name, bytes]) => {
    contents.set(digestOf(bytes), bytes);
    return { name, digest: digestOf(bytes) };
  });
  const manifest: Manifest = { digest: manifestDigestOf(configs), configs };
  let loads = 0;
  const load = (digest: Digest) => {
    loads++;
    const bytes = contents.get(digest);
    return bytes === undefined ? Promise.reject(new Error("gone")) : Promise.resolve(bytes);
  };
  const options = { cacheBytesMax: 64 << 20, firstContactBytesMax: 64 * 1024 };
  return { manifest, bodies: new SyncBodies(load, options), loads: () => loads };
}

function parse({ bytes, isGzip }: SyncBody) {
  const text = (isGzip ? gunzipSync(bytes) : bytes).toString("utf8");
  return syncRequestSchema.parse(JSON.parse(text));
}

function holding(parts: Partial<HeldState>): ReturnType<typeof newStatus> {
  const held: HeldState = {
    manifest: digestOf(Buffer.from("old")),
    fence: undefined,
    configs: undefined,
    problems: [],
    ...parts,
  };
  return newStatus({ held });
}

const small = { "a.conf": Buffer.from("a"), "b.bin": Buffer.from([0xff, 0xfe]) };

describe("sync bodies", () => {
  it("carry small contents at first contact, text as text and bytes as base64", async () => {
    const { manifest, bodies } = setUp(small);
    const { configs = [] } = parse(await bodies.bodyFor(newStatus(), manifest));
    expect(configs.map(({ size, content, encoding }) => [size, content, encoding])).toEqual([
      [1, "a", "utf8"],
      [2, "//4=", "base64"],
    ]);
  });

  it("ask first what became of a push that had no answer, and of no other", async () => {
    const { manifest, bodies } = setUp(small);
    const unanswered = newStatus({ ...holding({ configs: [] }), unanswered: manifest.digest });
    expect((await bodies.bodyFor(unanswered, manifest)).form).toBe("short");
    const { manifest: other } = setUp({ "a.conf": Buffer.from("b") });
    expect((await bodies.bodyFor(newStatus({ unanswered: other.digest }), manifest)).form).toBe(
      "full",
    );
  });

  it("carry no large contents at first contact: the host asks for what it lacks", async () => {
    const { manifest, bodies } = setUp({ big: Buffer.alloc(65 * 1024, "x") });
    const { configs = [] } = parse(await bodies.bodyFor(newStatus(), manifest));
    expect(configs).toEqual([{ ...manifest.configs[0], size: 65 * 1024 }]);
    const asked = newStatus({ ...holding({}), asked: ["big"] });
    const answer = parse(await bodies.bodyFor(asked, manifest));
    expect(answer.configs?.[0]?.content).toHaveLength(65 * 1024);
  });

  it("carry only what differs from what the host holds", async () => {
    const { manifest, bodies } = setUp(small);
    const held = holding({ configs: manifest.configs.slice(0, 1) });
    const { configs = [] } = parse(await bodies.bodyFor(held, manifest));
    expect(configs.map(({ content }) => content)).toEqual([undefined, "//4="]);
  });

  it("only name the manifest for hosts in sync, parked or quarantined", async () => {
    const { manifest, bodies } = setUp(small);
    const parked = { class: "rejected", message: "", boot: "b", agent: "a" } as const;
    for (const status of [
      holding({ manifest: manifest.digest }),
      newStatus({ parked: { ...parked, manifest: manifest.digest } }),
      newStatus({ isQuarantined: true }),
    ]) {
      const body = await bodies.bodyFor(status, manifest);
      expect(parse(body)).toEqual({ manifest: manifest.digest });
      expect(body.form).toBe("short");
    }
  });

  it("are rendered once and then given at once", async () => {
    const { manifest, bodies, loads } = setUp(small);
    const [first, second] = await Promise.all([
      bodies.bodyFor(newStatus(), manifest),
      bodies.bodyFor(newStatus(), manifest),
    ]);
    expect(second).toBe(first);
    expect(bodies.bodyFor(newStatus(), manifest)).toBe(first);
    expect(loads()).toBe(2);
  });

  it("are compressed above 1 KB where that makes them smaller", async () => {
    const { manifest, bodies } = setUp({ text: Buffer.alloc(5_000, "x") });
    const body = await bodies.bodyFor(newStatus(), manifest);
    expect(body.isGzip).toBe(true);
    expect(body.bytes.length).toBeLessThan(500);
    expect(parse(body).configs?.[0]?.content).toHaveLength(5_000);
  });

  it("are rendered without other threads, whose order nobody could repeat", async () => {
    const { manifest, bodies } = setUp({
      a: Buffer.alloc(1 << 20, "a"),
      b: Buffer.alloc(1 << 20, "b"),
    });
    const asked = newStatus({ ...holding({}), asked: ["a", "b"] });
    let rendered: SyncBody | undefined;
    void Promise.resolve(bodies.bodyFor(asked, manifest)).then((body) => (rendered = body));
    await new Promise((resolve) => {
      process.nextTick(resolve);
    });
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    expect(rendered?.isGzip).toBe(true);
    expect(rendered && parse(rendered).configs?.map(({ content }) => content?.length)).toEqual([
      1 << 20,
      1 << 20,
    ]);
  });

  it("stay within the limit of one request, whatever is asked for", async () => {
    const files = Object.fromEntries(
      Array.from({ length: 20 }, (_, index) => [`c${index}`, Buffer.alloc(1 << 20, index)]),
    );
    const { manifest, bodies } = setUp(files);
    const asked = newStatus({ ...holding({}), asked: Object.keys(files) });
    const body = await bodies.bodyFor(asked, manifest);
    const plainBytes = body.isGzip ? gunzipSync(body.bytes).length : body.bytes.length;
    expect(plainBytes).toBeLessThanOrEqual(limits.syncRequestBytesMax);
    const sent = parse(body).configs?.filter(({ content }) => content !== undefined) ?? [];
    expect(sent.length).toBeGreaterThanOrEqual(8);
    expect(sent.length).toBeLessThan(20);
  });

  it("reject where a content cannot be read, and try again the next time", async () => {
    const { bodies, loads } = setUp({});
    const digest = digestOf(Buffer.from("unknown"));
    const manifest: Manifest = { digest, configs: [{ name: "x", digest }] };
    await expect(bodies.bodyFor(newStatus(), manifest)).rejects.toThrow("gone");
    await expect(bodies.bodyFor(newStatus(), manifest)).rejects.toThrow("gone");
    expect(loads()).toBe(2);
  });
});

describe("the byte-bounded cache", () => {
  it("drops the least recently used first and never holds more than its bytes", () => {
    const cache = new ByteLru<string>(10);
    cache.set("a", "A", 4);
    cache.set("b", "B", 4);
    expect(cache.get("a")).toBe("A");
    cache.set("c", "C", 4);
    expect([cache.get("a"), cache.get("b"), cache.get("c")]).toEqual(["A", undefined, "C"]);
    cache.set("huge", "H", 11);
    expect(cache.get("huge")).toBeUndefined();
    expect(cache.bytes).toBe(8);
  });
});
