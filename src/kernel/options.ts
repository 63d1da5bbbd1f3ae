/**
 * Options: one table names each option once; file, environment and flags are three spellings of it.
 *
 * Flags win over the environment, the environment over the file, the file over defaults. The result
 * is frozen, complete and in base units (`beatInterval: "1s"` becomes `beatIntervalMs: 1000`).
 * Unknown keys of a file are errors, and a bad value names the place that it came from.
 */
import { CoxswainError } from "./errors.ts";

interface Described {
  readonly description: string;
  /** Why the default is what it is, and what to expect on either side of it. */
  readonly reason: string;
}

export type OptionSpec = Described &
  (
    | { readonly type: "text"; readonly default: string; readonly pattern?: RegExp }
    | { readonly type: "choice"; readonly default: string; readonly choices: readonly string[] }
    | {
        readonly type: "integer";
        readonly default: number;
        readonly min: number;
        readonly max: number;
      }
    /** Written as `10s`, `250ms`, `5m`, `1h`, or a number of milliseconds; `min`, `max` in ms. */
    | {
        readonly type: "duration";
        readonly default: string;
        readonly min: number;
        readonly max: number;
      }
    | { readonly type: "flag"; readonly default: boolean }
  );

export type OptionTable = Readonly<Record<string, OptionSpec>>;

type ValueOf<Spec extends OptionSpec> = Spec["type"] extends "integer" | "duration"
  ? number
  : Spec["type"] extends "flag"
    ? boolean
    : Spec extends { choices: readonly (infer Choice)[] }
      ? Choice
      : string;

/** The resolved form: durations end in `Ms`. */
export type Resolved<Table extends OptionTable> = {
  readonly [
    Name in keyof Table & string as Table[Name]["type"] extends "duration" ? `${Name}Ms` : Name
  ]: ValueOf<Table[Name]>;
};

/** Raw values by place. Keys of `env` are variable names, of `file` and `flags` option names. */
export interface OptionSources {
  readonly file?: Readonly<Record<string, unknown>>;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly flags?: Readonly<Record<string, unknown>>;
}

/** A rule between options; `check` returns what is wrong, naming both, or undefined. */
export type OptionRule<Table extends OptionTable> = (
  resolved: Resolved<Table>,
) => string | undefined;

/** Resolves `table`; throws OPTION_UNKNOWN or OPTION_INVALID with the first thing that is wrong. */
export function resolveOptions<const Table extends OptionTable>(
  table: Table,
  sources: OptionSources,
  rules: readonly OptionRule<Table>[] = [],
): Resolved<Table> {
  for (const key of Object.keys(sources.file ?? {})) {
    if (!Object.hasOwn(table, key)) {
      throw new CoxswainError(
        "OPTION_UNKNOWN",
        `Expected a key of the configuration file to be one of ${Object.keys(table).join(", ")}, got \`${key}\``,
        { details: { key } },
      );
    }
  }
  const resolved: Record<string, unknown> = {};
  for (const [name, spec] of Object.entries(table)) {
    const env = envName(name);
    const [value, from] =
      sources.flags?.[name] !== undefined
        ? [sources.flags[name], flagName(name)]
        : sources.env?.[env] !== undefined
          ? [sources.env[env], env]
          : sources.file?.[name] !== undefined
            ? [sources.file[name], "the configuration file"]
            : [spec.default, "the default"];
    resolved[spec.type === "duration" ? `${name}Ms` : name] = parseValue(name, spec, value, from);
  }
  const result = Object.freeze(resolved) as Resolved<Table>;
  for (const rule of rules) {
    const problem = rule(result);
    if (problem !== undefined) throw new CoxswainError("OPTION_INVALID", problem);
  }
  return result;
}

/** `beatInterval` -> `COXSWAIN_BEAT_INTERVAL`. */
export function envName(name: string): string {
  return `COXSWAIN_${snake(name, "_").toUpperCase()}`;
}

/** `beatInterval` -> `--beat-interval`. */
export function flagName(name: string): string {
  return `--${snake(name, "-")}`;
}

function snake(name: string, joint: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => joint + letter.toLowerCase());
}

function parseValue(name: string, spec: OptionSpec, value: unknown, from: string): unknown {
  const fail = (rule: string): never => {
    throw new CoxswainError(
      "OPTION_INVALID",
      `Expected \`${name}\` (from ${from}) to be ${rule}, got ${JSON.stringify(value)}`,
      { details: { option: name, from } },
    );
  };
  switch (spec.type) {
    case "text":
      if (typeof value !== "string") return fail("text");
      if (spec.pattern !== undefined && !spec.pattern.test(value)) {
        return fail(`text that matches ${spec.pattern.source}`);
      }
      return value;
    case "choice":
      return typeof value === "string" && spec.choices.includes(value)
        ? value
        : fail(`one of ${spec.choices.join(", ")}`);
    case "integer": {
      const number = typeof value === "string" && /^-?\d+$/.test(value) ? Number(value) : value;
      return Number.isSafeInteger(number) && isWithin(number as number, spec)
        ? number
        : fail(`an integer from ${spec.min} to ${spec.max}`);
    }
    case "duration": {
      const durationMs = parseDurationMs(value);
      return durationMs !== undefined && isWithin(durationMs, spec)
        ? durationMs
        : fail(
            `a duration from ${formatDuration(spec.min)} to ${formatDuration(spec.max)} such as \`10s\` or \`250ms\``,
          );
    }
    case "flag":
      if (value === true || value === "true" || value === "1") return true;
      if (value === false || value === "false" || value === "0") return false;
      return fail("true or false");
  }
}

function isWithin(value: number, { min, max }: { min: number; max: number }): boolean {
  return value >= min && value <= max;
}

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** Milliseconds of `1.5s`, `250ms`, `5m`, `1h`, a plain number or its text; undefined otherwise. */
export function parseDurationMs(value: unknown): number | undefined {
  if (typeof value === "number") {
    return Number.isFinite(value) && value >= 0 ? Math.round(value) : undefined;
  }
  if (typeof value !== "string") return undefined;
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(value.trim());
  if (match === null) return undefined;
  return Math.round(Number(match[1]) * (unitMs[match[2] ?? "ms"] ?? 1));
}

/** The shortest exact spelling: 60000 -> `1m`, 1500 -> `1500ms`. */
export function formatDuration(durationMs: number): string {
  for (const unit of ["h", "m", "s"] as const) {
    const size = unitMs[unit] ?? 1;
    if (durationMs >= size && durationMs % size === 0) return `${durationMs / size}${unit}`;
  }
  return `${durationMs}ms`;
}
