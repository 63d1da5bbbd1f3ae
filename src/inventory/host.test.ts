import { describe, expect, it } from "vitest";
import { limits } from "../protocol/limits.ts";
import { keys } from "../store/store.ts";
import { createHostDecoder, encodeHost, isSameHost } from "./host-codec.ts";
import { parseAddress, parseHostId, parseHostInput, type HostRecord } from "./host.ts";

const digest = `sha256:${"0".repeat(64)}`;
const good = { id: "h1", address: "http://127.0.0.5:9000" };

const many = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, at) => [`k${at}`, "v"]));

describe("bad hosts", () => {
  it.each<[string, unknown, string]>([
    ["host", "text", '"text"'],
    ["host", null, "null"],
    ["host", [good], '["…"]'],
    ["lables", { ...good, lables: {} }, '"lables"'],
    ["id", { address: good.address }, "nothing"],
    ["id", { ...good, id: 7 }, "7"],
    ["id", { ...good, id: "" }, '""'],
    ["id", { ...good, id: "../x" }, '"../x"'],
    ["id", { ...good, id: "-x" }, '"-x"'],
    ["id", { ...good, id: "x".repeat(limits.hostIdCharsMax + 1) }, '"xxx'],
    ["address", { id: "h1" }, "nothing"],
    ["labels", { ...good, labels: ["a"] }, '["a"]'],
    ["labels", { ...good, labels: many(limits.labelsPerHostMax + 1) }, "33"],
    ["labels", { ...good, labels: { "a b": "c" } }, '"a b"'],
    ["labels", { ...good, labels: { ["k".repeat(64)]: "c" } }, '"kkk'],
    ["labels.zone", { ...good, labels: { zone: 1 } }, "1"],
    ["labels.zone", { ...good, labels: { zone: "" } }, '""'],
    ["labels.zone", { ...good, labels: { zone: "a,b" } }, '"a,b"'],
    ["labels.zone", { ...good, labels: { zone: "v".repeat(64) } }, '"vvv'],
    ["pins", { ...good, pins: { "../x": digest } }, '"../x"'],
    ["pins.x", { ...good, pins: { x: "sha256:12" } }, '"sha256:12"'],
    ["pins", { ...good, pins: many(limits.configsPerHostMax + 1) }, "65"],
  ])("are refused with the field, the rule and the value: %s of %j", (field, value, shown) => {
    let caught: unknown;
    try {
      parseHostInput(value);
    } catch (error) {
      caught = error;
    }
    expect(caught).toMatchObject({
      code: "HOST_INVALID",
      message: expect.stringContaining(`\`${field}\``),
      details: { field, rule: expect.any(String), value: expect.stringContaining(shown) },
    });
  });

  it("are refused where body and path name different ids", () => {
    const id = parseHostId("h2");
    expect(() => parseHostInput(good, id)).toThrow("the id of the path (h2)");
    expect(parseHostInput({ address: good.address }, id).id).toBe("h2");
  });
});

describe("addresses", () => {
  it.each([
    "127.0.0.5:9000",
    "ftp://h",
    "http://",
    "http:h",
    "http:///h",
    "http://h/path",
    "http://h//",
    "http://h?",
    "http://h/?q=1",
    "http://h#",
    "http://user@h",
    "http://user:secret@h",
    "http://h\\x",
    " http://h",
    "http://h:0",
    "http://h:65536",
    "http://h:x",
    `http://${"h".repeat(limits.addressCharsMax)}`,
  ])("that are no origin are refused: %j", (address) => {
    expect(() => parseAddress(address)).toThrow("Expected `address`");
  });

  it.each([
    ["http://127.0.0.5:9000", "http://127.0.0.5:9000"],
    ["HTTP://Edge-1.Example.COM:80/", "http://edge-1.example.com"],
    ["https://h:443", "https://h"],
    ["https://h:80", "https://h:80"],
    ["http://[::1]:9000/", "http://[::1]:9000"],
  ])("get one form: %s is %s", (address, normal) => {
    expect(parseAddress(address)).toBe(normal);
    expect(parseAddress(normal)).toBe(normal);
  });
});

