/**
 * The agent's own configuration: what the machine's owner decides, not the control plane.
 *
 * YAML or JSON (JSON is YAML). Paths are relative to the file's folder, which is also the working
 * folder of every command. Unknown keys are errors: a misspelt `check` would mean no check at all.
 */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { parse as parseYaml } from "yaml";
import { z } from "zod";
import { CoxswainError, messageOf } from "../kernel/errors.ts";
import { isReadableUrl, readableUrlRule, type ObjectsPlace } from "../objects/open-objects.ts";
import { hostModes, type HostMode } from "../protocol/host-mode.ts";
import { configNamePattern, idPattern, limits } from "../protocol/limits.ts";
import type { TlsMaterial } from "./agent-server.ts";
import type { Command } from "./command-runner.ts";
import { requireNoWeakerFallback } from "./mode-strength.ts";
import { commandTimeoutDefaultMs, type ConfigTarget, type ConfigTargets } from "./config-target.ts";

/** Everything that decides what an agent does, resolved and checked. */
export interface AgentSettings {
  readonly host: string;
  readonly cluster: string;
  /** Best first, each once. */
  readonly modes: readonly HostMode[];
  /** Proves who the host is where it calls; undefined: it calls without a proof. */
  readonly key?: Buffer | undefined;
  readonly listen: { readonly host: string; readonly port: number };
  /** For the mode `knock`: the nodes' knock listeners as host:port, and the host's key. */
  readonly knock?: { readonly at: readonly string[]; readonly key: Buffer } | undefined;
  /** For the mode `object`: where pointers, manifests and contents lie. */
  readonly object?: ObjectsPlace | undefined;
  /** Base URLs of the nodes' fleet listeners; empty means that the agent never says hello. */
  readonly nodes: readonly string[];
  /** For the mode `reverse`: each node can be reached by the address that it names itself. */
  readonly direct?: boolean | undefined;
  readonly targets: ConfigTargets;
  /** Where commands run. */
  readonly workingFolder: string;
  readonly stateCommand?: (Command & { readonly refreshMs: number }) | undefined;
  readonly tls?: TlsMaterial | undefined;
}

/** Keys as in the file, before any check. */
export type RawAgentConfig = Readonly<Record<string, unknown>>;

const listenDefault = "127.0.0.1:7500";
const fileBytesMax = 1024 * 1024;
/** Long enough for a package query, short enough that a stopped run is noticed soon. */
const stateTimeoutDefaultMs = 10_000;
const stateRefreshDefaultMs = 60_000;

/** Each `error` text is the rule that completes "Expected `name` to be …". */
const text = (rule: string, pattern: RegExp, charsMax = 4096) =>
  z.string({ error: rule }).max(charsMax, { error: rule }).regex(pattern, { error: rule });
const id = text("letters, digits, `.`, `_`, `-`, at most 128", idPattern, limits.hostIdCharsMax);
const path = text("a path without NUL", /^[^\0]+$/);
const argvRule = "a list of a program and its arguments, at most 64, no shell line";
const argv = z
  .array(text(argvRule, /^[^\0]*$/), { error: argvRule })
  .min(1, { error: argvRule })
  .max(64, { error: argvRule });
const timeoutRule = "a whole number of milliseconds from 100 to 600000";
const timeoutMs = z
  .int({ error: timeoutRule })
  .min(100, { error: timeoutRule })
  .max(600_000, { error: timeoutRule });
const nodeRule = "a list of at most 200 http or https URLs";
const nodeUrl = z.url({ protocol: /^https?$/, error: nodeRule });
const modesRule = `a list of ${hostModes.join(", ")}, best first, each once`;
const knockRule = "a list of at most 200 host:port";
const hostPortPattern = /^(?:\[[0-9A-Fa-f:.]+\]|[^\s:/[\]]+):\d{1,5}$/;
const endpointRule = "an http or https URL";
const flagRule = "true or false";
const mapping = "a mapping of known keys";

const targetSchema = z.strictObject(
  {
    path: path.optional(),
    mode: text('octal permission bits in quotes, like "0644"', /^0?[0-7]{3}$/).default("0644"),
    owner: text('numeric ids in quotes, like "33:33"', /^\d{1,9}:\d{1,9}$/).optional(),
    check: argv.optional(),
    checkTimeoutMs: timeoutMs.default(commandTimeoutDefaultMs),
    reload: argv.optional(),
    reloadTimeoutMs: timeoutMs.default(commandTimeoutDefaultMs),
  },
  { error: mapping },
);

