/**
 * Arguments of commands: text to values, with the rule and the value in the message.
 */
import { Buffer } from "node:buffer";
import { readFile } from "node:fs/promises";
import type { Readable } from "node:stream";
import { CoxswainError, messageOf } from "../kernel/errors.ts";
import { parseDurationMs } from "../kernel/options.ts";

function usage(name: string, rule: string, value: string): CoxswainError {
  return new CoxswainError(
    "USAGE_INVALID",
    `Expected ${name} to be ${rule}, got ${JSON.stringify(value)}`,
  );
}

/** An integer from `min` to `max`. */
export function parseInteger(name: string, value: string, min: number, max: number): number {
  const number = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
  if (number >= min && number <= max) return number;
  throw usage(name, `an integer from ${min} to ${max}`, value);
}

/** Milliseconds of `60s`, `2m`, `500ms`. */
export function parseDuration(name: string, value: string): number {
  const durationMs = parseDurationMs(value);
  if (durationMs !== undefined && durationMs > 0) return durationMs;
  throw usage(name, "a duration such as 60s, 2m or 500ms", value);
}

/** Labels of `role=edge` and `role=edge,zone=a`; the API checks their patterns. */
export function parseLabels(texts: readonly string[]): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const pair of texts.flatMap((text) => text.split(","))) {
    const equals = pair.indexOf("=");
    if (equals < 1) throw usage("--label", "KEY=VALUE", pair);
    labels[pair.slice(0, equals).trim()] = pair.slice(equals + 1).trim();
  }
  return labels;
}

/** How much of a rollout is enough: a share of its hosts, or a number of them. */
export type Goal =
  | { readonly kind: "percent"; readonly percent: number }
  | { readonly kind: "count"; readonly count: number };

export function parseGoal(value: string): Goal {
  const percent = /^(\d{1,3}(?:\.\d{1,6})?)%$/.exec(value)?.[1];
  if (percent !== undefined && Number(percent) <= 100) {
    return { kind: "percent", percent: Number(percent) };
  }
  if (/^\d{1,9}$/.test(value)) return { kind: "count", count: Number(value) };
  throw usage("--for", "a share such as 99.5% (at most 100%) or a number of hosts", value);
}

/** Bytes of a file, or of standard input where `path` is `-`; refuses more than `bytesMax`. */
export async function readInput(path: string, stdin: Readable, bytesMax: number): Promise<Buffer> {
  if (path !== "-") return readWholeFile(path, bytesMax);
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stdin) {
    const bytes = Buffer.from(chunk as Uint8Array);
    size += bytes.length;
    if (size > bytesMax) throw tooLarge("standard input", bytesMax);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks);
}

async function readWholeFile(path: string, bytesMax: number): Promise<Buffer> {
  const bytes = await readFile(path).catch((error: unknown) => {
    throw new CoxswainError("INPUT_UNREADABLE", `Cannot read ${path}: ${messageOf(error)}`, {
      cause: error,
    });
  });
  if (bytes.length > bytesMax) throw tooLarge(path, bytesMax);
  return bytes;
}

function tooLarge(name: string, bytesMax: number): CoxswainError {
  return new CoxswainError(
    "REQUEST_TOO_LARGE",
    `Expected ${name} to hold at most ${bytesMax} bytes, got more`,
  );
}
