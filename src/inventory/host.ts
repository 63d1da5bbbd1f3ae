/**
 * Hosts: the records of the inventory, and the one parser for what people say about them.
 *
 * A record says where a host is and how it is labelled, never what state it is in: that is the
 * owner's knowledge. Its revision comes from the partition's counter, so it never restarts, not even
 * when a host is removed and registered again. Unknown fields are errors: a misspelt `lables` that
 * was ignored would put a host outside every selector.
 */
import { CoxswainError } from "../kernel/errors.ts";
import { hostModes, isDialled, type HostMode } from "../protocol/host-mode.ts";
import {
  configNamePattern,
  digestPattern,
  idPattern,
  labelKeyPattern,
  limits,
} from "../protocol/limits.ts";

declare const brand: unique symbol;
/** A host id that has passed `parseHostId`. */
export type HostId = string & { readonly [brand]: "HostId" };

export type Labels = Readonly<Record<string, string>>;

/** Exceptions from the rules: config name -> digest. */
export type Pins = Readonly<Record<string, string>>;

export interface HostRecord {
  readonly id: HostId;
  /** Raised with every change of the record; the last part of the fence. */
  readonly revision: number;
  /** Origin of the agent: `http://127.0.0.5:9000`, no path; empty where no mode of the host needs one. */
  readonly address: string;
  /** Best first, each once, at least one. */
  readonly modes: readonly HostMode[];
  /** Keys sorted. */
  readonly labels: Labels;
  /** Keys sorted. */
  readonly pins: Pins;
}

/** What a person may set; the rest of the record follows. */
export interface HostInput extends Pick<HostRecord, "id" | "address" | "labels"> {
  /** Undefined: the host keeps the pins it has, so that an import of addresses removes none. */
  readonly pins?: Pins | undefined;
  /** Undefined: the host keeps its modes; a new one gets `dial`. */
  readonly modes?: readonly HostMode[] | undefined;
}

export const defaultModes: readonly HostMode[] = ["dial"];
const inputFields = new Set(["id", "address", "labels", "pins", "mode"]);

/** Throws HOST_INVALID (details: field, rule, value). */
export function parseHostId(value: unknown): HostId {
  if (typeof value === "string" && value.length <= limits.hostIdCharsMax && idPattern.test(value)) {
    // The brand exists only in types: this check is what it stands for.
    return value as HostId;
  }
  throw invalid(
    "id",
    `1 to ${limits.hostIdCharsMax} letters, digits, ".", "_" or "-", with a letter or digit at both ends`,
    value,
  );
}

/**
 * A host as people state it: `{id, address, labels?, pins?, mode?}`. Where `id` is given (from a path), the
 * body may leave it out and must not contradict it. `mode` is one name or a list, best first; without
 * `dial` and `knock` the address may be left out. Throws HOST_INVALID.
 */
export function parseHostInput(value: unknown, id?: HostId): HostInput {
  const fields = parseObject("host", value);
  const unknown = Object.keys(fields).find((name) => !inputFields.has(name));
  if (unknown !== undefined) {
    throw invalid(unknown, "one of the fields id, address, labels, pins, mode", unknown);
  }
  const ownId = id !== undefined && fields["id"] === undefined ? id : parseHostId(fields["id"]);
  if (id !== undefined && ownId !== id) throw invalid("id", `the id of the path (${id})`, ownId);
  const modes = fields["mode"] === undefined ? undefined : parseModes(fields["mode"]);
  const address = fields["address"] ?? "";
  return {
    id: ownId,
    modes,
    address:
      address === "" && !isDialled(modes ?? defaultModes) ? "" : parseAddress(fields["address"]),
    labels: parseLabels(fields["labels"] ?? {}),
    pins: fields["pins"] === undefined ? undefined : parsePins(fields["pins"]),
  };
}

