import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { limits } from "../protocol/limits.ts";
import { detectImportFormat, parseHosts, type ImportFormat } from "./import-format.ts";

/** The text in pieces of `size` bytes, so that lines and characters are cut anywhere. */
async function* pieces(text: string, size = 7): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function read(text: string, format: ImportFormat, size?: number) {
  const lines: [number, string][] = [];
  for await (const each of parseHosts(pieces(text, size), format)) {
    const word =
      "error" in each
        ? `${each.error.code}: ${each.error.message}`
        : [
            each.input.id,
            each.input.address,
            ...Object.entries(each.input.labels).map((pair) => pair.join("=")),
          ].join(" ");
    lines.push([each.line, word]);
  }
  return lines;
}

const error = (text: string) => expect.stringMatching(new RegExp(`^HOST_INVALID: .*${text}`, "s"));

describe("the format of a file", () => {
  it.each<[string | undefined, string, ImportFormat]>([
    ["hosts.csv", "", "csv"],
    ["hosts.JSONL", "", "jsonl"],
    ["hosts.ndjson", "id,address", "jsonl"],
    ["a.b.yml", "", "yaml"],
    ["hosts.yaml", "", "yaml"],
    [undefined, '\uFEFF {"id":', "jsonl"],
    ["-", "- id: a", "yaml"],
    [undefined, "---\n", "yaml"],
    [undefined, "hosts:\n", "yaml"],
    ["hosts.txt", "id,address\n", "csv"],
    [undefined, '"address","id"\n', "csv"],
  ])("is known by ending or content: %s, %j is %s", (name, start, format) => {
    expect(detectImportFormat(name, start)).toBe(format);
  });

  it("that neither shows is IMPORT_FAILED", () => {
    expect(() => detectImportFormat("hosts.txt", "what is this")).toThrow(
      expect.objectContaining({ code: "IMPORT_FAILED" }),
    );
  });
});

describe("CSV", () => {
  it("gives hosts with labels from columns and from one column", async () => {
    const text = [
      "id,address,label.role,labels,label.empty",
      "h1,http://127.0.0.1:1,edge,zone=a;rack=r1,",
      "",
      ' h2 , "http://127.0.0.1:2" ,,,',
    ].join("\r\n");
    expect(await read(`\uFEFF${text}`, "csv")).toEqual([
      [2, "h1 http://127.0.0.1:1 rack=r1 role=edge zone=a"],
      [4, "h2 http://127.0.0.1:2"],
    ]);
  });

  it("gives each bad line an error and goes on", async () => {
    const text = [
      "id,address,labels,label.role",
      "h1,nowhere,,",
      "h2,http://127.0.0.1:2",
      "h3,http://127.0.0.1:3,role,",
      "h4,http://127.0.0.1:4,role=a,b",
      "h5,http://127.0.0.1:5,role=,",
      "h6,http://127.0.0.1:6,,edge",
    ].join("\n");
    expect(await read(text, "csv")).toEqual([
      [2, error("`address`.*nowhere")],
      [3, error("4 columns as in the header, got 2")],
      [4, error('labels like role=edge;zone=a, got "role"')],
      [5, error('each label once, got "role"')],
      [6, error("`labels.role`")],
      [7, "h6 http://127.0.0.1:6 role=edge"],
    ]);
  });

  it.each([
    ["id,labels", "none called address"],
    ["address", "none called id"],
    ["id,address,zone", 'the column "zone"'],
    ["id,address,id", "a column twice"],
  ])("with a bad header is refused whole: %s", async (header, got) => {
    expect(await read(`${header}\nh1,http://127.0.0.1:1,x\n`, "csv")).toEqual([[1, error(got)]]);
  });

  it("ends with an error at an open quote, keeping what came before", async () => {
    const lines = await read(
      'id,address\nh1,http://127.0.0.1:1\n"h2,http://127.0.0.1:2\nh3,x\n',
      "csv",
    );
    expect(lines[0]).toEqual([2, "h1 http://127.0.0.1:1"]);
    expect(lines).toHaveLength(2);
    expect(lines[1]?.[1]).toEqual(error("well-formed CSV .nothing after this is read."));
  });

  it("bounds a record", async () => {
    const lines = await read(`id,address\n"${"x".repeat(70_000)}",y\n`, "csv", 4_096);
    expect(lines).toEqual([[expect.any(Number), error("well-formed CSV")]]);
  });

  it("passes an error of the source through", async () => {
    await expect(Array.fromAsync(parseHosts(broken(), "csv"))).rejects.toThrow("the disk is gone");
  });
});