const parse = (parts: object) => parseHostInput({ id: "h1", ...parts });

describe("modes", () => {
  it.each<[unknown, string[]]>([
    ["reverse", ["reverse"]],
    [["reverse"], ["reverse"]],
    [
      ["object", "poll"],
      ["object", "poll"],
    ],
  ])("that need no address do without one: %j", (mode, modes) => {
    expect(parse({ mode })).toMatchObject({ modes, address: "" });
    expect(parse({ mode, address: "http://h:1" }).address).toBe("http://h:1");
  });

  it.each(["dial", "knock", ["reverse", "dial"]].map((mode) => [mode]))(
    "that a node dials need one: %j",
    (mode) => {
      expect(() => parse({ mode })).toThrow("Expected `address` to be an http");
    },
  );

  it.each([["dail"], [""], [[]], [["dial", "dial"]], [[["dial"]]], [7], [null], [{}]])(
    "are one of the known or a list, each once: %j",
    (mode) => {
      expect(() => parse({ mode, address: "http://h:1" })).toThrow(
        "Expected `mode` to be one of dial, reverse, knock, object, poll, or a list of some, each once",
      );
    },
  );

  it("are left open where nothing is said", () => {
    expect(parse({ address: "http://h:1" }).modes).toBeUndefined();
  });
});

describe("host items", () => {
  const record: HostRecord = {
    id: parseHostId("h1"),
    revision: 7,
    address: "http://127.0.0.5:9000",
    modes: ["dial"],
    labels: { role: "edge", zone: "a" },
    pins: { "nginx.conf": digest },
  };
  const item = { ...keys.host(3, "h1"), attributes: encodeHost(record) };

  it.each<[string, object]>([
    ["no revision", { revision: undefined }],
    ["revision as text", { revision: "7" }],
    ["a revision below 1", { revision: 0 }],
    ["an unknown mode", { mode: "dail" }],
    ["a mode twice", { mode: "dial,dial" }],
    ["no mode", { mode: undefined }],
    ["no address though it is dialled", { address: "" }],
    ["an address with a path", { address: "http://h/x" }],
    ["an address not in normal form", { address: "http://H:80" }],
    ["labels that are no JSON", { labels: "{" }],
    ["labels that are no object", { labels: "[]" }],
    ["no labels", { labels: undefined }],
    ["pins with a bad digest", { pins: '{"x":"y"}' }],
  ])("with %s are STORE_CORRUPT and name their key", (_, change) => {
    const decode = createHostDecoder();
    const broken = { ...item, attributes: { ...item.attributes, ...change } };
    expect(() => decode(broken)).toThrow(
      expect.objectContaining({
        code: "STORE_CORRUPT",
        message: expect.stringContaining("part#3/host#h1"),
      }),
    );
  });

  it("under a key that is not a host's are STORE_CORRUPT", () => {
    expect(() => createHostDecoder()({ ...item, sk: "head" })).toThrow("not that of a host");
    expect(() => createHostDecoder()({ ...item, sk: "host#../x" })).toThrow("`id`");
  });

  it("decode to what was encoded, and share equal label sets", () => {
    const decode = createHostDecoder();
    const first = decode(item);
    const second = decode({ ...item, sk: "host#h2" });
    expect(first).toEqual(record);
    expect(second.labels).toBe(first.labels);
  });

  it("are the same host whatever the order in which labels are stated", () => {
    const input = parseHostInput({ ...good, labels: { zone: "a", role: "edge" } });
    expect(isSameHost(record, input)).toBe(true);
    expect(isSameHost(record, { ...input, pins: {} })).toBe(false);
    expect(isSameHost(record, { ...input, address: "http://h" })).toBe(false);
    expect(isSameHost(record, { ...input, labels: { role: "edge" } })).toBe(false);
  });
});