/** One mode or a list of them, best first, each once. Throws HOST_INVALID. */
export function parseModes(value: unknown): readonly HostMode[] {
  const names: readonly unknown[] = Array.isArray(value) ? value : [value];
  const modes = names.flatMap((name) => hostModes.find((mode) => mode === name) ?? []);
  const isEachOnce = new Set(modes).size === names.length;
  if (modes.length > 0 && isEachOnce) return modes;
  throw invalid("mode", `one of ${hostModes.join(", ")}, or a list of some, each once`, value);
}

/** An http or https origin in normal form: lower-case host, no default port, no trailing slash. */
export function parseAddress(value: unknown): string {
  const rule = "an http:// or https:// origin without path, query, fragment or credentials";
  if (typeof value !== "string") throw invalid("address", rule, value);
  if (value.length > limits.addressCharsMax) {
    throw invalid("address", `at most ${limits.addressCharsMax} characters`, value);
  }
  // Checked on the text as well: the URL parser drops an empty `?` and turns `\` into `/`.
  if (!/^https?:\/\/[^/?#@\\\s]+\/?$/i.test(value) || !URL.canParse(value)) {
    throw invalid("address", rule, value);
  }
  const { origin, port } = new URL(value);
  if (port === "0") throw invalid("address", "an origin with a port from 1 to 65535", value);
  if (origin.length > limits.addressCharsMax) {
    throw invalid("address", `at most ${limits.addressCharsMax} characters`, origin);
  }
  return origin;
}

/** Labels with sorted keys. Throws HOST_INVALID. */
export function parseLabels(value: unknown): Labels {
  const entries = parseMap("labels", value, limits.labelsPerHostMax);
  for (const [key, text] of entries) {
    if (key.length > limits.labelKeyCharsMax || !labelKeyPattern.test(key)) {
      const rule = `a key of 1 to ${limits.labelKeyCharsMax} letters, digits, ".", "_", "-", one "/"`;
      throw invalid("labels", rule, key);
    }
    if (
      typeof text !== "string" ||
      text.length > limits.labelValueCharsMax ||
      !idPattern.test(text)
    ) {
      const rule = `text of 1 to ${limits.labelValueCharsMax} letters, digits, ".", "_", "-"`;
      throw invalid(`labels.${key}`, rule, text);
    }
  }
  return Object.fromEntries(entries) as Labels;
}

/** Pins with sorted keys. Throws HOST_INVALID. */
export function parsePins(value: unknown): Pins {
  const entries = parseMap("pins", value, limits.configsPerHostMax);
  for (const [name, digest] of entries) {
    if (name.length > limits.configNameCharsMax || !configNamePattern.test(name)) {
      throw invalid("pins", "config names", name);
    }
    if (typeof digest !== "string" || !digestPattern.test(digest)) {
      throw invalid(`pins.${name}`, "sha256: and 64 lower-case hexadecimal digits", digest);
    }
  }
  return Object.fromEntries(entries) as Pins;
}

function parseMap(field: string, value: unknown, countMax: number): [string, unknown][] {
  const entries = Object.entries(parseObject(field, value));
  if (entries.length > countMax)
    throw invalid(field, `at most ${countMax} entries`, entries.length);
  return entries.toSorted(([left], [right]) => (left < right ? -1 : 1));
}

function parseObject(field: string, value: unknown): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw invalid(field, "an object", value);
}

function invalid(field: string, rule: string, value: unknown): CoxswainError {
  // Only the outermost level: what is nested deep enough overflows the stack.
  const outer = (_key: string, inner: unknown) =>
    typeof inner === "object" && inner !== null && inner !== value ? "…" : inner;
  const text = value === undefined ? "nothing" : (JSON.stringify(value, outer) ?? typeof value);
  const shown = text.length > 120 ? `${text.slice(0, 120)}…` : text;
  return new CoxswainError("HOST_INVALID", `Expected \`${field}\` to be ${rule}, got ${shown}`, {
    details: { field, rule, value: shown },
  });
}