describe("JSON lines", () => {
  it("give hosts and errors by line, blank lines aside", async () => {
    const text = [
      '{"id":"h1","address":"http://127.0.0.1:1","labels":{"b":"2","a":"1"}}',
      "",
      "{",
      "[]",
      '{"id":"h2","address":"http://127.0.0.1:2","x":1}',
      `{"id":"${"h".repeat(70_000)}"}`,
      '{"id":"h\u00e4","address":"http://127.0.0.1:3"}',
      '{"id":"h4","address":"http://127.0.0.1:4"}',
    ].join("\r\n");
    const expected = [
      [1, "h1 http://127.0.0.1:1 a=1 b=2"],
      [3, error("one JSON object a line")],
      [4, error("`host` to be an object")],
      [5, error("`x`")],
      [6, error("65536 characters a line")],
      [7, error('`id`.*"hä"')],
      [8, "h4 http://127.0.0.1:4"],
    ];
    expect(await read(text, "jsonl")).toEqual(expected);
    expect(await read(text, "jsonl", 1_000_000)).toEqual(expected);
  });

  it("that are no UTF-8 are refused", async () => {
    const bytes = Buffer.from('{"id":"hx","address":"http://h"}');
    bytes[8] = 0xff;
    const lines = [];
    for await (const line of parseHosts(single(bytes), "jsonl")) lines.push(line);
    expect(lines).toMatchObject([{ line: 1, error: { code: "HOST_INVALID" } }]);
  });

  it("name both lines of an id or an address that comes twice", async () => {
    const text = [
      jsonLine("a", 1),
      jsonLine("a", 2),
      jsonLine("b", 1),
      jsonLine("b", 3),
      '{"id":"c","address":"HTTP://127.0.0.1:3/"}',
    ];
    expect(await read(text.join("\n"), "jsonl")).toEqual([
      [1, "a http://127.0.0.1:1"],
      [2, error("`id`.*a on lines 1 and 2")],
      [3, error("`address`.*http://127.0.0.1:1 on lines 1 and 3")],
      [4, error("`id`.*b on lines 3 and 4")],
      [5, "c http://127.0.0.1:3"],
    ]);
  });
});

const jsonLine = (id: string, port: number) =>
  JSON.stringify({ id, address: `http://127.0.0.1:${port}` });

const good = (lines: [number, string][]) => lines.filter(([, word]) => !word.startsWith("HOST"));

async function* broken(): AsyncGenerator<string> {
  yield "id,address\n";
  await Promise.resolve();
  throw new Error("the disk is gone");
}

async function* single(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

describe("YAML", () => {
  it("gives hosts from a list, or from `hosts:`, with their lines", async () => {
    const list =
      "# fleet\n- id: h1\n  address: http://127.0.0.1:1\n- {id: h2, address: 'http://127.0.0.1:2', labels: {a: b}}\n";
    const expected = [
      [2, "h1 http://127.0.0.1:1"],
      [4, "h2 http://127.0.0.1:2 a=b"],
    ];
    expect(await read(list, "yaml")).toEqual(expected);
    expect(await read(`hosts:\n${list}`, "yaml")).toEqual(
      expected.map(([line, word]) => [Number(line) + 1, word]),
    );
    expect(await read("", "yaml")).toEqual([]);
  });

  it("gives each bad host an error and goes on", async () => {
    const text = [
      "- id: h1",
      "  address: http://127.0.0.1:1",
      "  labels: {zone: 1}",
      "- just text",
      "-",
      "- id: h2",
      "  address: http://127.0.0.1:2",
    ].join("\n");
    expect(await read(text, "yaml")).toEqual([
      [1, error("`labels.zone`.*got 1")],
      [4, error("`host` to be an object")],
      [5, error("`host` to be an object")],
      [6, "h2 http://127.0.0.1:2"],
    ]);
  });

  it.each([
    ["- id: [", "well-formed YAML"],
    ["- {id: a, id: b}", "well-formed YAML"],
    ["- a\n---\n- b", "well-formed YAML"],
    ["text", "a YAML list of hosts"],
    ["host: []", "a YAML list of hosts"],
    ["hosts: []\nmore: 1", "a YAML list of hosts"],
  ])("that is no list of hosts is refused whole: %j", async (text, rule) => {
    const lines = await read(text, "yaml");
    expect(lines.length).toBeGreaterThan(0);
    for (const [, word] of lines) expect(word).toEqual(error(rule));
  });

  it("refuses aliases before they unfold", async () => {
    const text =
      "- &a {id: h1, address: http://127.0.0.1:1}\n- *a\n- {id: h2, address: 'http://h2', labels: *a}\n";
    expect(await read(text, "yaml")).toEqual([
      [1, "h1 http://127.0.0.1:1"],
      [2, error("without YAML aliases")],
      [3, error("without YAML aliases")],
    ]);
  });

  it("over the bound is refused without being parsed", async () => {
    const text = `- id: h1\n${"#".repeat(limits.importBodyBytesMax)}`;
    expect(await read(text, "yaml", 1_000_000)).toEqual([[1, error("use JSON lines")]]);
  });
});

describe("any format", () => {
  it("gives the same hosts however the file is cut into chunks", async () => {
    const host = fc.record({
      id: fc.stringMatching(/^[a-z]{1,4}$/),
      address: fc.nat(20).map((port) => `http://127.0.0.1:${port + 1}`),
      labels: fc.dictionary(fc.stringMatching(/^[a-c]$/), fc.stringMatching(/^[a-zé]$/)),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(host, { maxLength: 6 }),
        fc.integer({ min: 1, max: 40 }),
        async (hosts, size) => {
          const jsonl = hosts.map((each) => JSON.stringify(each)).join("\n");
          const whole = await read(jsonl, "jsonl", 100_000);
          expect(await read(jsonl, "jsonl", size)).toEqual(whole);
          expect(whole).toHaveLength(hosts.length);
          const rows = hosts.map(({ id, address, labels }) => {
            const pairs = Object.entries(labels).map((pair) => pair.join("="));
            return `${id},${address},${pairs.join(";")}`;
          });
          const csv = await read(["id,address,labels", ...rows].join("\n"), "csv", size);
          expect(good(csv).map(([, word]) => word)).toEqual(good(whole).map(([, word]) => word));
        },
      ),
      { numRuns: 60 },
    );
  });
});
