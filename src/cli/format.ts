/**
 * How values look to people: compact tables without borders, ages, short digests, counts.
 *
 * Text from hosts and files is shown with its control characters made visible, so that a message
 * can neither move the cursor nor forge a line of output.
 */
import Table from "cli-table3";

const border = Object.fromEntries(
  [
    ["top", "top-mid", "top-left", "top-right", "bottom", "bottom-mid", "bottom-left"],
    ["bottom-right", "left", "left-mid", "mid", "mid-mid", "right", "right-mid"],
  ]
    .flat()
    .map((side) => [side, ""]),
);

/** Columns under headings, two spaces between them, no borders; no trailing blanks. */
export function formatTable(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const table = new Table({
    head: headings.map((heading) => heading.toUpperCase()),
    chars: { ...border, middle: "  " },
    style: { head: [], border: [], "padding-left": 0, "padding-right": 0 },
  });
  table.push(...rows.map((row) => [...row]));
  return trimLines(table.toString());
}

/** `name  value` lines, values aligned. */
export function formatFields(fields: readonly (readonly [string, string])[]): string {
  const width = Math.max(...fields.map(([name]) => name.length)) + 2;
  return trimLines(fields.map(([name, value]) => name.padEnd(width) + value).join("\n"));
}

function trimLines(text: string): string {
  return text
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n");
}

/** One line, control characters as `\x1b`, line ends as ` | `. */
export function printable(text: string): string {
  return escapeControls(text.trim().replaceAll(/\s*\r?\n\s*/g, " | "));
}

/** As `printable`, but keeps lines, each behind `indent`. */
export function printableLines(text: string, indent: string): string {
  return text
    .trimEnd()
    .split(/\r?\n/)
    .map((line) => indent + escapeControls(line.replaceAll("\t", "  ")))
    .join("\n");
}

function escapeControls(text: string): string {
  return text.replaceAll(
    // oxlint-disable-next-line eslint/no-control-regex -- finding control characters is the point
    /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
    (character) => {
      const code = character.codePointAt(0) ?? 0;
      return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16)}`;
    },
  );
}

/** `text` cut to `charsMax` characters, with an ellipsis where something is missing. */
export function shorten(text: string, charsMax: number): string {
  return text.length <= charsMax ? text : `${text.slice(0, Math.max(0, charsMax - 1))}…`;
}

/** The first 12 digits of a digest; unique enough to type back. */
export function shortDigest(digest: string | null | undefined): string {
  return digest === null || digest === undefined
    ? "-"
    : digest.replace(/^sha256:/, "").slice(0, 12);
}

/** Time since an ISO instant: `12s`, `3m`, `5h`, `2d`; `-` where there is none. */
export function formatAge(instant: string | null | undefined, wallMs: number): string {
  const atMs = instant === null || instant === undefined ? Number.NaN : Date.parse(instant);
  if (Number.isNaN(atMs)) return "-";
  const seconds = Math.max(0, Math.round((wallMs - atMs) / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

/** `role=edge,zone=a`, sorted by key. */
export function formatLabels(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.keys(labels)
    .toSorted()
    .map((key) => `${key}=${labels[key]}`);
  return pairs.length === 0 ? "-" : printable(pairs.join(","));
}

/** `1 host`, `2 hosts`. */
export function countOf(count: number, noun: string): string {
  return `${count.toLocaleString("en-US")} ${noun}${count === 1 ? "" : "s"}`;
}

export interface SyncCounts {
  readonly total: number;
  readonly applied: number;
  readonly pending: number;
  readonly rejected: number;
  readonly unreachable: number;
  readonly neverSeen: number;
}

/** `200 hosts: 195 applied, 2 pending, 0 rejected, 3 unreachable, 0 never seen`. */
export function formatCounts(counts: SyncCounts): string {
  const { total, applied, pending, rejected, unreachable, neverSeen } = counts;
  return `${countOf(total, "host")}: ${applied} applied, ${pending} pending, ${rejected} rejected, ${unreachable} unreachable, ${neverSeen} never seen`;
}

/** `1.2 KiB`; exact below 1 KiB. */
export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  return bytes < 1024 * 1024
    ? `${(bytes / 1024).toFixed(1)} KiB`
    : `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}
