import { gzipSync } from "node:zlib";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { digestOf, manifestDigestOf } from "../protocol/digest.ts";
import { limits } from "../protocol/limits.ts";
import {
  contentKey,
  decodeContent,
  decodeManifest,
  decodePointer,
  decodeStatus,
  encodeContent,
  encodeManifest,
  encodePointer,
  encodeStatus,
  manifestKey,
  nextPollMaxMs,
  pointerKey,
} from "./object-layout.ts";

const digest = digestOf(Buffer.from("one"));
const pointer = {
  cluster: "c1",
  host: "h1",
  fence: { generation: 1, fleet: 2, host: 3 },
  view: 7,
  node: "n1",
  manifest: digest,
  nextPollMs: 60_000,
};
const whose = { cluster: "c1", host: "h1" };

describe("the layout of an object store", () => {
  it("has these keys", () => {
    const hex = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
    expect(pointerKey("c1", "h1")).toBe("c1/v1/hosts/h1");
    expect(manifestKey("c1", digest)).toBe(`c1/v1/manifests/${hex}`);
    expect(contentKey("c1", digest)).toBe(`c1/v1/contents/${hex}`);
  });

  it("writes pointers as documented, and reads them back", () => {
    const bytes = encodePointer(pointer);
    expect(JSON.parse(Buffer.from(bytes).toString())).toEqual({
      cluster: "c1",
      host: "h1",
      fence: "1.2.3",
      view: "7",
      node: "n1",
      manifest: digest,
      nextPollMs: 60_000,
    });
    expect(decodePointer(bytes, whose)).toEqual(pointer);
  });

  it.each([
    ["another cluster", { cluster: "c2", host: "h1" }, "it is of another cluster"],
    ["another host", { cluster: "c1", host: "h2" }, "it is of another host"],
  ])("refuses a pointer of %s", (_name, expected, why) => {
    expect(decodePointer(encodePointer(pointer), expected)).toBe(why);
  });

  it("refuses a pointer that was cut anywhere or has another form", () => {
    const bytes = encodePointer(pointer);
    for (let length = 0; length < bytes.length; length++) {
      expect(decodePointer(bytes.subarray(0, length), whose)).toBe("it is damaged");
    }
    const other = JSON.stringify({ ...JSON.parse(String(Buffer.from(bytes))), fence: "1.2" });
    expect(decodePointer(Buffer.from(other), whose)).toBe("its fence is damaged");
  });

  it("keeps the next poll within bounds", () => {
    const far = encodePointer({ ...pointer, nextPollMs: 1e12 });
    expect(decodePointer(far, whose)).toMatchObject({ nextPollMs: nextPollMaxMs });
    const near = encodePointer({ ...pointer, nextPollMs: 0 });
    expect(decodePointer(near, whose)).toMatchObject({ nextPollMs: 1_000 });
  });

  it("takes a manifest only with the digest that was asked for", () => {
    const configs = [{ name: "app.conf", digest, size: 3 }];
    const manifest = manifestDigestOf(configs);
    const bytes = encodeManifest(manifest, configs);
    expect(decodeManifest(bytes, manifest)).toEqual(configs);
    expect(decodeManifest(bytes, digest)).toBeUndefined();
    expect(decodeManifest(bytes.subarray(0, 40), manifest)).toBeUndefined();
    expect(decodeManifest(Buffer.from(JSON.stringify({ manifest })), manifest)).toBeUndefined();
  });

  it("has room for the largest manifest and pointer that there can be", () => {
    const configs = Array.from({ length: limits.configsPerHostMax }, (_, index) => ({
      name: String(index).padStart(limits.configNameCharsMax, "n"),
      digest,
      size: limits.contentBytesMax,
      signature: "s".repeat(1024),
    }));
    const manifest = manifestDigestOf(configs);
    const bytes = encodeManifest(manifest, configs);
    expect(bytes.length).toBeLessThan(limits.manifestBytesMax);
    expect(decodeManifest(bytes, manifest)).toEqual(configs);
    const name = "h".repeat(limits.hostIdCharsMax);
    const big = Number.MAX_SAFE_INTEGER;
    const fence = { generation: big, fleet: big, host: big };
    const long = { ...pointer, cluster: name, host: name, node: name, fence, view: 1e15 };
    expect(encodePointer(long).length).toBeLessThan(limits.pointerBytesMax);
    expect(decodePointer(encodePointer(long), { cluster: name, host: name })).toEqual(long);
  });

  it("has room for a report with the largest reply, and says what is wrong with one that is none", () => {
    const name = "h".repeat(limits.hostIdCharsMax);
    const big = Number.MAX_SAFE_INTEGER;
    const fence = { generation: big, fleet: big, host: big };
    const empty = JSON.stringify({ message: "" }).length;
    const reply = { message: "m".repeat(limits.syncReplyBytesMax - empty) };
    const boot = "b".repeat(64);
    const given = { cluster: name, host: name, boot, fence, manifest: digest };
    const report = { ...given, serial: 1e14, status: 200, reply };
    const bytes = encodeStatus(report);
    expect(bytes.length).toBeLessThan(limits.statusBytesMax);
    expect(decodeStatus(bytes, { cluster: name, host: name })).toEqual(report);
    expect(decodeStatus(bytes, { cluster: name, host: "h1" })).toBe("it is of another host");
    expect(decodeStatus(bytes, { cluster: "c1", host: name })).toBe("it is of another cluster");
    expect(decodeStatus(bytes.subarray(1), { cluster: name, host: name })).toBe("it is damaged");
    const text = Buffer.from(bytes).toString();
    const wrongFence = Buffer.from(text.replace(`${big}.${big}`, "1"));
    expect(decodeStatus(wrongFence, { cluster: name, host: name })).toBe("its fence is damaged");
  });

  it("gives back any content, and none that was changed in one byte or cut", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.uint8Array({ maxLength: 3_000 }), fc.constant(new Uint8Array(5_000))),
        fc.nat(),
        (content, position) => {
          const stored = encodeContent(content);
          expect(stored.length).toBeLessThanOrEqual(content.length);
          expect(decodeContent(stored, digestOf(content))).toEqual(
            expect.objectContaining({ length: content.length }),
          );
          if (stored.length === 0) return;
          const at = position % stored.length;
          expect(decodeContent(stored.subarray(0, at), digestOf(content))).toBeUndefined();
        },
      ),
      { numRuns: 100 },
    );
  });

  it("does not take gzip for an encoding where the content itself is gzip", () => {
    const content = gzipSync(Buffer.from("inner"));
    expect(decodeContent(encodeContent(content), digestOf(content))).toEqual(content);
  });

  it("takes no other content for it, plain or as gzip", () => {
    const other = Buffer.from("x".repeat(2_000));
    for (const stored of [other, gzipSync(other), Buffer.alloc(0)]) {
      expect(decodeContent(stored, digest)).toBeUndefined();
    }
  });

  it("does not unpack more than a content may have", () => {
    const bomb = gzipSync(Buffer.alloc(limits.contentBytesMax + 1));
    expect(decodeContent(bomb, digestOf(Buffer.alloc(limits.contentBytesMax + 1)))).toBeUndefined();
  });
});
