/**
 * Import files: hosts from CSV, JSON lines and YAML, each line either a host or an error with its
 * line number.
 *
 * CSV and JSON lines are read as a stream, so that a file may be larger than memory; YAML is one
 * document and bounded. CSV has a header row: `id`, `address`, `mode` (`reverse;dial`), and labels as columns
 * `label.role` or in one column `labels` (`role=edge;zone=a`); empty cells mean none. An id or an address that
 * appears twice in one file is an error that names both lines. What breaks the structure of the file
 * (an open quote, bad YAML) ends it with an error: nothing after it can be trusted.
 */
import { CsvError, parse as parseCsv, type Parser } from "csv-parse";
import { isMap, isSeq, LineCounter, parseDocument, type Document, type Node } from "yaml";
import { CoxswainError, messageOf } from "../kernel/errors.ts";
import { limits } from "../protocol/limits.ts";
import { parseHostInput, type HostInput } from "./host.ts";

export type ImportFormat = "csv" | "jsonl" | "yaml";

export type ImportLine =
  | { readonly line: number; readonly input: HostInput }
  | { readonly line: number; readonly error: CoxswainError };

type Chunks = AsyncIterable<Uint8Array | string>;
type RawLine = { readonly line: number } & (
  | { readonly value: unknown }
  | { readonly error: CoxswainError }
);

/** One host with all its labels and pins takes less than half of this. */
const lineBytesMax = 64 * 1024;
const yamlBytesMax = limits.importBodyBytesMax;
/** Of a file that is refused whole; one mistake makes many. */
const yamlErrorsMax = 100;
const fixedColumns = new Set(["id", "address", "labels", "mode"]);
const labelColumn = "label.";

/** By the file's ending, otherwise by its first characters. Throws IMPORT_FAILED where neither tells. */
export function detectImportFormat(fileName: string | undefined, start: string): ImportFormat {
  const ending = /\.([a-z]+)$/i.exec(fileName ?? "")?.[1]?.toLowerCase();
  if (ending === "csv") return "csv";
  if (ending === "jsonl" || ending === "ndjson") return "jsonl";
  if (ending === "yaml" || ending === "yml") return "yaml";
  const text = start.replace(/^\uFEFF/, "").trimStart();
  if (text.startsWith("{")) return "jsonl";
  if (/^(?:---|#|- |hosts:)/.test(text)) return "yaml";
  if (/^"?[a-z][a-z.]*"?,/.test(text)) return "csv";
  throw new CoxswainError(
    "IMPORT_FAILED",
    `Expected a file of CSV, JSON lines or YAML (.csv, .jsonl, .yaml), got ${fileName ?? "no name"}`,
  );
}

/** Reads hosts from the chunks of a file, in file order; lines count from 1. */
export async function* parseHosts(
  chunks: Chunks,
  format: ImportFormat,
): AsyncGenerator<ImportLine> {
  const readers = { csv: readCsv, jsonl: readJsonLines, yaml: readYaml };
  const ids = new Map<string, number>();
  const addresses = new Map<string, number>();
  for await (const raw of readers[format](chunks)) {
    const { line } = raw;
    try {
      if ("error" in raw) throw raw.error;
      const input = parseHostInput(raw.value);
      checkOnce("id", input.id, line, ids);
      if (input.address !== "") checkOnce("address", input.address, line, addresses);
      yield { line, input };
    } catch (error) {
      if (!(error instanceof CoxswainError)) throw error;
      yield { line, error };
    }
  }
}

function checkOnce(field: string, value: string, line: number, seen: Map<string, number>): void {
  const before = seen.get(value);
  if (before !== undefined) {
    throw new CoxswainError(
      "HOST_INVALID",
      `Expected each \`${field}\` once in the file, got ${value} on lines ${before} and ${line}`,
      { details: { field, rule: "once in the file", value, lines: [before, line] } },
    );
  }
  seen.set(value, line);
}

async function* readJsonLines(chunks: Chunks): AsyncGenerator<RawLine> {
  for await (const { line, text } of splitLines(chunks)) {
    if (text === undefined) {
      yield { line, error: invalid(`at most ${lineBytesMax} characters a line`, "a longer one") };
    } else if (text.trim() !== "") {
      yield { line, ...parseJson(text) };
    }
  }
}

function parseJson(text: string): { value: unknown } | { error: CoxswainError } {
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    return { error: invalid("one JSON object a line", messageOf(error)) };
  }
}

/** Lines with their numbers; `text` is undefined for a line over the bound. */
async function* splitLines(
  chunks: Chunks,
): AsyncGenerator<{ line: number; text: string | undefined }> {
  let line = 1;
  let rest = "";
  let isTooLong = false;
  for await (const chunk of decoded(chunks)) {
    const parts = chunk.split("\n");
    for (const [index, part] of parts.entries()) {
      if (!isTooLong) rest += part;
      if (rest.length > lineBytesMax) {
        isTooLong = true;
        rest = "";
      }
      if (index === parts.length - 1) break;
      yield { line, text: isTooLong ? undefined : rest };
      line++;
      rest = "";
      isTooLong = false;
    }
  }
  yield { line, text: isTooLong ? undefined : rest };
}

/** Text of the chunks; bytes that are no UTF-8 become U+FFFD, which no field accepts. */
async function* decoded(chunks: Chunks): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8");
  for await (const chunk of chunks) {
    yield typeof chunk === "string" ? chunk : decoder.decode(chunk, { stream: true });
  }
  yield decoder.decode();
}

