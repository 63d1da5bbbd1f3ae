/**
 * Fuzz of import files: whatever a file holds, every line of it comes out once, as a host or as an error
 * with its number, and nothing is thrown. `FUZZ_RUNS` and `FUZZ_SEED` (kernel/hostile-json.ts) ask for more.
 */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fuzzRuns, mutatedJson, textOf } from "../kernel/hostile-json.ts";
import { parseHosts, type ImportFormat, type ImportLine } from "./import-format.ts";

const lineBytesMax = 64 * 1024;

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** All lines; fails where an error is without words or a line without a number. */
async function read(file: Uint8Array, format: ImportFormat, size = 4_096): Promise<ImportLine[]> {
  const lines = await Array.fromAsync(parseHosts(pieces(file, size), format));
  for (const line of lines) {
    expect(line.line).toBeGreaterThanOrEqual(1);
    if (!("error" in line)) continue;
    expect(line.error.code).toBe("HOST_INVALID");
    expect(line.error.message.length).toBeLessThan(1_000);
  }
  return lines;
}

const host = { id: "h1", address: "http://127.0.0.1:1", labels: { role: "edge", zone: "a" } };
const oneLine = (text: string) => text.replaceAll(/[\r\n]/g, " ");
const anyLine = fc.oneof(
  { weight: 6, arbitrary: mutatedJson(host).map(oneLine) },
  {
    weight: 4,
    arbitrary: fc.nat(9).map((port) => textOf({ id: `h${port}`, address: `http://h:${port}` })),
  },
  { weight: 2, arbitrary: fc.string({ unit: "binary", maxLength: 40 }).map(oneLine) },
  { weight: 1, arbitrary: fc.constantFrom("", " ", "\t", "{", "null", "[]", '"', "\0", "\u2028") },
);
const ending = fc.constantFrom("\n", "\r\n");

describe("JSON lines", () => {
  it("come out one for one, whatever is on them", async () => {
    let hosts = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(anyLine, { maxLength: 8 }),
        ending,
        fc.constantFrom(1_000, 4_096, 1_000_000),
        async (lines, end, size) => {
          const found = await read(Buffer.from(lines.join(end)), "jsonl", size);
          const expected = lines.flatMap((text, index) => (text.trim() === "" ? [] : [index + 1]));
          expect(found.map(({ line }) => line)).toEqual(expected);
          hosts += found.filter((line) => "input" in line).length;
          for (const each of found) {
            if (!("input" in each)) continue;
            expect((lines[each.line - 1] ?? "").length).toBeLessThanOrEqual(lineBytesMax);
            expect(lines[each.line - 1]).toContain(each.input.id);
          }
        },
      ),
      fuzzRuns(150),
    );
    expect(hosts).toBeGreaterThan(50);
  });

  it("that never end are dropped as they come", async () => {
    const chunk = Buffer.alloc(1024 * 1024, "x");
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (let count = 0; count < 200; count++) yield chunk;
      yield Buffer.from(`\n${JSON.stringify(host)}`);
    }
    const before = process.memoryUsage().rss;
    const lines = await Array.fromAsync(parseHosts(endless(), "jsonl"));
    expect(lines.map(({ line }) => line)).toEqual([1, 2]);
    expect("input" in (lines[1] ?? {})).toBe(true);
    expect(process.memoryUsage().rss - before).toBeLessThan(150 * 1024 * 1024);
  });
});

const cell = fc
  .oneof(
    { weight: 5, arbitrary: fc.nat(9).map((index) => `h${index}`) },
    { weight: 5, arbitrary: fc.nat(9).map((port) => `http://127.0.0.1:${port + 1}`) },
    {
      weight: 2,
      arbitrary: fc.constantFrom("", "role=edge;zone=a", "role", "=", ";;", "__proto__=x"),
    },
    { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 10 }) },
  )
  .map((text) => text.replaceAll(/[\r\n",]/g, "_"));
const rightRow = fc.nat(9).map((at) => `h${at},http://127.0.0.1:${at + 1},role=edge`);
const cells = fc.array(cell, { minLength: 1, maxLength: 4 }).map((each) => each.join(","));
const row = fc.oneof({ weight: 1, arbitrary: rightRow }, { weight: 4, arbitrary: cells });

describe("CSV", () => {
  it("comes out row for row, whatever the cells hold", async () => {
    let hosts = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(row, { maxLength: 10 }), ending, async (rows, end) => {
        const file = ["id,address,labels", ...rows].join(end);
        const lines = await read(Buffer.from(file), "csv");
        const expected = rows.flatMap((text, index) => (text === "" ? [] : [index + 2]));
        expect(lines.map(({ line }) => line)).toEqual(expected);
        hosts += lines.filter((line) => "input" in line).length;
      }),
      fuzzRuns(300),
    );
    expect(hosts).toBeGreaterThan(20);
  });

  it("whose structure breaks reports every row before the break, and the break", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(5),
        fc.constantFrom('"', 'a"b', '"a"b', `"${"x".repeat(70_000)}`, '"\0'),
        fc.array(row, { maxLength: 3 }),
        async (count, broken, after) => {
          const rows = Array.from(
            { length: count },
            (_, at) => `h${at},http://127.0.0.1:${at + 1}`,
          );
          const file = ["id,address", ...rows, broken, ...after].join("\n");
          const lines = await read(Buffer.from(file), "csv");
          expect(lines.slice(0, count).map(({ line }) => line)).toEqual(
            rows.map((_, index) => index + 2),
          );
          const rest = lines.slice(count);
          expect(rest.length).toBeGreaterThan(0);
          expect(rest.some((line) => "error" in line)).toBe(true);
        },
      ),
      fuzzRuns(100),
    );
  });
});

const yamlText = fc.oneof(
  fc
    .array(
      mutatedJson(host).filter((text) => text.length < 20_000),
      { maxLength: 4 },
    )
    .map((items) => items.map((text) => `- ${text}`).join("\n")),
  fc
    .array(
      fc.constantFrom(
        "- ",
        "id: h1",
        "\n",
        "  ",
        "hosts:",
        "&a ",
        "*a",
        "{",
        "[",
        "!!binary ",
        "<<: ",
        "?",
      ),
      { maxLength: 30 },
    )
    .map((parts) => parts.join("")),
);

describe("any format", () => {
  it("takes any bytes without throwing, and says something of every file that is not empty", async () => {
    const anyBytes = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      yamlText.map((text) => Buffer.from(text)),
      fc.array(row, { maxLength: 5 }).map((rows) => Buffer.from(`id,address\n${rows.join("\n")}`)),
    );
    const format = fc.constantFrom<ImportFormat>("csv", "jsonl", "yaml");
    await fc.assert(
      fc.asyncProperty(
        anyBytes,
        format,
        fc.integer({ min: 1, max: 64 }),
        async (file, as, size) => {
          const lines = await read(file, as, size);
          expect(await read(file, as, 1_000_000)).toEqual(lines);
        },
      ),
      fuzzRuns(300),
    );
  });

  it.each<[string, string]>([
    ["brackets", "[".repeat(100_000)],
    ["maps", "{a: ".repeat(10_000)],
    ["lists", "- ".repeat(10_000)],
    ["tags", "!a ".repeat(5_000)],
  ])("refuses YAML of nothing but %s in bounded time", async (_what, text) => {
    const lines = await read(Buffer.from(text), "yaml", 1_000_000);
    expect(lines.length).toBeGreaterThan(0);
    expect(lines.length).toBeLessThanOrEqual(100);
    expect(lines.every((line) => "error" in line)).toBe(true);
  });
});
