/**
 * `hosts import`: a file of hosts into the inventory.
 *
 * The whole file is checked before anything is sent, and unless --skip-invalid says so nothing is sent
 * while a line is wrong. What was sent is reported line by line: no host is half imported in silence.
 * An import may be repeated; what is there already is `unchanged`.
 */
import { createReadStream } from "node:fs";
import type { Command } from "commander";
import { CoxswainError, messageOf } from "../../kernel/errors.ts";
import type { HostInput } from "../../inventory/host.ts";
import {
  detectImportFormat,
  parseHosts,
  type ImportFormat,
} from "../../inventory/import-format.ts";
import { inPartitionOrder } from "../../ring/partition-order.ts";
import { print, type CliContext } from "../cli-context.ts";
import {
  examples,
  type CommandDeps,
  type CommandInput,
  type CommandShell,
} from "../command-shell.ts";
import { countOf, printable } from "../format.ts";
import { startProgress } from "../progress.ts";

/** One request: small enough for a busy node to answer well within its deadline. */
const chunkHostsMax = 1_000;
const chunkBytesMax = 2 * 1024 * 1024;
/** People see this many failed lines; JSON has them all. */
const shownErrorsMax = 50;
/** Enough of the file to tell its format. */
const formatSampleChars = 4_096;

interface ImportOptions {
  readonly format?: ImportFormat;
  readonly onExisting: "update" | "refuse";
  readonly skipInvalid?: boolean;
  readonly dryRun?: boolean;
}

interface LineError {
  readonly line: number;
  readonly id?: string | undefined;
  readonly code: string;
  readonly message: string;
}

interface ParsedLine {
  readonly line: number;
  readonly input: HostInput;
}

interface ImportResult {
  readonly created: number;
  readonly updated: number;
  readonly unchanged: number;
  readonly failed: number;
  /** Lines after a request that got no answer; their outcome is not known or they were not sent. */
  readonly unanswered: number;
  /** Sorted by line. */
  readonly errors: readonly LineError[];
}

export function registerHostImport(hosts: Command, shell: CommandShell): void {
  shell.onApi<ImportOptions>(
    hosts
      .command("import <file>")
      .description("Registers hosts from CSV, JSON lines or YAML (- for standard input).")
      .option("--format <csv|jsonl|yaml>", "the format, where the file name does not tell")
      .option("--on-existing <update|refuse>", "what happens to hosts that exist already", "update")
      .option("--skip-invalid", "send the good lines although others are wrong")
      .option("--dry-run", "check everything, also against the inventory, and change nothing")
      .addHelpText(
        "after",
        `\nCSV has a header: id,address and labels (role=edge;zone=a) or a column label.NAME each.\nExit code 65 when any line failed.\n${examples(
          "coxswain hosts import fleet.csv --dry-run",
          "coxswain hosts import fleet.csv",
          "inventory-export | coxswain hosts import - --format jsonl --skip-invalid",
        )}`,
      ),
    importHosts,
  );
}

async function importHosts(
  deps: CommandDeps,
  { args, options }: CommandInput<ImportOptions>,
): Promise<number> {
  checkOptions(options);
  const { context, isJson } = deps;
  const [path = ""] = args;
  const { lines, errors } = await readHosts(path, options.format, context);
  if (errors.length > 0 && options.skipInvalid !== true) {
    report(deps, resultOf([], errors, 0), options, "Nothing was sent.");
    throw new CoxswainError(
      "HOST_INVALID",
      `Expected every line of ${path} to be a host, got ${countOf(errors.length, "line")} with errors; nothing was sent`,
    );
  }
  // Each request then holds the hosts of few partitions, and the node asks little of the store.
  const ordered = inPartitionOrder(lines, ({ input }) => input.id);
  const { reports, sentErrors, unanswered, failure } = await sendAll(deps, ordered, options);
  const result = resultOf(reports, [...errors, ...sentErrors], unanswered);
  report(deps, result, options, lines.length === 0 ? "There was nothing to send." : "");
  if (failure !== undefined) throw failure;
  if (result.failed === 0) return 0;
  if (isJson) return new CoxswainError("IMPORT_FAILED", "").exitCode;
  throw new CoxswainError("IMPORT_FAILED", `${countOf(result.failed, "line")} of ${path} failed`);
}

function checkOptions({ format, onExisting }: ImportOptions): void {
  const isFormat = format === undefined || ["csv", "jsonl", "yaml"].includes(format);
  if (isFormat && ["update", "refuse"].includes(onExisting)) return;
  throw new CoxswainError(
    "USAGE_INVALID",
    isFormat
      ? `Expected --on-existing to be update or refuse, got ${onExisting}`
      : `Expected --format to be csv, jsonl or yaml, got ${format}`,
  );
}

