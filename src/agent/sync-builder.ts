/**
 * Builds sync requests as a node would, for the agent's tests: short or full, whole or damaged.
 */
import { digestOf, manifestDigestOf } from "../protocol/digest.ts";
import { syncHeaders, type OfferedConfig } from "../protocol/sync.ts";

export interface BuiltSync {
  readonly headers: Record<string, string>;
  readonly body: { manifest: string; configs?: OfferedConfig[] };
}

export function headersOf(overrides: Partial<Record<keyof typeof syncHeaders, string>> = {}) {
  const values = { cluster: "c1", node: "a", view: "17", host: "h1", fence: "1.1.1", ...overrides };
  return Object.fromEntries(
    Object.entries(values).map(([key, value]) => [
      syncHeaders[key as keyof typeof syncHeaders],
      value,
    ]),
  );
}

/** A full sync of `contents` (text by config name); `withoutContent` names send the digest only. */
export function fullSync(
  fence: string,
  contents: Readonly<Record<string, string>>,
  withoutContent: readonly string[] = [],
  view = "17",
): BuiltSync {
  const configs = Object.entries(contents).map(([name, content]): OfferedConfig => {
    const bytes = Buffer.from(content);
    const offered = { name, digest: digestOf(bytes), size: bytes.length };
    return withoutContent.includes(name) ? offered : { ...offered, content };
  });
  const manifest = manifestDigestOf(configs);
  return { headers: headersOf({ fence, view }), body: { manifest, configs } };
}

export function shortSync(
  fence: string,
  contents: Readonly<Record<string, string>>,
  view = "17",
): BuiltSync {
  const { headers, body } = fullSync(fence, contents, [], view);
  return { headers, body: { manifest: body.manifest } };
}
