/**
 * How strongly the two ends of each mode are known to each other, from the agent's settings: a fallback
 * never leads to less than what the better mode asks for, or an attacker who can cut a link could choose
 * the weaker one.
 */
import { CoxswainError } from "../kernel/errors.ts";
import type { HostMode } from "../protocol/host-mode.ts";
import type { AgentSettings } from "./config-file.ts";

/** Weakest first. */
const strengths = ["no proof", "a key without TLS", "TLS of one end", "proof of both ends in TLS"];
type Strength = 0 | 1 | 2 | 3;

type Settings = Pick<AgentSettings, "tls" | "nodes" | "key" | "object">;

const advice: Readonly<Record<HostMode, string>> = {
  dial: "`tls` with `ca`",
  knock: "`tls` with `ca`",
  reverse: "https URLs in `nodes`, and `keyFile`",
  poll: "https URLs in `nodes`, and `keyFile`",
  object: "`s3://` without a plain `endpoint`, or an https URL in `object.url`",
};

function strengthOf(mode: HostMode, { tls, nodes, key, object }: Settings): Strength {
  if (mode === "object") return objectStrength(object);
  // A knock only asks to be dialled.
  if (mode === "dial" || mode === "knock") {
    return tls === undefined ? 0 : tls.ca === undefined ? 2 : 3;
  }
  const isTls = nodes.length > 0 && nodes.every((node) => node.startsWith("https:"));
  if (isTls) return key === undefined ? 2 : 3;
  return key === undefined ? 0 : 1;
}

/** Requests to S3 are signed with the host's credentials; what may write into a folder is its machine's matter. */
function objectStrength(object: AgentSettings["object"]): Strength {
  const { url = "", endpoint = "" } = object ?? {};
  if (url.startsWith("file:")) return 3;
  if (url.startsWith("s3:")) return endpoint.startsWith("http:") ? 1 : 3;
  return url.startsWith("https:") ? 2 : 0;
}

/** Throws AGENT_CONFIG_INVALID where a mode is weaker than one before it. */
export function requireNoWeakerFallback(modes: readonly HostMode[], settings: Settings): void {
  let strongest: { readonly mode: HostMode; readonly strength: Strength } | undefined;
  for (const mode of modes) {
    const strength = strengthOf(mode, settings);
    if (strongest !== undefined && strength < strongest.strength) {
      throw new CoxswainError(
        "AGENT_CONFIG_INVALID",
        `Expected \`modes\` to fall back to nothing weaker than ${strongest.mode} (${strengths[strongest.strength]}), ` +
          `got ${mode} (${strengths[strength]}): set ${advice[mode]}, or remove the mode`,
      );
    }
    if (strongest === undefined || strength > strongest.strength) strongest = { mode, strength };
  }
}
