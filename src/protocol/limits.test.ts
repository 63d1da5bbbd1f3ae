import { describe, expect, test } from "vitest";
import { manifestDigestOf } from "./digest.ts";
import { configNamePattern, idPattern, labelKeyPattern, limits } from "./limits.ts";
import { syncReplySchema, syncRequestSchema } from "./sync.ts";

const bytesOf = (value: unknown) => Buffer.byteLength(JSON.stringify(value));
const digest = `sha256:${"a".repeat(64)}`;
const named = (index: number) => String(index).padStart(limits.configNameCharsMax, "n");
const repeat = <T>(count: number, make: (index: number) => T) =>
  Array.from({ length: count }, (_, index) => make(index));

const label = (index: number) => String(index).padStart(limits.labelKeyCharsMax, "k");

describe("what one end may say fits what the other end takes", () => {
  test("the largest host record fits an API body", () => {
    const host = {
      id: "i".repeat(limits.hostIdCharsMax),
      address: "a".repeat(limits.addressCharsMax),
      labels: Object.fromEntries(
        repeat(limits.labelsPerHostMax, (index) => [
          label(index),
          "v".repeat(limits.labelValueCharsMax),
        ]),
      ),
      pins: Object.fromEntries(repeat(limits.configsPerHostMax, (index) => [named(index), digest])),
    };
    expect(bytesOf(host)).toBeLessThanOrEqual(limits.apiBodyBytesMax);
  });

  test("the addresses of a whole import fit one question to a peer", () => {
    const host = {
      id: "i".repeat(limits.hostIdCharsMax),
      address: "a".repeat(limits.addressCharsMax),
    };
    const bytes = limits.importHostsMax * (bytesOf(host) + 1);
    expect(bytes).toBeLessThanOrEqual(limits.importBodyBytesMax);
  });

  test("a list of all configs with any one content fits a sync, so that each can be sent", () => {
    const list = repeat(limits.configsPerHostMax, (index) => ({
      name: named(index),
      digest,
      size: limits.contentBytesMax,
      encoding: "base64",
      signature: "s".repeat(1_024),
    }));
    const request = { manifest: digest, configs: list };
    expect(syncRequestSchema.safeParse(request).success).toBe(true);
    const base64Bytes = 4 * Math.ceil(limits.contentBytesMax / 3);
    // The sender keeps 256 KiB for the list itself (push/sync-body.ts).
    expect(bytesOf(request)).toBeLessThanOrEqual(256 * 1024);
    expect(bytesOf(request) + base64Bytes).toBeLessThanOrEqual(limits.syncRequestBytesMax);
  });

  test("all contents of a full host need no more syncs than a host may ask for", () => {
    const base64Bytes = 4 * Math.ceil(limits.contentBytesMax / 3) + 2;
    const perSync = Math.floor((limits.syncRequestBytesMax - 256 * 1024) / base64Bytes);
    // A host may ask 16 times in a row (push/status-reducer.ts).
    expect(Math.ceil(limits.configsPerHostMax / perSync)).toBeLessThan(16);
  });

  test("a reply with all results and the largest state fits, messages aside", () => {
    const configs = repeat(2 * limits.configsPerHostMax, (index) => ({
      name: named(index),
      digest,
      result: "unchanged",
    }));
    const reply = {
      host: "h".repeat(limits.hostIdCharsMax),
      boot: "b".repeat(64),
      agent: "a".repeat(64),
      fence: "9".repeat(50),
      view: "9".repeat(20),
      manifest: manifestDigestOf([]),
      configs,
      state: { text: "s".repeat(limits.stateBytesMax - 11) },
    };
    expect(syncReplySchema.safeParse(reply).success).toBe(true);
    expect(bytesOf(reply.state)).toBe(limits.stateBytesMax);
    expect(bytesOf(reply)).toBeLessThanOrEqual(limits.syncReplyBytesMax);
  });

  test("compressed syncs are bounded below plain ones, and a content below both", () => {
    expect(limits.syncCompressedBytesMax).toBeLessThan(limits.syncRequestBytesMax);
    expect(limits.contentBytesMax).toBeLessThan(limits.syncCompressedBytesMax);
    expect(limits.importBodyBytesMax).toBeGreaterThan(limits.apiBodyBytesMax);
  });

  test("a page of a partition is bounded by what a list may ask for", () => {
    expect(limits.pageHostsMax).toBeLessThanOrEqual(limits.hostsPerPartitionMax);
    expect(Math.log2(limits.partitionsMin) % 1).toBe(0);
    expect(Math.log2(limits.partitionsMax) % 1).toBe(0);
  });
});

describe("names", () => {
  test.each(["a", "A1", "web-1", "web_1.example", "0"])("%j is an id", (id) => {
    expect(idPattern.test(id)).toBe(true);
  });

  test.each(["", ".", "..", "-a", "a-", "_a", "a b", "a/b", "a\n", "ä", "__proto__", "a\0"])(
    "%j is no id",
    (id) => {
      expect(idPattern.test(id)).toBe(false);
    },
  );

  test.each(["role", "topology.example.com/zone"])("%j is a label key", (key) => {
    expect(labelKeyPattern.test(key)).toBe(true);
  });

  test.each(["", "/", "a/", "/a", "a/b/c", "__proto__", "a b"])("%j is no label key", (key) => {
    expect(labelKeyPattern.test(key)).toBe(false);
  });

  test.each(["nginx.conf", "a/b/c.json", "_x", "a..b"])("%j is a config name", (name) => {
    expect(configNamePattern.test(name)).toBe(true);
  });

  test.each([
    "",
    ".",
    "..",
    "../x",
    "a/../b",
    "a/..",
    "./a",
    "a//b",
    "/a",
    "a/",
    "a\\b",
    ".hidden",
    "a\n",
    "a\0b",
    "a b",
    "a/.b",
  ])("%j is no config name", (name) => {
    expect(configNamePattern.test(name)).toBe(false);
  });

  test("the patterns do not take long to refuse", () => {
    const startMs = performance.now();
    for (const pattern of [idPattern, labelKeyPattern, configNamePattern]) {
      expect(pattern.test(`${"a.".repeat(64)}!`)).toBe(false);
      expect(pattern.test(`${"a-/".repeat(40)}!`)).toBe(false);
    }
    expect(performance.now() - startMs).toBeLessThan(100);
  });
});
