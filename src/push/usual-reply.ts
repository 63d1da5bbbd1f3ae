/**
 * Reads the usual sync reply without the schema's machinery, which takes as long as parsing the JSON.
 *
 * It may say no to what the schema accepts (the schema is asked then) but never yes to what the schema
 * refuses, and what it gives is what the schema would give: known fields only. A property test
 * compares the two.
 */
import { configNamePattern, digestPattern, limits } from "../protocol/limits.ts";
import {
  configResults,
  type ConfigResult,
  type HeldConfig,
  type SyncReply,
} from "../protocol/sync.ts";

type Fields = Readonly<Record<string, unknown>>;

const results: ReadonlySet<unknown> = new Set(configResults);
const configsMax = 2 * limits.configsPerHostMax;

/** `value` is a result of JSON.parse; undefined where the schema must decide. */
export function readUsualReply(value: unknown): SyncReply | undefined {
  if (!isFields(value)) return undefined;
  const { host, boot, agent: said, fence, view, manifest, state } = value;
  if (
    !isText(host, limits.hostIdCharsMax) ||
    !isText(boot, 64) ||
    !isText(said, 64) ||
    !isText(fence, 64) ||
    !isText(view, 20) ||
    !isDigest(manifest)
  ) {
    return undefined;
  }
  const configs = readConfigs(value["configs"]);
  if (configs === undefined) return undefined;
  const agent = sharedAgent(said);
  if (state === undefined) return { host, boot, agent, fence, view, manifest, configs };
  // JSON can name a field like the prototype; the schema leaves it out.
  if (!isFields(state) || Object.hasOwn(state, "__proto__")) return undefined;
  return { host, boot, agent, fence, view, manifest, configs, state };
}

/** Few versions of agents run at a time, and the owner keeps the text for each host. */
const agents = new Map<string, string>();
const agentsMax = 1_000;

/** The same text for all hosts that say it. */
export function sharedAgent(agent: string): string {
  const known = agents.get(agent);
  if (known !== undefined) return known;
  if (agents.size >= agentsMax) agents.clear();
  agents.set(agent, agent);
  return agent;
}

function readConfigs(value: unknown): HeldConfig[] | undefined {
  if (!Array.isArray(value) || value.length > configsMax) return undefined;
  const configs: HeldConfig[] = [];
  for (const each of value as readonly unknown[]) {
    const config = readConfig(each);
    if (config === undefined) return undefined;
    configs.push(config);
  }
  return configs;
}

function readConfig(value: unknown): HeldConfig | undefined {
  if (!isFields(value)) return undefined;
  const { name, digest, result, message } = value;
  if (!isText(name, limits.configNameCharsMax) || !configNamePattern.test(name)) return undefined;
  if (!isResult(result)) return undefined;
  if (message !== undefined && !isText(message, limits.resultMessageCharsMax)) return undefined;
  if (digest !== undefined && !isDigest(digest)) return undefined;
  return {
    name,
    ...(digest === undefined ? undefined : { digest }),
    result,
    ...(message === undefined ? undefined : { message }),
  };
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Counts UTF-16 units where the schema counts characters: never more lenient. */
function isText(value: unknown, charsMax: number): value is string {
  return typeof value === "string" && value.length <= charsMax;
}

function isDigest(value: unknown): value is string {
  return typeof value === "string" && digestPattern.test(value);
}

function isResult(value: unknown): value is ConfigResult {
  return results.has(value);
}
