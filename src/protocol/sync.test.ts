import { describe, expect, test } from "vitest";
import { limits } from "./limits.ts";
import { helloSchema, syncReplySchema, syncRequestSchema } from "./sync.ts";

const digest = `sha256:${"a".repeat(64)}`;
const offered = { name: "app", digest, size: 3, content: "abc", encoding: "utf8" };
const reply = {
  host: "h1",
  boot: "b1",
  agent: "1.0",
  fence: "1.2.3",
  view: "17",
  manifest: digest,
  configs: [{ name: "app", digest, result: "applied" }],
  state: { load: 1 },
};
const hello = { host: "h1", boot: "b1", fence: "1.2.3", manifest: digest };
const many = (count: number) =>
  Array.from({ length: count }, (_, index) => ({ ...offered, name: `c${index}` }));
const held = (count: number) =>
  Array.from({ length: count }, (_, index) => ({ name: `c${index}`, result: "applied" }));

describe("a sync request", () => {
  test.each([
    { manifest: digest },
    { manifest: digest, configs: [] },
    { manifest: digest, configs: [offered, { name: "b", digest, size: 0 }] },
    { manifest: digest, configs: many(limits.configsPerHostMax) },
    { manifest: digest, configs: [{ ...offered, size: limits.contentBytesMax }] },
  ])("is taken: %#", (request) => {
    expect(syncRequestSchema.parse(request)).toEqual(request);
  });

  test("of a newer sender may have more fields, which are ignored", () => {
    const request = { manifest: digest, configs: [{ ...offered, later: 1 }], later: 1 };
    expect(syncRequestSchema.parse(request)).toEqual({ manifest: digest, configs: [offered] });
  });

  test.each<[string, unknown]>([
    ["nothing", undefined],
    ["a list", []],
    ["no manifest", {}],
    ["a digest of another algorithm", { manifest: `md5:${"a".repeat(64)}` }],
    ["a digest in capitals", { manifest: digest.toUpperCase() }],
    ["a digest with a line end", { manifest: `${digest}\n` }],
    ["too many configs", { manifest: digest, configs: many(limits.configsPerHostMax + 1) }],
    [
      "a content that is too large",
      { manifest: digest, configs: [{ ...offered, size: limits.contentBytesMax + 1 }] },
    ],
    ["a negative size", { manifest: digest, configs: [{ ...offered, size: -1 }] }],
    ["half a byte", { manifest: digest, configs: [{ ...offered, size: 0.5 }] }],
    ["an unknown encoding", { manifest: digest, configs: [{ ...offered, encoding: "rot13" }] }],
    [
      "a name that leaves its folder",
      { manifest: digest, configs: [{ ...offered, name: "../x" }] },
    ],
    ["a name that is absolute", { manifest: digest, configs: [{ ...offered, name: "/x" }] }],
    ["a name with a zero byte", { manifest: digest, configs: [{ ...offered, name: "x\0" }] }],
    [
      "a name that is too long",
      {
        manifest: digest,
        configs: [{ ...offered, name: "x".repeat(limits.configNameCharsMax + 1) }],
      },
    ],
  ])("with %s is refused", (_name, request) => {
    expect(syncRequestSchema.safeParse(request).success).toBe(false);
  });
});

describe("a sync reply", () => {
  test.each([
    reply,
    { ...reply, state: undefined },
    { ...reply, configs: held(2 * limits.configsPerHostMax) },
    {
      ...reply,
      configs: [
        { name: "a", result: "rejected", message: "x".repeat(limits.resultMessageCharsMax) },
      ],
    },
  ])("is taken: %#", (value) => {
    expect(syncReplySchema.parse(value)).toEqual(value);
  });

  test.each<[string, unknown]>([
    ["no host", { ...reply, host: undefined }],
    ["an unknown result", { ...reply, configs: [{ name: "a", result: "maybe" }] }],
    ["too many configs", { ...reply, configs: held(2 * limits.configsPerHostMax + 1) }],
    [
      "a message that is too long",
      {
        ...reply,
        configs: [
          { name: "a", result: "failed", message: "x".repeat(limits.resultMessageCharsMax + 1) },
        ],
      },
    ],
    ["a state that is a list", { ...reply, state: [] }],
    ["a view as a number", { ...reply, view: 17 }],
  ])("with %s is refused", (_name, value) => {
    expect(syncReplySchema.safeParse(value).success).toBe(false);
  });
});

describe("a hello", () => {
  test("is taken, without what it should not have", () => {
    expect(helloSchema.parse({ ...hello, later: 1 })).toEqual(hello);
  });

  test.each(["host", "boot", "fence", "manifest"])("without %s is refused", (field) => {
    expect(helloSchema.safeParse({ ...hello, [field]: undefined }).success).toBe(false);
  });
});