/** Every line of the file, good and bad. */
async function readHosts(
  path: string,
  format: ImportFormat | undefined,
  { stdin }: CliContext,
): Promise<{ lines: ParsedLine[]; errors: LineError[] }> {
  const lines: ParsedLine[] = [];
  const errors: LineError[] = [];
  try {
    const source = path === "-" ? stdin : createReadStream(path);
    const chunks = (source as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
    const { start, rest } = await sample(chunks);
    const known = format ?? detectImportFormat(path === "-" ? undefined : path, textOf(start));
    for await (const parsed of parseHosts(rest, known)) {
      if ("input" in parsed) lines.push(parsed);
      else errors.push(lineError(parsed.line, parsed.error));
    }
  } catch (error) {
    if (error instanceof CoxswainError || !(error instanceof Error && "syscall" in error))
      throw error;
    throw new CoxswainError("INPUT_UNREADABLE", `Cannot read ${path}: ${messageOf(error)}`, {
      cause: error,
    });
  }
  return { lines, errors };
}

/** The beginning of the stream, and the whole stream again. */
async function sample(chunks: AsyncIterator<Uint8Array>) {
  const start: Uint8Array[] = [];
  for (let size = 0; size < formatSampleChars;) {
    const next = await chunks.next();
    if (next.done === true) break;
    start.push(next.value);
    size += next.value.length;
  }
  async function* whole(): AsyncGenerator<Uint8Array> {
    yield* start;
    yield* { [Symbol.asyncIterator]: () => chunks };
  }
  return { start, rest: whole() };
}

function textOf(start: readonly Uint8Array[]): string {
  return Buffer.concat(start).subarray(0, formatSampleChars).toString("utf8");
}

function lineError(line: number, { code, message }: CoxswainError): LineError {
  return { line, code, message };
}

interface Chunk {
  readonly lines: readonly ParsedLine[];
  readonly body: string;
}

/** At most `chunkHostsMax` hosts and about `chunkBytesMax` bytes each. */
export function* chunksOf(lines: readonly ParsedLine[]): Generator<Chunk> {
  let chunk: ParsedLine[] = [];
  let body = "";
  for (const parsed of lines) {
    const text = `${JSON.stringify(parsed.input)}\n`;
    if (
      chunk.length === chunkHostsMax ||
      (chunk.length > 0 && body.length + text.length > chunkBytesMax)
    ) {
      yield { lines: chunk, body };
      chunk = [];
      body = "";
    }
    chunk.push(parsed);
    body += text;
  }
  if (chunk.length > 0) yield { lines: chunk, body };
}

interface Totals {
  readonly created: number;
  readonly updated: number;
  readonly unchanged: number;
}

async function sendAll(
  { context, api }: CommandDeps,
  lines: readonly ParsedLine[],
  { onExisting, dryRun }: ImportOptions,
) {
  const reports: Totals[] = [];
  const sentErrors: LineError[] = [];
  const progress = startProgress(context, dryRun === true ? "checked" : "imported");
  let doneCount = 0;
  try {
    for (const chunk of chunksOf(lines)) {
      const answer = await api.importHosts(chunk.body, { onExisting, dryRun: dryRun === true });
      reports.push(answer);
      for (const error of answer.errors) {
        // The node counts lines of the request; people count lines of the file.
        sentErrors.push({ ...error, line: chunk.lines[error.line - 1]?.line ?? error.line });
      }
      doneCount += chunk.lines.length;
      progress.update(
        doneCount,
        lines.length,
        sentErrors.length > 0 ? `${sentErrors.length} failed` : "",
      );
    }
    return { reports, sentErrors, unanswered: 0, failure: undefined };
  } catch (failure) {
    return { reports, sentErrors, unanswered: lines.length - doneCount, failure };
  } finally {
    progress.stop();
  }
}

function resultOf(
  reports: readonly Totals[],
  errors: readonly LineError[],
  unanswered: number,
): ImportResult {
  const sum = (name: keyof Totals) => reports.reduce((total, part) => total + part[name], 0);
  return {
    created: sum("created"),
    updated: sum("updated"),
    unchanged: sum("unchanged"),
    failed: errors.length,
    unanswered,
    errors: errors.toSorted((left, right) => left.line - right.line),
  };
}

function report(
  { context, isJson }: CommandDeps,
  result: ImportResult,
  { dryRun }: ImportOptions,
  note: string,
): void {
  if (isJson) {
    print(context.stdout, JSON.stringify({ ...result, dryRun: dryRun === true }, null, 2));
    return;
  }
  for (const { line, id, code, message } of result.errors.slice(0, shownErrorsMax)) {
    const name = id === undefined ? "" : ` (${id})`;
    print(context.stderr, printable(`line ${line}${name}: ${code}: ${message}`));
  }
  const hiddenCount = result.errors.length - shownErrorsMax;
  if (hiddenCount > 0)
    print(context.stderr, `… and ${hiddenCount} more; --output json lists them all`);
  print(context.stdout, summaryOf(result, dryRun === true));
  if (note !== "") print(context.stdout, note);
}

function summaryOf(
  { created, updated, unchanged, failed, unanswered }: ImportResult,
  isDryRun: boolean,
) {
  const counts = `${created} created, ${updated} updated, ${unchanged} unchanged, ${failed} failed`;
  const lost = unanswered === 0 ? "" : `, ${unanswered} without an answer (run the import again)`;
  return `${isDryRun ? "would be: " : ""}${counts}${lost}`;
}