/** A row and the line of its end. */
interface CsvRow {
  readonly line: number;
  readonly cells: readonly string[];
}

async function* readCsv(chunks: Chunks): AsyncGenerator<RawLine> {
  const rows: CsvRow[] = [];
  const parser = createCsvParser(rows);
  let header: readonly string[] | undefined;
  try {
    for await (const failure of parsed(chunks, parser)) {
      for (const { line, cells } of rows.splice(0)) {
        if (header !== undefined) {
          yield { line, ...csvHost(header, cells) };
          continue;
        }
        header = cells;
        const wrong = headerError(cells);
        if (wrong === undefined) continue;
        yield { line, error: wrong };
        return;
      }
      if (failure === undefined) continue;
      const line = typeof failure["lines"] === "number" ? failure["lines"] : 1;
      const rule = "well-formed CSV (nothing after this is read)";
      yield { line, error: invalid(rule, failure.message) };
      return;
    }
  } finally {
    parser.destroy();
  }
}

/**
 * A parser that puts rows in `rows` as it finds them. Its own output would drop the rows it has not
 * handed over yet when it meets broken quotes.
 */
function createCsvParser(rows: CsvRow[]): Parser {
  const parser = parseCsv({
    bom: true,
    trim: true,
    skip_empty_lines: true,
    // Rows of the wrong length are reported here, with their line, instead of ending the file.
    relax_column_count: true,
    max_record_size: lineBytesMax,
    on_record: (cells: string[], { lines }) => {
      rows.push({ line: lines, cells });
      return null;
    },
  });
  // Every failure is also handed to the callback of the write that met it.
  parser.on("error", () => {});
  return parser;
}

/** Feeds the parser; a turn after each chunk and after the end, with the failure that ends it. */
async function* parsed(chunks: Chunks, parser: Parser): AsyncGenerator<CsvError | undefined> {
  for await (const chunk of decoded(chunks)) {
    const failure = await settled((done) => parser.write(chunk, done));
    yield failure;
    if (failure !== undefined) return;
  }
  yield await settled((done) => parser.end(done));
}

function settled(
  call: (done: (error?: Error | null) => void) => void,
): Promise<CsvError | undefined> {
  return new Promise((resolve, reject) => {
    call((error) => {
      if (error === undefined || error === null) resolve(undefined);
      else if (error instanceof CsvError) resolve(error);
      else reject(error);
    });
  });
}