const fileSchema = z.strictObject(
  {
    host: id,
    cluster: id,
    listen: text("host:port", hostPortPattern).default(listenDefault),
    dir: path,
    modes: z
      .array(z.enum(hostModes, { error: modesRule }), { error: modesRule })
      .min(1, { error: modesRule })
      .refine((modes) => new Set(modes).size === modes.length, { error: modesRule })
      .default(["dial"]),
    keyFile: path.optional(),
    knockAt: z
      .array(text(knockRule, hostPortPattern), { error: knockRule })
      .max(limits.nodesMax, { error: knockRule })
      .default([]),
    object: z
      .strictObject(
        {
          url: z
            .string({ error: readableUrlRule })
            .refine(isReadableUrl, { error: readableUrlRule }),
          endpoint: z.url({ protocol: /^https?$/, error: endpointRule }).optional(),
          region: text("the name of an AWS region", /^[a-z0-9-]{1,40}$/).optional(),
        },
        { error: mapping },
      )
      .optional(),
    nodes: z
      .array(nodeUrl, { error: nodeRule })
      .max(limits.nodesMax, { error: nodeRule })
      .default([]),
    direct: z.boolean({ error: flagRule }).default(false),
    acceptUnlisted: z.boolean({ error: flagRule }).default(true),
    configs: z
      .record(z.string().max(limits.configNameCharsMax).regex(configNamePattern), targetSchema, {
        error: (issue) => (issue.code === "invalid_key" ? "keyed by config names" : mapping),
      })
      .default({}),
    state: z
      .strictObject(
        {
          command: argv,
          timeoutMs: timeoutMs.default(stateTimeoutDefaultMs),
          refreshMs: timeoutMs.default(stateRefreshDefaultMs),
        },
        { error: mapping },
      )
      .optional(),
    tls: z
      .strictObject({ key: path, cert: path, ca: path.optional() }, { error: mapping })
      .optional(),
  },
  { error: mapping },
);

/** Reads and parses a file; AGENT_CONFIG_INVALID names the file and the place. */
export async function readAgentConfigFile(file: string): Promise<RawAgentConfig> {
  const invalid = (rule: string, cause?: unknown) =>
    new CoxswainError("AGENT_CONFIG_INVALID", `Expected ${file} to be ${rule}`, { cause });
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (cause) {
    throw invalid(`a file that can be read, got ${messageOf(cause)}`, cause);
  }
  if (bytes.length > fileBytesMax) {
    throw invalid(`at most ${fileBytesMax} bytes, got ${bytes.length}`);
  }
  let value: unknown;
  try {
    value = parseYaml(bytes.toString("utf8"), { maxAliasCount: 0 });
  } catch (cause) {
    throw invalid(`YAML or JSON, got ${messageOf(cause)}`, cause);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw invalid("a mapping, got something else");
  }
  return { ...value };
}

/** Checks `raw`, fills in defaults and makes every path absolute against `baseFolder`. */
export async function resolveAgentConfig(
  raw: RawAgentConfig,
  baseFolder: string,
): Promise<AgentSettings> {
  const parsed = fileSchema.safeParse(raw);
  if (!parsed.success) throw invalidConfig(raw, parsed.error.issues[0]);
  const { host, cluster, modes, nodes, acceptUnlisted, configs, state, tls, dir } = parsed.data;
  const { direct } = parsed.data;
  const { keyFile, knockAt, object } = parsed.data;
  if (object === undefined && modes.includes("object")) {
    throw new CoxswainError(
      "AGENT_CONFIG_INVALID",
      "Expected `object` with the mode object, got nothing",
    );
  }
  const key = keyFile === undefined ? undefined : await readKey(resolve(baseFolder, keyFile));
  const folder = resolve(baseFolder, dir);
  const listed = new Map<string, ConfigTarget>();
  for (const [name, target] of Object.entries(configs)) {
    listed.set(name, resolveTarget(target, baseFolder, resolve(folder, "configs", name)));
  }
  requireOwnPaths(listed);
  const material = tls === undefined ? undefined : await readTls(tls, baseFolder);
  requireNoWeakerFallback(modes, { tls: material, nodes, key, object });
  return {
    host,
    cluster,
    modes,
    key,
    knock: modes.includes("knock") ? knockSettings(knockAt, key) : undefined,
    object,
    nodes,
    direct,
    listen: parseListen(parsed.data.listen),
    targets: { folder, listed, acceptUnlisted },
    workingFolder: resolve(baseFolder),
    stateCommand:
      state === undefined
        ? undefined
        : { argv: state.command, timeoutMs: state.timeoutMs, refreshMs: state.refreshMs },
    tls: material,
  };
}

