/**
 * Digests as people type them: whole, or the first digits that tables show.
 */
import { CoxswainError } from "../kernel/errors.ts";
import { digestPattern } from "../protocol/limits.ts";
import type { ApiClient } from "./api-client.ts";

const digitsMin = 6;

/** The digest of a release of `config` that `text` names; `latest` is the newest one. */
export async function resolveDigest(
  api: Pick<ApiClient, "releases">,
  config: string,
  text: string,
): Promise<string> {
  if (digestPattern.test(text)) return text;
  const digits = text.replace(/^sha256:/, "");
  if (text !== "latest" && (!/^[0-9a-f]{1,64}$/.test(digits) || digits.length < digitsMin)) {
    throw new CoxswainError(
      "USAGE_INVALID",
      `Expected a digest (sha256:… or its first ${digitsMin} digits or more) or \`latest\`, got ${JSON.stringify(text)}`,
    );
  }
  const { releases } = await api.releases(config);
  const matching =
    text === "latest"
      ? releases.slice(0, 1)
      : releases.filter(({ digest }) => digest.startsWith(`sha256:${digits}`));
  const [release] = matching;
  if (release !== undefined && matching.length === 1) return release.digest;
  throw new CoxswainError(
    "RELEASE_NOT_FOUND",
    matching.length === 0
      ? `No release of ${config} is \`${text}\``
      : `${matching.length} releases of ${config} begin with \`${text}\`: give more digits`,
  );
}