function headerError(header: readonly string[]): CoxswainError | undefined {
  const rule = "a header row with the columns id, address, and mode, labels or label.NAME";
  const unknown = header.find(
    (column) => !fixedColumns.has(column) && !column.startsWith(labelColumn),
  );
  if (unknown !== undefined) return invalid(rule, `the column ${JSON.stringify(unknown)}`);
  if (new Set(header).size < header.length) return invalid(rule, "a column twice");
  const missing = ["id", "address"].find((column) => !header.includes(column));
  return missing === undefined ? undefined : invalid(rule, `none called ${missing}`);
}

function csvHost(
  header: readonly string[],
  row: readonly string[],
): { value: unknown } | { error: CoxswainError } {
  if (row.length !== header.length) {
    return { error: invalid(`${header.length} columns as in the header`, `${row.length}`) };
  }
  const cell = (column: string) => row[header.indexOf(column)] ?? "";
  const labels = new Map<string, string>();
  const pairs = [
    ...cell("labels").split(";"),
    ...header
      .filter((column) => column.startsWith(labelColumn) && cell(column) !== "")
      .map((column) => `${column.slice(labelColumn.length)}=${cell(column)}`),
  ];
  for (const pair of pairs.map((text) => text.trim()).filter((text) => text !== "")) {
    const at = pair.indexOf("=");
    if (at < 0) return { error: invalid("labels like role=edge;zone=a", JSON.stringify(pair)) };
    const key = pair.slice(0, at).trim();
    if (labels.has(key)) return { error: invalid("each label once", JSON.stringify(key)) };
    labels.set(key, pair.slice(at + 1).trim());
  }
  const modes = cell("mode")
    .split(";")
    .map((text) => text.trim())
    .filter((text) => text !== "");
  const value = { id: cell("id"), address: cell("address"), labels: Object.fromEntries(labels) };
  return { value: modes.length === 0 ? value : { ...value, mode: modes } };
}

async function* readYaml(chunks: Chunks): AsyncGenerator<RawLine> {
  let text = "";
  for await (const chunk of decoded(chunks)) {
    text += chunk;
    if (text.length > yamlBytesMax) {
      yield {
        line: 1,
        error: invalid(`YAML of at most ${yamlBytesMax} bytes (use JSON lines)`, "more"),
      };
      return;
    }
  }
  const lines = new LineCounter();
  // Pretty errors quote the file anew for each of them: minutes for a file of nothing else.
  const document = parseDocument(text.replace(/^\uFEFF/, ""), {
    lineCounter: lines,
    prettyErrors: false,
  });
  const lineAt = (offset: number | undefined) => lines.linePos(offset ?? 0).line || 1;
  if (document.errors.length > 0) {
    for (const error of document.errors.slice(0, yamlErrorsMax)) {
      yield { line: lineAt(error.pos[0]), error: invalid("well-formed YAML", error.message) };
    }
    return;
  }
  const list = yamlList(document);
  if (list === undefined) {
    yield { line: 1, error: invalid("a YAML list of hosts (or `hosts:` with one)", "none") };
    return;
  }
  for (const item of list) yield { line: lineAt(item?.range?.[0]), ...yamlHost(document, item) };
}

function yamlList(document: Document.Parsed): readonly (Node | null)[] | undefined {
  const { contents } = document;
  if (contents === null) return [];
  const list =
    isMap(contents) && contents.items.length === 1 ? contents.get("hosts", true) : contents;
  return isSeq(list) ? list.items : undefined;
}

function yamlHost(
  document: Document.Parsed,
  item: Node | null,
): { value: unknown } | { error: CoxswainError } {
  try {
    // No aliases: a few lines of them can unfold to gigabytes.
    return { value: item?.toJS(document, { maxAliasCount: 0 }) };
  } catch (error) {
    return { error: invalid("a host without YAML aliases", messageOf(error)) };
  }
}

function invalid(rule: string, got: string): CoxswainError {
  const shown = got.length > 200 ? `${got.slice(0, 200)}…` : got;
  return new CoxswainError("HOST_INVALID", `Expected ${rule}, got ${shown}`, {
    details: { rule, value: shown },
  });
}