function resolveTarget(
  raw: z.infer<typeof targetSchema>,
  baseFolder: string,
  defaultPath: string,
): ConfigTarget {
  const { path: rawPath, mode, owner, check, reload, checkTimeoutMs, reloadTimeoutMs } = raw;
  const [uid, gid] = (owner ?? "").split(":").map(Number);
  return {
    path: rawPath === undefined ? defaultPath : resolve(baseFolder, rawPath),
    attributes: {
      mode: Number.parseInt(mode, 8),
      ...(uid === undefined || gid === undefined ? {} : { owner: { uid, gid } }),
    },
    checkTimeoutMs,
    reloadTimeoutMs,
    ...(check === undefined ? {} : { check }),
    ...(reload === undefined ? {} : { reload }),
  };
}

/** Two names on one path would overwrite each other at every sync. */
function requireOwnPaths(listed: ReadonlyMap<string, ConfigTarget>): void {
  const names = new Map<string, string>();
  for (const [name, target] of listed) {
    const other = names.get(target.path);
    if (other !== undefined) {
      throw new CoxswainError(
        "AGENT_CONFIG_INVALID",
        `Expected \`configs.${name}.path\` to be a path of its own, got the path of \`${other}\``,
      );
    }
    names.set(target.path, name);
  }
}

function parseListen(listen: string): { host: string; port: number } {
  const colon = listen.lastIndexOf(":");
  const port = Number(listen.slice(colon + 1));
  if (port > 65_535) {
    throw new CoxswainError(
      "AGENT_CONFIG_INVALID",
      `Expected \`listen\` to have a port from 0 to 65535, got ${port}`,
    );
  }
  return { host: listen.slice(0, colon).replace(/^\[|\]$/g, ""), port };
}

function knockSettings(at: readonly string[], key: Buffer | undefined) {
  if (key !== undefined && at.length > 0) return { at, key };
  throw new CoxswainError(
    "AGENT_CONFIG_INVALID",
    `Expected \`keyFile\` and \`knockAt\` with the mode knock, got ${key === undefined ? "no `keyFile`" : "no `knockAt`"}`,
  );
}

/** A key as `coxswain host-key` prints it: 64 hexadecimal digits. */
async function readKey(file: string): Promise<Buffer> {
  const rule = "Expected `keyFile` to be a readable file with 64 hexadecimal digits";
  let digits: string;
  try {
    digits = (await readFile(file, "utf8")).trim();
  } catch (cause) {
    throw new CoxswainError("AGENT_CONFIG_INVALID", `${rule}, got ${messageOf(cause)}`, { cause });
  }
  // What it holds instead may be somebody else's secret: its length says enough.
  if (/^[0-9a-f]{64}$/i.test(digits)) return Buffer.from(digits, "hex");
  throw new CoxswainError("AGENT_CONFIG_INVALID", `${rule}, got ${digits.length} characters`);
}

async function readTls(
  tls: { key: string; cert: string; ca?: string | undefined },
  baseFolder: string,
): Promise<TlsMaterial> {
  const read = async (name: string, file: string) => {
    try {
      return await readFile(resolve(baseFolder, file), "utf8");
    } catch (cause) {
      throw new CoxswainError(
        "AGENT_CONFIG_INVALID",
        `Expected \`tls.${name}\` to be a file that can be read, got ${messageOf(cause)}`,
        { cause },
      );
    }
  };
  const [key, cert] = [await read("key", tls.key), await read("cert", tls.cert)];
  return tls.ca === undefined ? { key, cert } : { key, cert, ca: await read("ca", tls.ca) };
}

function invalidConfig(raw: unknown, issue: z.core.$ZodIssue | undefined): CoxswainError {
  const keys = issue?.path ?? [];
  const name = keys.length === 0 ? "the agent's configuration" : `\`${keys.join(".")}\``;
  if (issue?.code === "unrecognized_keys") {
    const unknown = issue.keys.map((key) => `\`${key}\``).join(", ");
    return new CoxswainError(
      "AGENT_CONFIG_INVALID",
      `Expected ${name} to have known keys only, got ${unknown}`,
    );
  }
  let value = raw;
  for (const key of keys) {
    value =
      typeof value === "object" && value !== null ? Reflect.get(value, key as string) : undefined;
  }
  const shown = value === undefined ? "nothing" : JSON.stringify(value).slice(0, 120);
  return new CoxswainError(
    "AGENT_CONFIG_INVALID",
    `Expected ${name} to be ${issue?.message ?? "valid"}, got ${shown}`,
  );
}
